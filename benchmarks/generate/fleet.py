"""A fleet whose devices leave for good, with what its rules should find counted beside the engine.

The counting is a few lines a rule over the events in their true order, made for these three rules
and nothing else; the engine gets the events with some of them late.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from random import Random

RULES = """
EVENT beat GRACE 10s LATE 2m {}
EVENT probe GRACE 10s LATE 2m { app: string }
EVENT exploit GRACE 10s LATE 2m { app: string }
EVENT patch GRACE 10s LATE 2m { app: string }
EVENT flow {}
RULE chain { BY device, app WHEN probe THEN exploit WITHOUT patch WITHIN 2m }
RULE dark { WHEN beat THEN NO beat FOR 10m }
RULE burst { WHEN AT LEAST 3 probe IN 60s AS xs }
"""
CHAIN_MS, DARK_MS, BURST_MS = 120_000, 600_000, 60_000
KEEP_MS = DARK_MS + 130_000
"""How long after its last event the state of a device can matter: the horizon of ``dark``, LATE, GRACE."""
BEGIN_MS = 1_767_225_600_000
INTERVAL_MS = 60_000
"""Between two events of a device, on average."""
APPS = ("mail", "chat", "maps")
KINDS = ("beat",) * 12 + ("probe",) * 4 + ("exploit", "patch", "flow", "flow")
LATE_SHARE = 0.02
MOST_LATE_MS = 90_000


class Counter:
    """The right number of alerts of each rule; events in their true order."""

    def __init__(self) -> None:
        self.chain = 0
        self.burst = 0
        self.dark = 0
        self._pending: dict[tuple[int, str], int] = {}
        self._probes: dict[int, deque[int]] = {}
        self._held: set[int] = set()
        self._beats: dict[int, int] = {}

    def take(self, kind: str, device: int, time: int, app: str) -> None:
        """The next event."""
        if kind == "beat":
            before = self._beats.get(device)
            self.dark += before is not None and time - before > DARK_MS
            self._beats[device] = time
        elif kind == "probe":
            self._pending[device, app] = time
            last = self._probes.setdefault(device, deque(maxlen=3))
            last.append(time)
            holds = len(last) == 3 and time - last[0] <= BURST_MS
            self.burst += holds and device not in self._held
            (self._held.add if holds else self._held.discard)(device)
        elif kind == "patch":
            self._pending.pop((device, app), None)
        elif kind == "exploit":
            began = self._pending.pop((device, app), None)
            self.chain += began is not None and time - began <= CHAIN_MS

    def end(self, until: int) -> dict[str, int]:
        """All counts, once every clock has passed a time."""
        silent = sum(last + DARK_MS <= until for last in self._beats.values())
        return {"chain": self.chain, "dark": self.dark + silent, "burst": self.burst}


class Fleet:
    """``events`` events of ``devices`` devices; those with odd numbers leave in the middle third and do not
    come back.
    """

    def __init__(self, devices: int, events: int, seed: int) -> None:
        self.counter = Counter()
        self.devices = devices
        self.now = BEGIN_MS
        self._events = events
        self._random = Random(seed)
        self._last_seen = [0] * devices

    def lines(self) -> Iterator[bytes]:
        """Events as JSON in order of arrival: two in a hundred late, by up to a minute and a half."""
        random, counter = self._random, self.counter
        third = self._events // 3
        live = list(range(self.devices))
        leaves = {d: third + random.randrange(third) for d in live if d % 2}
        late: list[tuple[int, int, bytes]] = []
        exact = float(BEGIN_MS)
        for number in range(self._events):
            exact += INTERVAL_MS / len(live) * 2 * random.random()
            now = self.now = int(exact)
            while True:
                place = random.randrange(len(live))
                device = live[place]
                if leaves.get(device, number) < number:
                    live[place] = live[-1]
                    live.pop()
                elif self._last_seen[device] != now:
                    break
                else:
                    # Two events of one device never share a time, so that order is not in question.
                    exact += 1
                    now = self.now = int(exact)
            self._last_seen[device] = now
            kind, app = random.choice(KINDS), random.choice(APPS)
            counter.take(kind, device, now, app)
            text = f'{{"kind":"{kind}","device":"d{device}","time":{now},"id":"{number}","app":"{app}"}}'
            line = text.encode()
            while late and late[0][0] <= now:
                yield heapq.heappop(late)[2]
            if random.random() < LATE_SHARE:
                heapq.heappush(late, (now + random.randrange(MOST_LATE_MS), number, line))
            else:
                yield line
        while late:
            yield heapq.heappop(late)[2]

    def heard_since(self, time: int) -> int:
        """How many devices have sent anything at or after a time."""
        return sum(last >= time for last in self._last_seen)

    def live(self) -> int:
        """Devices that have not left: those with even numbers."""
        return (self.devices + 1) // 2
