"""The stream of the work `mobile`: what a fleet of phones sends, in the kinds of the mobile pack.

Three quarters are flows, most of them as usual for their app; the rest are lookups, handshakes, changes of
apps and devices, ends of processes, posture and heartbeats. Planted: chains of AN1756 and their look-alikes.

An app contacts some eleven domains, a few of them most of the time, and now and then one that nobody knows: a
phone was measured to contact some eleven registrable domains an app, and 13 to 110 for the first time in a
day. A domain has a few addresses, and a device is given one of them for some hours. Names, registrable
domains and transports are there, as the sources of the engine put them into flows.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp

from benchmarks.generate.draw import Shares, Timeline, Zipf, seeded

DEVICES = 300
MEAN_STEP_MS = 150
"""With bursts, some two flows a minute and device. A million events are a day; the devices are few so that,
within the stream, apps get a history on their own device, as they have in a fleet that has run for a week."""
APPS = 20
WINDOW_MS = 600_000
SPIKE_BYTES = 900_000_000
"""Above what any app sends in five minutes on the busiest device."""

_DOMAINS = 11
_STRANGE = 0.01
"""The share of contacts with a domain that is none of the app's: with two contacts a minute, 29 a day."""
_STRANGERS = 5_000
_ADDRESSES = 4
_HOURS_MS = 6 * 3_600_000
"""How long a device is given the same address of a domain."""
_PLANTED = 0.004
_MORE_FLOWS = 0.6
_BURST_MS = 20_000
"""Apps open connections in bursts: after each flow comes another one with this share, within this time."""
_SHARES = [
    ("flow", 0.4), ("dns", 0.13), ("tls", 0.09), ("state", 0.03), ("lifecycle", 0.03), ("access", 0.025),
    ("exit", 0.01), ("posture", 0.006), ("config", 0.002), ("health", 0.009),
]  # fmt: skip
_STORIES = [
    ("crash", 0.3), ("posture", 0.1), ("watchdog", 0.1), ("wrong_app", 0.1), ("too_late", 0.1),
    ("updated", 0.1), ("system_updated", 0.05), ("vpn", 0.1), ("crash_first", 0.05),
]  # fmt: skip
_EXITS = [
    ("watchdog", 0.35), ("resource", 0.35), ("user_reset", 0.1), ("abort", 0.1), ("bad_instruction", 0.05),
    ("memory_violation", 0.04), ("codesign", 0.01),
]  # fmt: skip
_ITEMS = [("lock", 0.5), ("screen", 0.25), ("network", 0.19), ("power", 0.05), ("vpn", 0.01)]
_PHASES = [("foreground", 0.45), ("background", 0.45), ("start", 0.05), ("stop", 0.04), ("update", 0.01)]


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
        random = self.random = seeded(seed, "mobile").random
        self.timeline = Timeline(random, MEAN_STEP_MS)
        self.device = Zipf(random, devices, 0.8)
        self.app = Zipf(random, APPS, 1.0)
        self.domain = Zipf(random, _DOMAINS, 1.0)
        self.kind = Shares(random, _SHARES)
        self.story = Shares(random, _STORIES)
        self.exit_class = Shares(random, _EXITS)
        self.item = Shares(random, _ITEMS)
        self.phase = Shares(random, _PHASES)

    def advance(self) -> Iterator[bytes]:
        """The next event, after those planned before it."""
        yield from self.timeline.advance()
        now, device, app = self.timeline.now, f"phone-{self.device():06}", self.app()
        if self.random() < _PLANTED:
            yield self._planted(self.story(), now, device, app)
        else:
            yield self.one(self.kind(), now, device, app)

    # --- planted

    def _planted(self, story: str, now: int, device: str, app: int) -> bytes:
        """The first event of a story; the others are planned."""
        soon = now + 1_000 + int(self.random() * (WINDOW_MS - 2_000))
        if story == "crash_first":
            self.timeline.plan(soon, lambda time: spike(time, device, app))
            return crash(now, device, app)
        before = {"updated": "update", "system_updated": "os_version", "vpn": "vpn"}.get(story)
        if before is not None:
            after = soon + 1_000 + int(self.random() * (WINDOW_MS - 2_000))
            self.timeline.plan(soon, lambda time: spike(time, device, app))
            self.timeline.plan(after, lambda time: crash(time, device, app))
            if before == "update":
                return self._lifecycle(now, device, app, before)
            if before == "os_version":
                return self._config(now, device, app, before)
            return self._state(now, device, before)
        if story == "posture":
            self.timeline.plan(soon, lambda time: self._posture(time, device, True))
        elif story == "watchdog":
            self.timeline.plan(soon, lambda time: crash(time, device, app, "watchdog"))
        elif story == "too_late":
            self.timeline.plan(soon + WINDOW_MS, lambda time: crash(time, device, app))
        else:
            other = (app + 1) % APPS if story == "wrong_app" else app
            self.timeline.plan(soon, lambda time: crash(time, device, other))
        return spike(now, device, app)

    # --- single events

    def one(self, kind: str, time: int, device: str, app: int) -> bytes:
        """An event of everyday life."""
        match kind:
            case "flow":
                while self.random() < _MORE_FLOWS:
                    after = time + 1 + int(self.random() * _BURST_MS)
                    self.timeline.plan(after, lambda at: self._flow(at, device, app))
                return self._flow(time, device, app)
            case "exit":
                return crash(time, device, app, self.exit_class())
            case "lifecycle":
                return self._lifecycle(time, device, app, self.phase())
            case "state":
                return self._state(time, device, self.item())
            case "posture":
                return self._posture(time, device, self.random() < 0.002)
            case "config":
                return self._config(time, device, app, "os_version" if self.random() < 0.05 else "profile")
            case _:
                return self._unread(kind, time, device, app)

    def _flow(self, time: int, device: str, app: int) -> bytes:
        # The sum of four uniform draws is near enough to a normal spread.
        spread = self.random() + self.random() + self.random() + self.random() - 2.0
        sent = int(exp(7.5 + 0.2 * app + 0.9 * spread))
        # A sensor outside of the device knows no app.
        return flow(time, device, None if self.random() < 0.02 else app, sent, self._domain(app))

    def _domain(self, app: int) -> int:
        """Number of a domain that an app contacts."""
        if self.random() < _STRANGE:
            return APPS * _DOMAINS + int(self.random() * _STRANGERS)
        return app * _DOMAINS + self.domain()

    def _lifecycle(self, time: int, device: str, app: int, phase: str) -> bytes:
        return (
            _head("app.lifecycle", time, device)
            + f'"app":"com.example.app{app:02}","phase":"{phase}","app_version":"7.{app}.2",'
            f'"from_version":"7.{app}.1","actor":"user","managed":false}}'
        ).encode()

    def _state(self, time: int, device: str, item: str) -> bytes:
        on = "true" if self.random() < 0.5 else "false"
        rest = f'"item":"{item}","locked":{on},"vpn":{on},"network":"wifi"}}'
        return (_head("device.state", time, device) + rest).encode()

    def _posture(self, time: int, device: str, compromised: bool) -> bytes:
        said = "true" if compromised else "false"
        return (
            _head("device.posture", time, device)
            + f'"compromised":{said},"compliant":true,"risk":"low","item":"passcode","os":"ios",'
            '"os_version":"18.6.1","model":"phone","managed":true}'
        ).encode()

    def _config(self, time: int, device: str, app: int, item: str) -> bytes:
        rest = f'"item":"{item}","from":"{app}","to":"{app + 1}","actor":"user"}}'
        return (_head("device.config", time, device) + rest).encode()

    def _unread(self, kind: str, time: int, device: str, app: int) -> bytes:
        """A kind that no rule of the pack reads today."""
        name = f'"app":"com.example.app{app:02}",'
        domain = self._domain(app)
        host, address = _host(domain), _address(domain, time, device)
        rest = {
            "dns": name + host + f'"query_type":"A","response_code":"NOERROR","answers":["{address}"]}}',
            "tls": name + host + f'"ip":"{address}","port":443,"version":"TLSv13","validation":"ok"}}',
            "access": name + '"resource":"location","phase":"begin","locked":false,"user_active_s":3}',
            "health": '"sensor":"agent","status":"ok","dropped":0}',
        }[kind]
        wire = {"dns": "net.dns", "tls": "net.tls", "access": "app.access", "health": "sensor.health"}[kind]
        return (_head(wire, time, device) + rest).encode()


def _head(kind: str, time: int, device: str) -> str:
    return (
        f'{{"kind":"{kind}","device":"{device}","time":{time},"id":"{time}","source":"bench",'
        '"quality":"exact",'
    )


def _host(domain: int) -> str:
    return f'"host":"edge.service{domain:04}.example","domain":"service{domain:04}.example",'


def _address(domain: int, time: int, device: str) -> str:
    """The address of a domain that a device is given at a time: one of the block for benchmarks, RFC 2544."""
    number = domain * _ADDRESSES + (int(device[-2:], 36) + time // _HOURS_MS) % _ADDRESSES
    return f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def flow(time: int, device: str, app: int | None, sent: int, domain: int = 0) -> bytes:
    """A connection of an app, or of nobody knows which, with a domain, that sent so many bytes."""
    name = "" if app is None else f'"app":"com.example.app{app:02}",'
    return (
        _head("net.flow", time, device)
        + f'{name}{_host(domain)}"ip":"{_address(domain, time, device)}","port":443,"transport":"tcp",'
        f'"service":"ssl","bytes_out":{sent},"bytes_in":{time % 90_000},"internal":false}}'
    ).encode()


def spike(time: int, device: str, app: int) -> bytes:
    """A connection that sends far more than ever."""
    return flow(time, device, app, SPIKE_BYTES)


def crash(time: int, device: str, app: int, why: str = "memory_violation") -> bytes:
    """The end of an app."""
    return (
        _head("app.exit", time, device)
        + f'"app":"com.example.app{app:02}","process":"App{app:02}","class":"{why}","signal":"SIGSEGV",'
        f'"exception":"EXC_BAD_ACCESS","app_version":"7.{app}.1","os_version":"18.6.1"}}'
    ).encode()
