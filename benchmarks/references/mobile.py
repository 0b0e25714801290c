"""The rule `an1756 ios` of the mobile pack by hand, with the baseline `app egress` written out.

Of the pack's other rule, `quick`, nothing is published, so an expert would write nothing for it.
"""

from __future__ import annotations

from math import log1p

import msgspec

from engine import packs

MINUTE = 60_000
HOUR = 60 * MINUTE
BUCKET_MS = 5 * MINUTE
WARMUP = 30
DEVIATION = 4.0
LEAST_BYTES = 20_000
WINDOW_MS = 10 * MINUTE
AFTER_APP_UPDATE_MS = 48 * HOUR
AFTER_SYSTEM_UPDATE_MS = 72 * HOUR
AFTER_VPN_CHANGE_MS = 15 * MINUTE
SILENCE_MS = HOUR
EXPLOITATION = frozenset({"memory_violation", "guard", "sandbox", "codesign", "panic"})
PROGRAMMING_ERRORS = frozenset({"bad_instruction", "abort"})

FAST = 1.0 - 2.0 ** (-1.0 / 288)
SLOW = 1.0 - 2.0 ** (-1.0 / 8_640)
LEAST_SPREAD = 0.25
TO_SIGMA = 1.2533


class Event(msgspec.Struct, gc=False, rename={"exit_class": "class"}):
    """The fields that the rule reads."""

    kind: str
    device: str
    time: int
    app: str | None = None
    bytes_out: int | None = None
    process: str | None = None
    exit_class: str | None = None
    phase: str | None = None
    item: str | None = None
    compromised: bool | None = None


class Level:
    """Centre and spread of ln(1 + bytes) of one app, on a device or on all of them."""

    __slots__ = (
        "bucket", "centre", "fleet", "high", "samples", "slow_centre", "slow_spread", "spread", "total",
        "weight",
    )  # fmt: skip

    def __init__(self, fleet: Level | None) -> None:
        self.fleet = fleet
        self.bucket = -1
        self.total = 0
        self.samples = self.weight = self.high = 0
        self.centre = self.slow_centre = 0.0
        self.spread = self.slow_spread = LEAST_SPREAD

    def close(self) -> None:
        """The bucket is over: learn it; the fleet learns what the device does not refuse."""
        y = log1p(self.total)
        if self.accept(y) and self.fleet is not None:
            self.fleet.accept(y)

    def accept(self, y: float) -> bool:
        """Learn y, unless it is too high to be normal; whether it was learned."""
        if self.samples >= WARMUP:
            if (y - self.centre) / self.spread > DEVIATION:
                self.high += 1
                if self.high < 12:
                    return False
                self.weight = 12
            else:
                self.high = 0
        self.learn(y)
        return True

    def learn(self, y: float) -> None:
        """Move the centre and the spread."""
        self.samples += 1
        self.weight += 1
        if self.samples == 1:
            self.centre = self.slow_centre = y
            return
        slow = SLOW / (1.0 - (1.0 - SLOW) ** self.samples)
        bound = 3.0 * self.slow_spread
        off = min(max(y - self.slow_centre, -bound), bound)
        self.slow_centre += slow * off
        self.slow_spread = max(LEAST_SPREAD, (1.0 - slow) * self.slow_spread + slow * TO_SIGMA * abs(off))
        fast = FAST / (1.0 - (1.0 - FAST) ** self.weight)
        bound = 3.0 * self.spread
        off = min(max(y - self.centre, -bound), bound)
        self.centre += fast * off
        spread = (1.0 - fast) * self.spread + fast * TO_SIGMA * abs(off)
        self.spread = min(max(LEAST_SPREAD, spread), 1.5 * self.slow_spread)


def parsers() -> frozenset[str]:
    """The processes that take apart what strangers send."""
    text = (packs.rules_folder() / "mobile" / "lists" / "parser_processes.txt").read_text(encoding="utf-8")
    return frozenset(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def count(lines: list[bytes]) -> int:
    """How many alerts `an1756 ios` publishes."""
    decode = msgspec.json.Decoder(Event).decode
    parser_processes = parsers()
    levels: dict[tuple[str, str], Level] = {}
    fleet: dict[str, Level] = {}
    waiting: dict[str, dict[str, int]] = {}
    app_updates: dict[tuple[str, str | None], int] = {}
    system_updates: dict[str, int] = {}
    vpn_changes: dict[str, int] = {}
    silent_until: dict[tuple[str, str], int] = {}
    long_ago = -AFTER_SYSTEM_UPDATE_MS - 1
    found = 0

    def complete(device: str, apps: list[str], now: int) -> int:
        published = 0
        of_device = waiting[device]
        for app in apps:
            since = of_device[app]
            if now - since > WINDOW_MS:
                del of_device[app]
                continue
            if (
                app_updates.get((device, app), long_ago) >= since - AFTER_APP_UPDATE_MS
                or system_updates.get(device, long_ago) >= since - AFTER_SYSTEM_UPDATE_MS
                or vpn_changes.get(device, long_ago) >= since - AFTER_VPN_CHANGE_MS
            ):
                continue
            del of_device[app]
            if now > silent_until.get((device, app), long_ago):
                silent_until[device, app] = now + SILENCE_MS
                published += 1
        return published

    for line in lines:
        event = decode(line)
        kind = event.kind
        if kind == "net.flow":
            app, sent = event.app, event.bytes_out
            if app is None or sent is None:
                continue
            key = (event.device, app)
            level = levels.get(key)
            if level is None:
                all_devices = fleet.get(app)
                if all_devices is None:
                    all_devices = fleet[app] = Level(None)
                level = levels[key] = Level(all_devices)
            bucket = event.time // BUCKET_MS
            if bucket == level.bucket:
                level.total += sent
            else:
                if level.bucket >= 0:
                    level.close()
                level.bucket = bucket
                level.total = sent
            if sent >= LEAST_BYTES:
                judge = level if level.samples >= WARMUP else level.fleet
                if (
                    judge is not None
                    and judge.samples >= WARMUP
                    and (log1p(level.total) - judge.centre) / judge.spread >= DEVIATION
                ):
                    waiting.setdefault(event.device, {})[app] = event.time
        elif kind == "app.exit":
            why = event.exit_class
            if why in EXPLOITATION or (why in PROGRAMMING_ERRORS and event.process in parser_processes):
                app = event.app
                if app is not None and app in waiting.get(event.device, ()):
                    found += complete(event.device, [app], event.time)
        elif kind == "device.posture":
            if event.compromised and event.device in waiting:
                found += complete(event.device, list(waiting[event.device]), event.time)
        elif kind == "app.lifecycle":
            if event.phase in ("install", "update"):
                app_updates[event.device, event.app] = event.time
        elif kind == "device.config":
            if event.item == "os_version":
                system_updates[event.device] = event.time
        elif kind == "device.state" and event.item == "vpn":
            vpn_changes[event.device] = event.time
    return found
