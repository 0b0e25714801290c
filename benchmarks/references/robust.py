"""The work `robust3` by hand: three levels an app, each as in ``references.mobile``, and what waits for an
exit.
"""

from __future__ import annotations

from typing import Union

import msgspec

from benchmarks.references.level import Level, slow_weights

MINUTE_MS = 60_000
LONG_MS = 300_000
WARMUP = 10
DEVIATION = 4.0
LEAST_BYTES = 20_000
WINDOW_MS = 600_000


class Flow(msgspec.Struct, tag_field="kind", tag="net.flow", gc=False):
    """What the baselines and the rule read of a flow."""

    device: str
    time: int
    bytes_out: int
    bytes_in: int
    app: str | None = None


class Exit(msgspec.Struct, tag_field="kind", tag="app.exit", gc=False):
    """What the rule reads of the end of an app."""

    device: str
    time: int
    app: str


class _Other(msgspec.Struct, tag_field="kind", gc=False):
    """A kind of which nothing is read."""


_OTHERS = (
    "net.dns", "net.tls", "app.lifecycle", "app.access", "device.state", "device.posture", "device.config",
    "sensor.health",
)  # fmt: skip


def count(lines: list[bytes]) -> int:
    """How many exits follow a flow that deviates in one of three ways."""
    others = [msgspec.defstruct(f"Other{n}", [], bases=(_Other,), tag=kind) for n, kind in enumerate(_OTHERS)]
    read = msgspec.json.Decoder(Union[Flow, Exit, *others]).decode  # type: ignore[valid-type]  # made here
    minutes, longer = slow_weights(MINUTE_MS), slow_weights(LONG_MS)
    rows: dict[str, dict[str, tuple[Level, Level, Level]]] = {}
    waiting: dict[tuple[str, str], int] = {}
    found = 0
    minute = long = end = 0
    for line in lines:
        event = read(line)
        kind = type(event)
        if kind is Flow:
            app = event.app
            if app is None:
                continue
            time = event.time
            if time >= end:
                # Events come in order of time.
                minute, long = time // MINUTE_MS, time // LONG_MS
                end = (minute + 1) * MINUTE_MS
            out = event.bytes_out
            try:
                row = rows[event.device][app]
            except KeyError:
                row = rows.setdefault(event.device, {})[app] = (
                    Level(None, minutes, WARMUP),
                    Level(None, minutes, WARMUP),
                    Level(None, longer, WARMUP),
                )
            sent, received, slow = row
            # All three see the same events, so the first two change their buckets together.
            if sent.bucket == minute:
                sent.total += out
                received.total += event.bytes_in
            else:
                sent.next(minute, out)
                received.next(minute, event.bytes_in)
            if slow.bucket == long:
                slow.total += out
            else:
                slow.next(long, out)
            if out >= LEAST_BYTES and (
                sent.deviation() >= DEVIATION
                or received.deviation() >= DEVIATION
                or slow.deviation() >= DEVIATION
            ):
                waiting[event.device, app] = time
        elif kind is Exit:
            since = waiting.pop((event.device, event.app), None)
            if since is not None and event.time - since <= WINDOW_MS:
                found += 1
    return found
