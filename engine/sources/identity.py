"""From addresses to devices: `ident.lease` events say which device had an address, and for how long.

Network sensors see addresses. An event that knows no more has `attribution: ip`, and as its device the
address itself, a pseudo-device: nobody's history should be built on it longer than needed. Leases come from
DHCP and VPN servers, as events like any other; they may come after the traffic that they explain.

Theory. Every lease is an interval of event time on a key: a session, a hardware address or an IP address. At
any time the lease that began last holds (a new lease of an address ends the old one), up to its own end; so
the answer for an event depends on the set of leases that are known and not on the order in which they came.
An event without an answer is held until a lease covers it, at most so long and so many (`Identity`); then it
goes on as it is. An event that went on is not called back. Pure: no clock but the one that the caller passes
in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.sources import times
from engine.sources.addresses import address, mac
from engine.sources.records import Refused, shown

Wire = dict[str, Any]
"""A canonical event as a dict, its `time` in epoch milliseconds."""

Key = tuple[str, str]
"""What an address is, and the address: ("ip", "10.0.0.7"), ("mac", ...), ("session", ...)."""

KIND = "ident.lease"

HOLD_MS = 10 * 60_000
"""How long an event waits for its lease: servers write leases at once, and shippers send every few
minutes."""

MAX_HELD = 10_000
"""Events that wait at the same time; above, the oldest goes on as it is. About 10 MB."""

OPEN_LEASE_MS = 7 * 24 * 3_600_000
"""How long a lease counts that has no end: the longest that networks for guests and phones commonly set.
Without a bound, an address that was given up would name its last owner for ever."""

KEPT_MS = 24 * 3_600_000
"""How long a lease is kept after its end: for events that come late (LATE of net.flow)."""

MAX_LEASES_A_KEY = 64
MAX_KEYS = 200_000
"""Bounds of memory; the oldest goes first, and is counted."""


class Counts(msgspec.Struct):
    """What became of leases and events."""

    leases: int = 0
    bad_leases: int = 0
    """Without a usable address, or that end before they begin."""
    dropped_leases: int = 0
    """Forgotten at MAX_LEASES_A_KEY or MAX_KEYS while they could still have been needed."""
    resolved: int = 0
    """At once."""
    resolved_late: int = 0
    """After they had been held."""
    unresolved: int = 0
    """Went on with the pseudo-device."""
    unresolved_full: int = 0
    """Of these, because MAX_HELD was reached."""


class _Lease(msgspec.Struct, gc=False):
    begin: int
    end: int
    device: str
    said: int
    """Time of the event that says it: of two about the same beginning, the later word counts."""


class _Held(msgspec.Struct):
    since: int
    event: Wire
    keys: tuple[Key, ...]


class Identity:
    """The leases that are known, and the events that wait for one.

    Args:
        hold_ms: how long an event waits, in the time that the caller passes as `now`.
        max_held: how many wait.
    """

    def __init__(self, hold_ms: int = HOLD_MS, max_held: int = MAX_HELD) -> None:
        self.counts = Counts()
        self.expects_leases = False
        """Events are held only after it is known that leases come at all; `lease` sets it."""
        self._hold_ms = hold_ms
        self._max_held = max_held
        self._leases: dict[Key, list[_Lease]] = {}
        self._held: dict[int, _Held] = {}
        self._waiting: dict[Key, dict[int, None]] = {}
        self._next = 0
        self._now = 0

    @property
    def held(self) -> int:
        """Events that wait now."""
        return len(self._held)

    def lease(self, event: Wire) -> list[Wire]:
        """Learn a lease. Returns the events that waited for it, resolved, in the order in which they came.

        A lease that cannot be used is counted, and changes nothing.
        """
        self.expects_leases = True
        keys = list(_lease_keys(event))
        begin, end = event.get("valid_from"), event.get("valid_to")
        device, said = event.get("device"), event.get("time")
        if (
            not keys
            or not isinstance(device, str)
            or not isinstance(said, int)
            or not isinstance(begin, int)
            or not (end is None or (isinstance(end, int) and end >= begin))
        ):
            self.counts.bad_leases += 1
            return []
        self.counts.leases += 1
        lease = _Lease(begin, begin + OPEN_LEASE_MS if end is None else end, device, said)
        waiting: set[int] = set()
        for key in keys:
            self._learn(key, lease)
            waiting.update(self._waiting.get(key, ()))
        released = []
        for number in sorted(waiting):
            held = self._held[number]
            found = self._device(held.keys, held.event["time"])
            if found is not None:
                self._forget_held(number)
                self.counts.resolved_late += 1
                released.append(_resolved(held.event, found))
        return released

    def resolve(self, event: Wire, now: int) -> list[Wire]:
        """The event with its device, or nothing while it is held; and before it the events whose wait is
        over.

        An event that is not `attribution: ip`, or that has no address, comes back as it is. `now` is the
        caller's clock in epoch milliseconds; it never goes back.
        """
        out = self.advance(now)
        if event.get("attribution") != "ip":
            return [*out, event]
        keys = tuple(_event_keys(event))
        time = event.get("time")
        if not keys or not isinstance(time, int):
            self.counts.unresolved += 1
            return [*out, event]
        found = self._device(keys, time)
        if found is not None:
            self.counts.resolved += 1
            return [*out, _resolved(event, found)]
        if not self.expects_leases or self._max_held <= 0 or self._hold_ms <= 0:
            self.counts.unresolved += 1
            return [*out, event]
        number = self._next
        self._next += 1
        self._held[number] = _Held(self._now, event, keys)
        for key in keys:
            self._waiting.setdefault(key, {})[number] = None
        if len(self._held) > self._max_held:
            self.counts.unresolved_full += 1
            out.append(self._give_up(next(iter(self._held))))
        return out

    def advance(self, now: int) -> list[Wire]:
        """The events whose wait is over at `now`, as they came in."""
        self._now = max(self._now, now)
        out = []
        while self._held:
            number, oldest = next(iter(self._held.items()))
            if oldest.since + self._hold_ms >= self._now:
                break
            out.append(self._give_up(number))
        return out

    def close(self) -> list[Wire]:
        """All events that still wait, as they came in: there is no more input."""
        return [self._give_up(number) for number in list(self._held)]

    def _learn(self, key: Key, lease: _Lease) -> None:
        # Taken out and put back in, so that the keys stand in the order of their last lease.
        known = self._leases.pop(key, [])
        self._leases[key] = known
        place = bisect_right(known, lease.begin, key=lambda one: one.begin)
        if place and known[place - 1].begin == lease.begin:
            if known[place - 1].said <= lease.said:
                known[place - 1] = lease
        else:
            known.insert(place, lease)
        # The last lease that began before the horizon may still hold; those before it do not.
        horizon = self._now - KEPT_MS
        over = bisect_right(known, horizon, key=lambda one: one.begin) - 1
        del known[: max(over, 0)]
        if len(known) > MAX_LEASES_A_KEY:
            del known[0]
            self.counts.dropped_leases += 1
        if len(self._leases) > MAX_KEYS:
            oldest = next(iter(self._leases))
            if any(one.end >= horizon for one in self._leases.pop(oldest)):
                self.counts.dropped_leases += 1

    def _device(self, keys: tuple[Key, ...], time: int) -> str | None:
        for key in keys:
            known = self._leases.get(key)
            if known:
                place = bisect_right(known, time, key=lambda one: one.begin)
                if place and time <= known[place - 1].end:
                    return known[place - 1].device
        return None

    def _give_up(self, number: int) -> Wire:
        self.counts.unresolved += 1
        return self._forget_held(number)

    def _forget_held(self, number: int) -> Wire:
        held = self._held.pop(number)
        for key in held.keys:
            waiting = self._waiting[key]
            del waiting[number]
            if not waiting:
                del self._waiting[key]
        return held.event


def _resolved(event: Wire, device: str) -> Wire:
    """The event as one of the device. The address stays, in `client_ip`."""
    found = event | {"device": device, "attribution": "device"}
    if "client_ip" not in found:
        ip = _ip(event.get("device"))
        if ip is not None:
            found["client_ip"] = ip
    return found


def _lease_keys(event: Wire) -> Iterator[Key]:
    """What a lease is about."""
    ip, hardware, session = _ip(event.get("ip")), mac(event.get("mac")), event.get("session")
    if isinstance(session, str) and session:
        yield "session", session
    if hardware is not None:
        yield "mac", hardware
    if ip is not None:
        yield "ip", ip


def _event_keys(event: Wire) -> Iterator[Key]:
    """By what the device of an event may be known, the surest first: a session is one device's, a hardware
    address may be that of a router in between, an address is shared by all behind a translator."""
    session, hardware = event.get("client_session"), mac(event.get("client_mac"))
    if isinstance(session, str) and session:
        yield "session", session
    if hardware is not None:
        yield "mac", hardware
    ip = _ip(event.get("client_ip", event.get("device")))
    if ip is not None:
        yield "ip", ip


def _ip(value: object) -> str | None:
    try:
        return address(value, "ip")[0]
    except Refused:
        return None


def with_times(event: Wire) -> Wire:
    """The event with its times in epoch milliseconds, which the wire also allows as RFC 3339 texts.

    Raises Refused "bad_time", and "missing_field" when it has no time.
    """
    if type(event.get("time")) not in (int, str):
        raise Refused("missing_field", f"The event has no time but '{shown(event.get('time'))}'.")
    texts = {
        name: times.from_text(value)
        for name in ("time", "valid_from", "valid_to")
        if isinstance(value := event.get(name), str)
    }
    return event | texts if texts else event
