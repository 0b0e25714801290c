"""W1 by hand, with what the language demands of every rule: what fits is kept whole for LATE, so that one
event that comes late changes the answer; what comes later than that is turned away and counted; and an alert
can show both of its events.

``references.w1`` does none of that: it says what Python costs, this one what the promise costs.
"""

from __future__ import annotations

from bisect import insort
from operator import itemgetter

import msgspec

from benchmarks.references.w1 import DEVIATION, WINDOW_MS, Lookup

LATE_MS = 86_700_000
"""LATE of a day, and GRACE of five minutes."""


class Seen(msgspec.Struct, tag_field="kind", tag="net.flow", gc=False):
    """What is read of a flow that does not fit."""

    time: int
    score: float


class Whole(msgspec.Struct, tag_field="kind", gc=False):
    """What an alert shows of any event."""

    device: str
    time: int
    app: str
    id: str | None = None
    source: str | None = None
    quality: str | None = None
    process: str | None = None


class Flow(Whole, tag_field="kind", tag="net.flow", gc=False):
    """One that fits."""

    score: float = 0.0
    host: str | None = None
    ip: str | None = None
    port: int | None = None
    bytes_out: int | None = None


class Crash(Whole, tag_field="kind", tag="app.crash", gc=False):
    """Trouble."""

    signal: str | None = None


class Anomaly(Crash, tag_field="kind", tag="exec.anomaly", gc=False):
    """Trouble."""


class Context(Crash, tag_field="kind", tag="security.context", gc=False):
    """Trouble."""


Kept = tuple[int, int, Whole]
"""An event with its time and place."""


class Device(msgspec.Struct, gc=False):
    """What fits of one device, in order; by app the flow that waits; and what it has matched."""

    kept: list[Kept]
    waiting: dict[str, Whole]
    matches: list[tuple[Whole, Whole]]

    def again(self) -> None:
        """Match everything again."""
        self.waiting, self.matches = {}, []
        for time, _, event in self.kept:
            self.step(time, event)

    def step(self, time: int, event: Whole) -> None:
        """Take the next event in order."""
        if type(event) is Flow:
            self.waiting[event.app] = event
        elif self.waiting:
            first = self.waiting.pop(event.app, None)
            if first is not None and time - first.time <= WINDOW_MS:
                self.matches.append((first, event))


decode = msgspec.json.Decoder(Seen | Crash | Anomaly | Context | Lookup).decode
decode_flow = msgspec.json.Decoder(Flow).decode
_place = itemgetter(0, 1)


def count(lines: list[bytes]) -> int:
    """How many matches there are once everything has come."""
    read = decode
    devices: dict[str, Device] = {}
    flows = troubles = clock_of_flows = clock_of_troubles = too_late = 0
    for position, line in enumerate(lines):
        event = read(line)
        kind = type(event)
        if kind is Lookup:
            continue
        time = event.time
        if kind is Seen:
            flows += 1
            if time > clock_of_flows:
                clock_of_flows = time
            elif time < clock_of_flows - LATE_MS:
                too_late += 1
                continue
            if event.score < DEVIATION:
                continue
            event = decode_flow(line)
        else:
            troubles += 1
            if time > clock_of_troubles:
                clock_of_troubles = time
            elif time < clock_of_troubles - LATE_MS:
                too_late += 1
                continue
        device = devices.get(event.device)
        if device is None:
            device = devices[event.device] = Device([], {}, [])
        kept = device.kept
        if kept and time < kept[-1][0]:
            insort(kept, (time, position, event), key=_place)
            device.again()
            continue
        kept.append((time, position, event))
        device.step(time, event)
    return sum(len(device.matches) for device in devices.values())
