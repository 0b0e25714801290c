"""USING prevalence: on how many devices of the key this value is seen.

Formula (LANGUAGE.md section 6): ``prevalence(b)`` = distinct devices with this value / distinct devices of
the key, both counted before this event; 0 for a value that nobody had, at most 1. Exact to 64 devices, then
estimated (``distinct.py``: standard error 3.25 % of each, so 4.6 % of the quotient). Warm at 50 devices:
with fewer, one device is more than the 2 % that RITA calls rare.

It looks back OVER (default 14 d) in two halves: what is counted is this half and the one before, so between
half of OVER and all of it. A device that has left the fleet is gone after that, and so is a value.

1,024 values a key; beyond, the one that was new or renewed longest ago goes (``dropped``) and counts as
seen by nobody. First and last sightings and intervals count: that a device had the value is true of them,
too. Meant for keys without ``device``: BY app, or no BY. An event later than GRACE is answered and not
learned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from engine.baselines import Reading
from engine.baselines.distinct import Distinct
from engine.baselines.estimator import Estimator, Fixed, Terms
from engine.baselines.layout import NOTHING, USED, Room, Row
from engine.baselines.novelty import as_text
from engine.baselines.rows import MINUTE_MS, Rows
from engine.baselines.stable import stable_hash

OVER_MS = 14 * 86_400_000
WARM_DEVICES = 50
MOST_VALUES = 1_024
GONE = -1
MOST_KNOWN = 131_072
"""Pairs of a device and a value that are remembered to be counted, over all keys."""


class Recent:
    """Distinct devices in this half of OVER and the one before. ``half`` is the number of this half."""

    __slots__ = ("both", "half", "this")

    def __init__(self, half: int) -> None:
        self.half = half
        self.both = Distinct()
        self.this: Distinct | None = None
        """This half's alone; None while it is the same as both."""

    def turn(self, half: int) -> bool:
        """Come to a half; whether it is a new one."""
        if half <= self.half:
            return False
        if half == self.half + 1:
            self.both = self.both if self.this is None else self.this
        else:
            self.both = Distinct()
        self.this = Distinct()
        self.half = half
        return True

    def add(self, digest: bytes) -> None:
        if self.this is not None:
            self.this.add(digest)
        self.both.add(digest)


class Shares:
    """The state of a key: its devices, and those of each value. ``given`` is what a TEST says instead."""

    __slots__ = ("devices", "given", "values")

    def __init__(self, half: int) -> None:
        self.devices = Recent(half)
        self.values: dict[bytes, Recent] = {}
        self.given: tuple[int, dict[bytes, float]] | None = None


Known: TypeAlias = tuple[int, Shares, Recent, set[str]]
"""Devices that are counted for a value already, so that there is nothing to learn of them in this half: the
number of the half, the state of the key, the devices with this value, and the names of those.
"""


class Prevalence(Estimator):
    """An object a key: at most 1,025 pairs of sets of 1 KiB, so 2.3 MB for a key whose every value is
    common.
    """

    using = "prevalence"
    objects = 1
    remembered = 1
    functions = ("prevalence",)

    def __init__(self, terms: Terms, rows: Rows, room: Room, peer: Estimator | None = None) -> None:
        super().__init__(terms, rows, room, peer)
        self.over_ms = terms.over_ms or OVER_MS
        self._half_ms = max(1, self.over_ms // 2)
        self.dropped = 0
        self._known = 0
        self._names: dict[str, str] = {}
        self._remembered: list[dict[Any, Known]] = []
        """What rows remember, by value; with PEER nothing is."""
        self.observe_known = self._observer()
        """As :meth:`observe` where there is no PEER, with the device apart; then remember that it is
        counted. The last argument is what the row remembers of the value.
        """
        rows.idle_at_least(self.over_ms)

    @property
    def half_ms(self) -> int:
        """Half of OVER."""
        return self._half_ms

    def observe(self, row: Row, time: int, value: Any, peer: Any) -> Any:
        """What was known before: (share, devices, whether it is the peer's); share None while cold.
        ``value`` is a pair: the device, and the value.
        """
        device, value = value
        who, what = stable_hash(device), stable_hash(value)
        share, devices = self._take(row, time, who, what)
        if self.peer is None:
            return share, devices, False
        assert isinstance(self.peer, Prevalence)
        other = self.peer.rows.at(peer, time // MINUTE_MS)
        theirs, many = self.peer._take(other, time, who, what)
        if share is None and theirs is not None:
            return theirs, many, True
        return share, devices, False

    def _observer(self) -> Callable[[Row, int, str, Any, Known | None], Any]:
        """:attr:`observe_known`, a closure: in a fleet of many devices it is the way of most events."""
        half_ms, grace, slot, memory = self._half_ms, self._grace, self._slot, self._memory
        names, remembering = self._names, self._remembered

        def observe_known(row: Row, time: int, device: str, value: Any, known: Known | None) -> Any:
            half = time // half_ms
            who = stable_hash(device)
            in_time = time // MINUTE_MS >= row[USED] - grace
            if known is not None and in_time and known[0] == half:
                _, shares, recent, counted = known
                devices = shares.devices
                if half == recent.half == devices.half:
                    # The value is there and of this half: another device has it.
                    count, having = devices.both.count, recent.both.count
                    if devices.this is not None or not devices.both.has_place(who):
                        devices.add(who)
                    if recent.this is not None:
                        recent.this.add(who)
                    recent.both.add(who)
                    if self._known >= MOST_KNOWN:
                        self._forget_known()
                    else:
                        counted.add(names.setdefault(device, device))
                        self._known += 1
                    return (min(1.0, having / count) if count >= WARM_DEVICES else None), count, False
            what = stable_hash(value)
            share, count = self._take(row, time, who, what)
            shares = row[slot]
            found = shares.values.get(what)
            if (
                in_time
                and found is not None
                and shares.given is None
                and found.half == half == shares.devices.half
            ):
                remembered: dict[Any, Known] = row[memory]
                if remembered is NOTHING:
                    remembered = row[memory] = {}
                if not remembered:
                    remembering.append(remembered)
                if self._known >= MOST_KNOWN:
                    self._forget_known()
                else:
                    remembered[value] = half, shares, found, {names.setdefault(device, device)}
                    self._known += 1
            return share, count, False

        return observe_known

    def _forget_known(self) -> None:
        for remembered in self._remembered:
            remembered.clear()
        self._remembered.clear()
        self._names.clear()
        self._known = 0

    def _take(self, row: Row, time: int, who: bytes, what: bytes) -> tuple[float | None, float]:
        slot = self._slot
        half = time // self._half_ms
        shares: Shares | None = row[slot]
        if shares is None:
            shares = row[slot] = Shares(half)
        if shares.given is not None:
            devices, given = shares.given
            return (given.get(what, 0.0) if devices >= WARM_DEVICES else None), devices
        late = self.is_late(row, time // MINUTE_MS) or half < shares.devices.half
        if not late and shares.devices.turn(half):
            row[self._memory] = NOTHING
        count = shares.devices.both.count
        known = shares.values.get(what)
        if known is not None and known.turn(shares.devices.half):
            # In order of renewal, so that the first one is the one to drop.
            del shares.values[what]
            if known.both.count:
                shares.values[what] = known
            else:
                known = None
        share = None
        if count >= WARM_DEVICES:
            share = 0.0 if known is None else min(1.0, known.both.count / count)
        if not late:
            shares.devices.add(who)
            if known is None:
                if len(shares.values) >= MOST_VALUES:
                    # Whoever remembers it sees that it is of no half.
                    shares.values.pop(next(iter(shares.values))).half = GONE
                    self.dropped += 1
                known = shares.values[what] = Recent(half)
            known.add(who)
        return share, count

    def warm(self, row: Row) -> bool:
        shares: Shares | None = row[self._slot]
        if shares is None:
            return False
        devices = shares.given[0] if shares.given is not None else shares.devices.both.count
        return devices >= WARM_DEVICES

    def _said(self, seen: Any) -> tuple[float | None, float, bool]:
        """What a ``Known`` stands for: nothing has changed by the event."""
        if len(seen) == 3:
            return seen  # type: ignore[no-any-return]  # what observe gave
        _, shares, value, _ = seen
        count = shares.devices.both.count
        return (min(1.0, value.both.count / count) if count >= WARM_DEVICES else None), count, False

    def ready(self, row: Row | None, seen: Any, peer: Any) -> bool:
        return seen is not None and self._said(seen)[0] is not None

    def prevalence(self, row: Row | None, seen: Any, peer: Any) -> float | None:
        """The share of devices, 0 to 1; None while cold."""
        return None if seen is None else self._said(seen)[0]

    def reading(self, row: Row, seen: Any, peer: Any, time: int, value: Any) -> Reading:
        share, devices, of_peer = self._said(seen)
        who: Estimator = self
        if of_peer and self.peer is not None:
            found = self.peer.rows.find(peer)
            assert found is not None
            who, row = self.peer, found
        return Reading(
            baseline=self.name,
            using=self.using,
            function="prevalence",
            value=as_text(value[1]),
            score=share,
            expected=None,
            low=None,
            high=None,
            drift=None,
            scope=who.scope,
            peer=of_peer,
            samples=int(devices),
            age_ms=who.age_ms(row, time),
            state="cold" if share is None else "ok",
            window_ms=self.over_ms,
        )

    def fix(self, key: Any, state: Mapping[str, Any], time: int) -> None:
        devices = state.get("devices")
        if isinstance(devices, bool) or not isinstance(devices, int) or devices < 0:
            raise Fixed('a prevalence baseline is given as { "value": share devices: count }')
        given: dict[bytes, float] = {}
        for value, share in state.items():
            if value == "devices":
                continue
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise Fixed(f"the share of {value!r} must be a number from 0 to 1")
            # A text names one value, or a tuple as alerts write it; what looks like a number may be one.
            parts = tuple(_literal(part) for part in value.split(", "))
            for written in (value, parts[0] if len(parts) == 1 else parts):
                given[stable_hash(written)] = float(share)
        row = self.rows.at(key, time // MINUTE_MS)
        shares = row[self._slot] = Shares(time // self._half_ms)
        shares.given = (devices, given)
        row[self._memory] = NOTHING

    def pack(self, held: Any) -> Any:
        if held is None:
            return None
        given = None if held.given is None else [held.given[0], held.given[1]]
        return [_packed(held.devices), [[k, _packed(v)] for k, v in held.values.items()], given]

    def unpack(self, stored: Any) -> Any:
        if stored is None:
            return None
        devices, values, given = stored
        made = Shares(0)
        made.devices = _unpacked(devices)
        made.values = {key: _unpacked(recent) for key, recent in values}
        made.given = None if given is None else (given[0], given[1])
        return made


def _literal(part: str) -> str | int:
    """One part of a given tuple: ports and the like are numbers."""
    return int(part) if part.lstrip("-").isdigit() else part


def _packed(recent: Recent) -> list[Any]:
    return [recent.half, recent.both.pack(), None if recent.this is None else recent.this.pack()]


def _unpacked(stored: list[Any]) -> Recent:
    made = Recent(stored[0])
    made.both = Distinct.unpack(stored[1])
    made.this = None if stored[2] is None else Distinct.unpack(stored[2])
    return made
