"""The rule `an1756 ios` of the mobile pack by hand, with the baseline `app egress` written out.

Of the pack's other rules nothing is written here: the work `mobile` compares the whole pack with the floor
only.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log1p
from typing import Any

import msgspec

from benchmarks.references.level import Level, slow_weights
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


class Flow(msgspec.Struct, tag_field="kind", tag="net.flow", gc=False):
    """What the rule and its baseline read of a flow. Of the lists of managed apps and destinations nothing is
    read: they are empty as shipped.
    """

    device: str
    time: int
    app: str | None = None
    bytes_out: int | None = None
    process: str | None = None


class Exit(msgspec.Struct, tag_field="kind", tag="app.exit", gc=False, rename={"why": "class"}):
    """What the rule reads of the end of an app."""

    device: str
    time: int
    app: str | None = None
    process: str | None = None
    why: str | None = None


class Posture(msgspec.Struct, tag_field="kind", tag="device.posture", gc=False):
    """What the rule reads of a verdict on the device."""

    device: str
    time: int
    compromised: bool | None = None


class Lifecycle(msgspec.Struct, tag_field="kind", tag="app.lifecycle", gc=False):
    """What the rule reads of an update."""

    device: str
    time: int
    app: str | None = None
    phase: str | None = None


class Config(msgspec.Struct, tag_field="kind", tag="device.config", gc=False):
    """What the rule reads of a change of the system."""

    device: str
    time: int
    item: str | None = None


class State(msgspec.Struct, tag_field="kind", tag="device.state", gc=False):
    """What the rule reads of a change of the device."""

    device: str
    time: int
    item: str | None = None


class Lookup(msgspec.Struct, tag_field="kind", tag="net.dns", gc=False):
    """Nothing is read of this kind, nor of those below."""


class Handshake(msgspec.Struct, tag_field="kind", tag="net.tls", gc=False):
    """See ``Lookup``."""


class Access(msgspec.Struct, tag_field="kind", tag="app.access", gc=False):
    """See ``Lookup``."""


class Health(msgspec.Struct, tag_field="kind", tag="sensor.health", gc=False):
    """See ``Lookup``."""


Read = Flow | Exit | Posture | Lifecycle | Config | State
decode = msgspec.json.Decoder(Read | Lookup | Handshake | Access | Health).decode


def entries(name: str) -> frozenset[str]:
    """What a list of the pack holds."""
    text = (packs.rules_folder() / "mobile" / "lists" / f"{name}.txt").read_text(encoding="utf-8")
    return frozenset(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def count(
    lines: list[bytes], read: Callable[[bytes], Any] = decode, flow: type[msgspec.Struct] = Flow
) -> int:
    """How many alerts `an1756 ios` publishes. ``read`` may give other structs; ``flow`` is that of a flow."""
    parser_processes = entries("parser_processes")
    background = entries("first_party_background")
    slow = slow_weights(BUCKET_MS)
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
        event = read(line)
        kind = type(event)
        if kind is flow:
            app, sent = event.app, event.bytes_out
            if app is None or sent is None:
                continue
            time = event.time
            key = (event.device, app)
            level = levels.get(key)
            if level is None:
                all_devices = fleet.get(app)
                if all_devices is None:
                    all_devices = fleet[app] = Level(None, slow, WARMUP)
                level = levels[key] = Level(all_devices, slow, WARMUP)
            bucket = time // BUCKET_MS
            if bucket == level.bucket:
                level.total += sent
            else:
                level.next(bucket, sent)
            if sent >= LEAST_BYTES:
                judge = level if level.samples >= WARMUP else level.fleet
                if (
                    judge is not None
                    and judge.samples >= WARMUP
                    and (log1p(level.total) - judge.centre) / judge.spread >= DEVIATION
                    and app not in background
                    and event.process not in background
                ):
                    waiting.setdefault(event.device, {})[app] = time
        elif kind is Exit:
            why = event.why
            if why in EXPLOITATION or (why in PROGRAMMING_ERRORS and event.process in parser_processes):
                app = event.app
                if app is not None and app in waiting.get(event.device, ()):
                    found += complete(event.device, [app], event.time)
        elif kind is Posture:
            if event.compromised and event.device in waiting:
                found += complete(event.device, list(waiting[event.device]), event.time)
        elif kind is Lifecycle:
            if event.phase in ("install", "update"):
                app_updates[event.device, event.app] = event.time
        elif kind is Config:
            if event.item == "os_version":
                system_updates[event.device] = event.time
        elif kind is State and event.item == "vpn":
            vpn_changes[event.device] = event.time
    return found
