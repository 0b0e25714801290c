"""Since when the engine watches, and when each device last sent each kind of event: for gaps.

An alert says what was looked for and not found. That says little if the engine has not watched long
enough (LANGUAGE.md section 4 item 12), or if the device sends no events of that kind.

*Since when*: the earliest time of an event that came in, of any kind. Not the time of the first that
came in, because that depends on the order of arrival; and not of the first of a kind, because kinds
such as updates are rare: a kind that has not come is watched for all the same.

*When last*: for the kinds that some rule needs and a match does not show: guards, NO, and branches that
may be left out. A time is noted again when it is an hour old, so that a device that sends often costs
one look in a table; so a sighting may be up to an hour later than noted, and :meth:`Sightings.lately`
allows for it. Entries older than the longest look back, at least :data:`LATELY_MS`, and the kind's LATE
are dropped.

Pure: times of events only, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

LATELY_MS: Final = 7 * 86_400_000
"""A device that sent a kind within this time before a match (or within the guard's look back, where that
is longer) sends it. Inventories and reports by hand are daily to weekly: more than a week says little."""
EVERY_MS: Final = 3_600_000
"""A time is noted again when it is this much older: what is called lately is exact to this."""
NEVER: Final = -(1 << 62)
FOREVER: Final = 1 << 62


class SightingsState(msgspec.Struct, frozen=True):
    """For snapshots: ``last`` is device to time for each kind, ``latest`` the latest time of each kind;
    ``later`` the kinds that were not noted from the beginning, with the time from which they were.
    """

    since: int | None
    last: dict[str, dict[str, int]]
    latest: dict[str, int]
    later: dict[str, int]


class Sightings:
    """See the head of this file.

    Attributes:
        earliest: one number, the earliest time of an event; :data:`FOREVER` before the first. Generated
            code reads it and calls :meth:`watch_since`.
        last: for each kind that is noted, device to time. Generated code reads it and calls :meth:`note`
            where a time is new, or older by more than :data:`EVERY_MS`. The tables stay the same ones.
    """

    def __init__(self) -> None:
        self.earliest = [FOREVER]
        self.last: dict[str, dict[str, int]] = {}
        self._keep_ms: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._later: dict[str, int] = {}
        self._forget_at: dict[str, int] = {}
        self._tend_at = NEVER
        self.changed: Callable[[str], None] = lambda device: None
        """Called with a device before what is noted of it changes."""

    @property
    def since(self) -> int | None:
        """The earliest time of an event, epoch milliseconds; None before the first."""
        return None if self.earliest[0] == FOREVER else self.earliest[0]

    def need(self, kind: str, look_back_ms: int, late_ms: int) -> None:
        """Have a kind noted, for matches that ask so far back, and events that come so late."""
        keep_ms = max(look_back_ms, LATELY_MS) + late_ms
        self.last.setdefault(kind, {})
        self._keep_ms[kind] = max(keep_ms, self._keep_ms.get(kind, 0))

    def watch_since(self, time: int) -> None:
        """An event of this time came in. Only one that is the first of its kind, or out of order, can be
        the earliest, so only those need be told.
        """
        self.earliest[0] = min(self.earliest[0], time)

    def since_of(self, kinds: Iterable[str]) -> int:
        """The earliest time from which all these kinds are watched; 0 before the first event."""
        since = self.since or 0
        if self._later:
            return max((self._later.get(kind, since) for kind in kinds), default=since)
        return since

    def since_all(self) -> int | None:
        """:meth:`since_of` where it is the same for all kinds; None where it is not, or nothing has come."""
        return None if self._later or self.earliest[0] == FOREVER else self.earliest[0]

    def note(self, kind: str, device: str, time: int) -> None:
        """A device sent an event of a kind."""
        last = self.last[kind]
        if time <= last.get(device, NEVER):
            return
        self.changed(device)
        # The table stays in the order in which times were noted, so that the oldest are found in front.
        last.pop(device, None)
        last[device] = time
        if time > self._latest.get(kind, NEVER):
            self._latest[kind] = time
        due = self._forget_at.setdefault(kind, time + EVERY_MS)
        if time >= due:
            self._forget_kind(kind, time)

    def forget(self, now: int) -> None:
        """Drop what is older than any match at or after ``now`` can ask about."""
        for kind in self.last:
            self._forget_kind(kind, now)

    def tend(self, now: int) -> None:
        """The wall clock shows ``now``: forget, but not more often than every :data:`EVERY_MS`. Where events
        come in, :meth:`note` does it; this is for kinds that have stopped coming.
        """
        if now >= self._tend_at:
            self._tend_at = now + EVERY_MS
            self.forget(now)

    def _forget_kind(self, kind: str, now: int) -> None:
        self._forget_at[kind] = now + EVERY_MS
        last, limit = self.last[kind], now - self._keep_ms[kind] - EVERY_MS
        old: list[str] = []
        for device, time in last.items():
            # What came late stands behind newer ones; it goes when it comes to the front.
            if time >= limit:
                break
            old.append(device)
        for device in old:
            self.changed(device)
            del last[device]

    def lately(self, kind: str, device: str, time: int, within_ms: int = 0) -> bool:
        """Whether a device sent a kind in the time before ``time`` that counts as lately."""
        return self.last[kind].get(device, NEVER) >= time - max(within_ms, LATELY_MS) - EVERY_MS

    def seen_at_all(self, kind: str) -> bool:
        """Whether any device ever sent a kind."""
        return kind in self._latest

    def state(self, of_devices: bool = True) -> SightingsState:
        """A copy of all that is known; without what is known of devices if that is not asked for."""
        last = {kind: dict(of_kind) if of_devices else {} for kind, of_kind in self.last.items()}
        return SightingsState(self.since, last, dict(self._latest), dict(self._later))

    def restore(self, state: SightingsState) -> None:
        """Go on from a copy. Kinds that no rule needs any more are left out; those that no rule needed
        before are watched from the newest time that the copy knows.
        """
        self.earliest[0] = FOREVER if state.since is None else state.since
        newest = max(state.latest.values(), default=state.since)
        for kind, last in self.last.items():
            # In place: generated code holds the tables.
            last.clear()
            last.update(state.last.get(kind, {}))
            if kind not in state.last and newest is not None:
                self._later[kind] = newest
            elif kind in state.later:
                self._later[kind] = state.later[kind]
        self._latest = {kind: time for kind, time in state.latest.items() if kind in self.last}
        self._forget_at = {}
