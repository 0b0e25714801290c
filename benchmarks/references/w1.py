"""W1 by hand: structs of the needed fields, one dict of the latest deviation of each device and app."""

from __future__ import annotations

import msgspec

DEVIATION = 4.0
WINDOW_MS = 300_000


class Flow(msgspec.Struct, tag_field="kind", tag="net.flow", gc=False):
    """What the rule reads of a flow."""

    device: str
    time: int
    app: str
    score: float


class Crash(msgspec.Struct, tag_field="kind", tag="app.crash", gc=False):
    """What the rule reads of trouble: the same of all three kinds."""

    device: str
    time: int
    app: str


class Anomaly(Crash, tag_field="kind", tag="exec.anomaly", gc=False):
    """Trouble."""


class Context(Crash, tag_field="kind", tag="security.context", gc=False):
    """Trouble."""


class Lookup(msgspec.Struct, tag_field="kind", tag="net.dns", gc=False):
    """Of a lookup nothing is read."""


decode = msgspec.json.Decoder(Flow | Crash | Anomaly | Context | Lookup).decode


def count(lines: list[bytes]) -> int:
    """How often trouble follows a deviation. The newest deviation wins, and is used up."""
    read = decode
    waiting: dict[tuple[str, str], int] = {}
    found = 0
    for line in lines:
        event = read(line)
        kind = type(event)
        if kind is Flow:
            if event.score >= DEVIATION:
                waiting[event.device, event.app] = event.time
        elif kind is not Lookup:
            since = waiting.pop((event.device, event.app), None)
            if since is not None and event.time - since <= WINDOW_MS:
                found += 1
    return found
