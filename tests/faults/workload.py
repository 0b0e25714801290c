"""The stream of a campaign: which events arrive when, from a seed alone.

Times are milliseconds since the campaign began; `Workload.due` puts them on the wall clock. What an event
says and how late it comes is drawn when its story begins, so the same seed gives the same stories whatever
is killed meanwhile.
"""

from __future__ import annotations

import heapq
from pathlib import Path
from random import Random
from typing import Any, Final

import bad_events
import msgspec

Wire = dict[str, Any]
RULES: Final = Path(__file__).parent / "rules.rule"
LATE_MS: Final = 6_000
"""LATE of every event type in rules.rule."""
_DUPLICATES: Final = 0.02
_MOST_IN_MESSAGE: Final = 8


class Message(msgspec.Struct, frozen=True):
    """One message to publish. ``message_id`` is its Nats-Msg-Id, the same at every attempt."""

    subject: str
    payload: bytes
    content_type: str | None
    message_id: str


class Planned(msgspec.Struct, frozen=True, order=True):
    """An event on its way: when it arrives, a number that decides ties, what it says."""

    arrives: int
    number: int
    wire: Wire


class Workload:
    """Args:
    seed: everything follows from it.
    devices: how many there are.
    stories: how many begin in a second; each is 1 to 8 events.
    bad: the share of messages that get a bad event.
    """

    def __init__(self, seed: int, *, devices: int = 300, stories: int = 100, bad: float = 0.01) -> None:
        self.bad: dict[str, int] = {}
        """Bad events published, by reason."""
        self.events = 0
        """Good events published, those that come twice counted twice."""
        self._random = Random(seed)
        # How messages are cut depends on when somebody asks, so it must not disturb the stories.
        self._packing = Random(seed + 1)
        self._devices = devices
        self._every = 1000 / stories
        self._bad = bad
        self._next = 0.0
        self._number = 0
        self._messages = 0
        self._heap: list[Planned] = []

    def due(self, elapsed_ms: int, base_ms: int) -> list[Message]:
        """All that has arrived ``elapsed_ms`` after the beginning, which was at ``base_ms`` (epoch)."""
        while self._next <= elapsed_ms:
            self._tell(int(self._next))
            self._next += self._every
        arrived: list[Wire] = []
        while self._heap and self._heap[0].arrives <= elapsed_ms:
            wire = heapq.heappop(self._heap).wire
            arrived.append(wire | {"time": wire["time"] + base_ms})
        return self._packed(arrived, base_ms + elapsed_ms)

    def rest(self, base_ms: int, elapsed_ms: int) -> list[Message]:
        """What is still on its way, at once; no story begins any more."""
        arrived = [planned.wire for planned in sorted(self._heap)]
        self._heap.clear()
        # Nothing may lie in the future of its message further than the skew allows; seconds do no harm.
        return self._packed(
            [wire | {"time": wire["time"] + base_ms} for wire in arrived], base_ms + elapsed_ms
        )

    def _tell(self, at: int) -> None:
        random = self._random
        device = f"device-{random.randrange(self._devices):04d}"
        story = random.choices(
            [self._flows, self._upload, self._session, self._beats, self._crashes, self._odd],
            [30, 20, 20, 12, 10, 8],
        )[0]
        story(device, at)

    def _event(self, kind: str, device: str, time: int, **fields: Any) -> None:
        """Most come within the grace, some late, a few later than LATE."""
        random = self._random
        self._number += 1
        wire = {"kind": kind, "device": device, "time": time, "id": f"e{self._number}", **fields}
        how = random.random()
        if how < 0.88:
            delay = random.randrange(0, 350)
        elif how < 0.985:
            delay = random.randrange(350, LATE_MS - 1_000)
        else:
            delay = random.randrange(LATE_MS + 1_500, 2 * LATE_MS)
        heapq.heappush(self._heap, Planned(time + delay, self._number, wire))
        if random.random() < _DUPLICATES:
            self._number += 1
            again = time + delay + random.randrange(0, 3_000)
            heapq.heappush(self._heap, Planned(again, self._number, wire))

    def _app(self) -> str:
        return f"app{self._random.randrange(4)}"

    def _flow(self, device: str, app: str, time: int, bytes_out: int) -> None:
        address = f"203.0.113.{self._random.randrange(256)}"
        self._event("net.flow", device, time, app=app, bytes_out=bytes_out, ip=address)

    def _flows(self, device: str, at: int) -> None:
        app = self._app()
        for _ in range(self._random.randrange(1, 5)):
            self._flow(device, app, at + self._random.randrange(2_000), self._random.randrange(500, 2_000))

    def _upload(self, device: str, at: int) -> None:
        random, app = self._random, self._app()
        self._flow(device, app, at, random.randrange(1_000_001, 5_000_000))
        if random.random() < 0.7:
            ending = random.choice(["memory_violation", "memory_violation", "watchdog"])
            self._event("app.exit", device, at + random.randrange(1, 5_000), **{"class": ending}, app=app)
        if random.random() < 0.25:
            self._event("app.update", device, at - random.randrange(2_500), app=app)

    def _session(self, device: str, at: int) -> None:
        random, user = self._random, f"user{self._random.randrange(3)}"
        phases = random.choice([("open", "use", "copy"), ("open", "use", "close", "copy"), ("open", "copy")])
        for phase in phases:
            self._event("session", device, at, phase=phase, user=user)
            at += random.randrange(1, 2_200)

    def _beats(self, device: str, at: int) -> None:
        sensor = f"sensor{self._random.randrange(2)}"
        for _ in range(self._random.randrange(1, 6)):
            self._event("sensor.beat", device, at, sensor=sensor)
            at += self._random.randrange(500, 1_900)

    def _crashes(self, device: str, at: int) -> None:
        for _ in range(self._random.randrange(3, 8)):
            self._event("app.exit", device, at, **{"class": "abort"}, app=self._app())
            at += self._random.randrange(50, 700)

    def _odd(self, device: str, at: int) -> None:
        app = self._app()
        self._flow(device, app, at, self._random.randrange(100_000, 900_000))
        self._event("app.exit", device, at + self._random.randrange(1, 2_500), **{"class": "abort"}, app=app)

    def _packed(self, wires: list[Wire], now_ms: int) -> list[Message]:
        random = self._packing
        messages: list[Message] = []
        while wires:
            form = random.choice(["single", "single", "single", "array", "lines"])
            most = 1 if form == "single" else random.randrange(2, _MOST_IN_MESSAGE)
            taken, wires = wires[:most], wires[most:]
            self.events += len(taken)
            parts = [msgspec.json.encode(wire) for wire in taken]
            if random.random() < self._bad:
                names = bad_events.IN_ARRAY if form == "array" else tuple(bad_events.MAKERS)
                raw, reason = bad_events.make(random.choice(names), taken[0], now_ms, random)
                self.bad[reason] = self.bad.get(reason, 0) + 1
                parts.insert(random.randrange(len(parts) + 1), raw)
                form = "lines" if form == "single" else form
            messages.append(self._message(form, parts))
        return messages

    def _message(self, form: str, parts: list[bytes]) -> Message:
        self._messages += 1
        subject = f"events.site{self._packing.randrange(8)}"
        content_type = "application/x-ndjson" if form == "lines" else None
        payload = {"single": parts[0], "array": b"[" + b",".join(parts) + b"]", "lines": b"\n".join(parts)}[
            form
        ]
        return Message(subject, payload, content_type, f"input:{self._messages}")
