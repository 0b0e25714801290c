"""What the baselines of the mobile pack cost by hand: those that a flow, a lookup and a handshake feed.

The rule `an1756 ios` is counted as in ``references.mobile``; no other rule is asked anything. Beside its
baseline these are learned: the domains of an app on a device and on all, the devices of a domain and app, the
services of a device, its hours, and the names it asked for and visited with the devices that did. Sets of
devices are plain sets, which grow with the fleet, and nothing is packed, late, or forgotten: an engine may do
none of that, so this is less than it has to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.references import mobile
from benchmarks.references.mobile import Config, Exit, Lifecycle, Posture, State

STEP_MS = 14 * 86_400_000 // 256
MOST_VALUES = 64
MOST_OF_FLEET = 1_024
HOUR_MS = 3_600_000


class Flow(msgspec.Struct, tag_field="kind", tag="net.flow", gc=False):
    """What the baselines and the rule read of a flow."""

    device: str
    time: int
    app: str | None = None
    bytes_out: int | None = None
    process: str | None = None
    domain: str | None = None
    ip: str | None = None
    port: int | None = None


class Lookup(msgspec.Struct, tag_field="kind", tag="net.dns", gc=False):
    """What the baselines read of a lookup."""

    device: str
    time: int
    domain: str | None = None


class Handshake(msgspec.Struct, tag_field="kind", tag="net.tls", gc=False):
    """What the baselines read of a handshake."""

    device: str
    time: int
    domain: str | None = None


_LEARNED = frozenset({Flow, Lookup, Handshake})
decode = msgspec.json.Decoder(
    Flow | Exit | Posture | Lifecycle | Config | State | Lookup | Handshake | mobile.Access | mobile.Health
).decode


def learn(values: dict[Any, int], value: Any, step: int) -> bool:
    """Note that a value was seen; whether it was not there."""
    new = values.pop(value, None) is None
    if new and len(values) >= MOST_VALUES:
        del values[next(iter(values))]
    values[value] = step
    return new


def learner() -> Callable[[Any], None]:
    """A function that lets the baselines take an event that is a flow, a lookup or a handshake."""
    domains: dict[str, dict[str, dict[Any, int]]] = {}
    of_app: dict[str, dict[Any, int]] = {}
    reach: dict[str, dict[str, set[str]]] = {}
    services: dict[str, dict[Any, int]] = {}
    hours: dict[str, int] = {}
    asked: tuple[dict[str, dict[Any, int]], dict[str, set[str]]] = ({}, {})
    visited: tuple[dict[str, dict[Any, int]], dict[str, set[str]]] = ({}, {})
    weights: dict[str, list[float]] = {}
    step = hour = end = 0

    def take(event: Any) -> None:
        nonlocal step, hour, end
        time, device = event.time, event.device
        if time >= end:
            # Events come in order of time.
            step, hour = time // STEP_MS, time // HOUR_MS
            end = min((step + 1) * STEP_MS, (hour + 1) * HOUR_MS)
        domain = event.domain
        if type(event) is not Flow:
            of_device, fleet = asked if type(event) is Lookup else visited
            if domain is not None:
                try:
                    known = of_device[device]
                except KeyError:
                    known = of_device[device] = {}
                if known.get(domain) != step:
                    learn(known, domain, step)
                add(fleet, domain, device)
            return
        app = event.app
        if app is not None and domain is not None:
            try:
                known = domains[device][app]
            except KeyError:
                known = domains.setdefault(device, {})[app] = {}
            if known.get(domain) != step:
                learn(known, domain, step)
            try:
                known = of_app[app]
            except KeyError:
                known = of_app[app] = {}
                reach[app] = {}
            if known.get(domain) != step:
                learn(known, domain, step)
            add(reach[app], domain, device)
        if event.ip is not None and event.port is not None:
            service = event.ip, event.port
            try:
                known = services[device]
            except KeyError:
                known = services[device] = {}
            if known.get(service) != step:
                learn(known, service, step)
        if hours.get(device) != hour:
            hours[device] = hour
            weights.setdefault(device, [0.0] * 168)[hour % 168] += 1.0

    return take


def add(fleet: dict[str, set[str]], value: str, device: str) -> None:
    """Count a device for a value."""
    try:
        fleet[value].add(device)
    except KeyError:
        if len(fleet) >= MOST_OF_FLEET:
            del fleet[next(iter(fleet))]
        fleet[value] = {device}


def count(lines: list[bytes]) -> int:
    """How many alerts `an1756 ios` publishes, the baselines of the pack learned beside."""
    take = learner()

    def read(line: bytes) -> Any:
        event = decode(line)
        if type(event) in _LEARNED:
            take(event)
        return event

    return mobile.count(lines, read, Flow)
