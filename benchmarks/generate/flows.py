"""The stream of the works W1 and W3: flows with a score, and what may follow them.

Of a million events some 7,000 are deviations (a flow with a score of 4 or more) and 51,000 are signs of
trouble. Planted among them: chains, the same with the wrong app, in the wrong order and too late; bursts of
deviations with what W2 waits for behind them, or not; and, on devices that do nothing else, pairs at exactly
the window and one millisecond beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log

from benchmarks.generate.draw import Shares, Timeline, Zipf, seeded

DEVICES = 10_000
MEAN_STEP_MS = 30
"""Some 33 events a second: a million are 8 h 20 min."""
APPS = 20
PORTS = (
    443, 80, 8443, 53, 853, 993, 465, 587, 5223, 5228, 3478, 5349, 1935, 8080, 8000, 8883, 1883, 5222, 5061,
    4500, 500, 1194, 51820, 22, 21, 25, 110, 143, 995, 389, 636, 3389, 5900, 6667, 9001, 9030, 4444, 1337,
    31337, 8888,
)  # fmt: skip
DEVIATION = 4.0
WINDOW_MS = 300_000
TROUBLE = ("app.crash", "exec.anomaly", "security.context")

SCALE = 0.75
"""Scores fall off exponentially; with this scale 0.48 % of the flows are deviations."""
_FLOW_SHARE, _TROUBLE_SHARE = 0.90, 0.0485
_CHAIN, _WRONG_APP, _WRONG_ORDER, _TOO_LATE, _EDGE = 0.0006, 0.0004, 0.0004, 0.0004, 0.0002
"""Of each: how many an event. Edges count twice, at the window and beyond it."""
BURST = 5
BURST_MS = 600_000
BURST_WINDOW_MS = 1_800_000
_BURST = 0.0004
"""Bursts, how many an event: five deviations, then a crash, then a change of the security context."""


def lines(count: int, seed: int = 1, devices: int = DEVICES) -> Iterator[bytes]:
    """``count`` events as lines of JSON without the line feed, in order of their unique times."""
    made = 0
    stream = _Stream(seed, devices)
    while True:
        for line in stream.advance():
            if made == count:
                return
            made += 1
            yield line


class _Stream:
    def __init__(self, seed: int, devices: int) -> None:
        random = self.random = seeded(seed, "flows").random
        self.timeline = Timeline(random, MEAN_STEP_MS)
        self.device = Zipf(random, devices, 0.8)
        self.app = Zipf(random, APPS, 0.5)
        self.trouble = Shares(random, [("app.crash", 0.5), ("exec.anomaly", 0.3), ("security.context", 0.2)])
        self.edges = 0

    def advance(self) -> Iterator[bytes]:
        """The next event, after those planned before it."""
        yield from self.timeline.advance()
        now = self.timeline.now
        device, app = f"device-{self.device():05}", self.app()
        what = self.random()
        for share, planted in (
            (_CHAIN, self._chain),
            (_WRONG_APP, self._wrong_app),
            (_WRONG_ORDER, self._wrong_order),
            (_TOO_LATE, self._too_late),
            (_EDGE, self._at_the_window),
            (_EDGE, self._beyond_the_window),
            (_BURST, self._burst),
        ):
            if what < share:
                yield planted(now, device, app)
                return
            what -= share
        if what < _FLOW_SHARE:
            yield self._flow(now, device, app, -log(1.0 - self.random()) * SCALE)
        elif what < _FLOW_SHARE + _TROUBLE_SHARE:
            yield self._trouble(now, device, app)
        else:
            yield self._dns(now, device, app)

    # --- planted

    def _chain(self, now: int, device: str, app: int) -> bytes:
        self._later(now + self._between(1_000, WINDOW_MS), device, app)
        return self._deviation(now, device, app)

    def _wrong_app(self, now: int, device: str, app: int) -> bytes:
        self._later(now + self._between(1_000, WINDOW_MS), device, (app + 1) % APPS)
        return self._deviation(now, device, app)

    def _wrong_order(self, now: int, device: str, app: int) -> bytes:
        after = now + self._between(1_000, WINDOW_MS)
        self.timeline.plan(after, lambda time: self._deviation(time, device, app))
        return self._trouble(now, device, app)

    def _too_late(self, now: int, device: str, app: int) -> bytes:
        self._later(now + WINDOW_MS + self._between(2, 60_000), device, app)
        return self._deviation(now, device, app)

    def _at_the_window(self, now: int, device: str, app: int) -> bytes:
        return self._edge(now, device, app, "edge-in", WINDOW_MS)

    def _beyond_the_window(self, now: int, device: str, app: int) -> bytes:
        return self._edge(now, device, app, "edge-out", WINDOW_MS + 1)

    def _edge(self, now: int, device: str, app: int, name: str, gap: int) -> bytes:
        if not self.timeline.free(now + gap):
            return self._dns(now, device, app)
        self.edges += 1
        device = f"{name}-{self.edges:05}"
        self._later(now + gap, device, app)
        return self._deviation(now, device, app)

    def _burst(self, now: int, device: str, app: int) -> bytes:
        """One of eight has a deviation too few, one ends too late, one in the wrong order."""
        way = int(self.random() * 8)
        last = now + self._between(10_000, BURST_MS - 1_000)
        for number in range(1, BURST - (way == 0)):
            at = last if number == BURST - 1 else self._between(now + 1, last)
            self.timeline.plan(at, lambda time: self._deviation(time, device, app))
        end = now + BURST_WINDOW_MS + self._between(1_000, 60_000) if way == 1 else 0
        crash = last + self._between(1_000, 300_000)
        context = end or crash + self._between(1_000, 300_000)
        if way == 2:
            crash, context = context, crash
        self.timeline.plan(crash, lambda time: self._trouble(time, device, app, "app.crash"))
        self.timeline.plan(context, lambda time: self._trouble(time, device, app, "security.context"))
        return self._deviation(now, device, app)

    def _later(self, time: int, device: str, app: int) -> None:
        self.timeline.plan(time, lambda at: self._trouble(at, device, app))

    def _between(self, low: int, high: int) -> int:
        return low + int(self.random() * (high - low))

    # --- single events

    def _deviation(self, time: int, device: str, app: int) -> bytes:
        return self._flow(time, device, app, DEVIATION + self.random() * 4)

    def _flow(self, time: int, device: str, app: int, score: float) -> bytes:
        one, other = self.random(), self.random()
        port = PORTS[int(one * one * len(PORTS))]
        return (
            _head("net.flow", time, device, app)
            + f'"host":"edge-{int(other * 900):03}.example","ip":"198.51.100.{int(other * 256)}",'
            f'"port":{port},"bytes_out":{int(other * 90_000)},"score":{score:.2f}}}'
        ).encode()

    def _trouble(self, time: int, device: str, app: int, kind: str = "") -> bytes:
        return (
            _head(kind or self.trouble(), time, device, app)
            + f'"class":"memory","signal":"SIGSEGV","app_version":"7.{app}.1",'
            f'"os_version":"18.6.{app % 3}","role":"Foreground"}}'
        ).encode()

    def _dns(self, time: int, device: str, app: int) -> bytes:
        number = int(self.random() * 900)
        return (
            _head("net.dns", time, device, app)
            + f'"host":"edge-{number:03}.example","domain":"example","query_type":"A",'
            '"response_code":"NOERROR","action":"allowed"}'
        ).encode()


def _head(kind: str, time: int, device: str, app: int) -> str:
    return (
        f'{{"kind":"{kind}","device":"{device}","time":{time},"id":"{time}","source":"bench-{app % 4}",'
        f'"app":"com.example.app{app:02}","process":"App{app:02}",'
    )
