"""W1 by hand: one struct of the needed fields, one dict of the latest deviation of each device and app."""

from __future__ import annotations

import msgspec

DEVIATION = 4.0
WINDOW_MS = 300_000
TROUBLE = frozenset({"app.crash", "exec.anomaly", "security.context"})


class Event(msgspec.Struct, gc=False):
    """The fields that the rule reads."""

    kind: str
    device: str
    time: int
    app: str
    score: float = 0.0


def count(lines: list[bytes]) -> int:
    """How often trouble follows a deviation. The newest deviation wins, and is used up."""
    decode = msgspec.json.Decoder(Event).decode
    waiting: dict[tuple[str, str], int] = {}
    found = 0
    for line in lines:
        event = decode(line)
        if event.score >= DEVIATION:
            waiting[event.device, event.app] = event.time
        elif event.kind in TROUBLE:
            since = waiting.pop((event.device, event.app), None)
            if since is not None and event.time - since <= WINDOW_MS:
                found += 1
    return found
