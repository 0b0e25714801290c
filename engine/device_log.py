"""The events that a device has sent and that fit something, kept once for all rules.

A rule has a state of its own for a device only from the first event on that may start a run. What fits its
other sources before that cannot complete anything; but an event that comes late may start a run before it,
so it must be kept. It is kept here, once, whatever the number of rules it fits: a crash that ends a hundred
rules is one entry. When a rule begins on a device it takes from here what fits it (``RuleRuntime``).

Entries stay as long as any rule that shares the log can look back, and within each rule's cap.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from engine.device_state import ALWAYS_KNOWN
from engine.events import MAX_TIME_MS, Event
from engine.expiry import Expiry

if TYPE_CHECKING:
    from engine.baselines import Reading

Fits: TypeAlias = tuple[tuple[int, int], ...]
"""Which rules an event fits, in their order: a rule's index and the bits of its sources."""
TRIM_EVERY: Final = 64
_NONE_ACTIVE: dict[int, None] = {}
_NONE_CUT: dict[int, int] = {}


class Logged(msgspec.Struct, gc=False):
    """One event.

    Attributes:
        time: of the event, milliseconds.
        position: its place in the input.
        fits: the rules that it fits besides those that every event of its kind fits.
        readings: baseline values fixed when it arrived; see ``Kept``.
    """

    time: int
    position: int
    event: Event
    fits: Fits
    readings: dict[str, Reading] | None


class DeviceLog(msgspec.Struct, gc=False):
    """The log of one device, in order.

    Attributes:
        device: its id.
        known_from: before this time nothing is kept any more.
        entries: the events.
        states: the rules that have a state of their own for this device.
        active: those of them that must be told of every event that fits them; the others only of what comes
            late.
        cut: for a rule whose events were too many, from when on they are kept.
        longest: the longest interval the device has sent, in milliseconds.
    """

    device: str
    known_from: int
    entries: list[Logged]
    # An idle device must cost little: what it never fills is shared and empty, and so are rules alone.
    states: dict[int, None]
    active: dict[int, None]
    cut: dict[int, int]
    longest: int = 0

    def begin(self, rule: int) -> None:
        """A rule has a state of its own from now on, and is told of everything."""
        self.states = _with(self.states, rule)
        self.active = _with(self.active, rule)

    def end(self, rule: int, since: int) -> None:
        """A rule has none any more. What was before ``since`` it must not take from here again: it has
        forgotten what it said of that.
        """
        self.cut = {**self.cut, rule: max(self.known(rule), since)}
        self.states = _without(self.states, rule)
        self.active = _without(self.active, rule)

    def activate(self, rule: int) -> None:
        """A rule is told of everything."""
        self.active = _with(self.active, rule)

    def rest(self, rule: int) -> None:
        """A rule is told only of what comes late."""
        self.active = _without(self.active, rule)

    def has_duplicate(self, event: Event) -> bool:
        """Whether the same event is kept already: delivery is at least once. Equal ids have equal times."""
        entries = self.entries
        at = bisect_right(entries, event.time, key=_time)
        while at and entries[at - 1].time == event.time:
            at -= 1
            other = entries[at].event
            if other.id == event.id and other.kind == event.kind:
                return True
        return False

    def insert(self, entry: Logged) -> None:
        """Put an entry in its place."""
        entries = self.entries
        if not entries or entry.time > entries[-1].time:
            entries.append(entry)
        else:
            entries.insert(bisect_right(entries, (entry.time, entry.position), key=_order), entry)

    def known(self, rule: int) -> int:
        """From when on all events of a rule are kept."""
        return max(self.known_from, self.cut.get(rule, ALWAYS_KNOWN))

    def of_rule(
        self,
        rule: int,
        always: dict[str, dict[int, int]],
        since: int = ALWAYS_KNOWN,
        until: int = MAX_TIME_MS,
    ) -> Iterator[tuple[Logged, int]]:
        """The entries that fit a rule, in order, each with the bits of the rule's sources.

        Args:
            rule: its index.
            always: by event kind, the rules that each event of it fits, with the bits.
            since: the earliest time,
            until: and the latest.
        """
        entries = self.entries
        first = bisect_left(entries, max(since, self.known(rule)), key=_time)
        for entry in islice(entries, first, None):
            if entry.time > until:
                return
            mask = _bits(entry, rule, always)
            if mask is not None:
                yield entry, mask

    def behind(self, rule: int, always: dict[str, dict[int, int]], order: tuple[int, ...]) -> Iterator[Event]:
        """The events that fit a rule and stand behind a place in the order, the last first."""
        for entry in reversed(self.entries):
            if (entry.time, entry.position) <= order:
                return
            if _bits(entry, rule, always) is not None:
                yield entry.event


@lru_cache(maxsize=65_536)
def _only(rule: int) -> dict[int, None]:
    """One rule alone: shared by all devices that have it, so never written to."""
    return {rule: None}


def _with(rules: dict[int, None], rule: int) -> dict[int, None]:
    """The rules and one more. Two and more are the device's own."""
    if not rules:
        return _only(rule)
    if rule not in rules:
        if len(rules) == 1:
            return {**rules, rule: None}
        rules[rule] = None
    return rules


def _without(rules: dict[int, None], rule: int) -> dict[int, None]:
    """The rules less one."""
    if rule not in rules:
        return rules
    if len(rules) == 1:
        return _NONE_ACTIVE
    del rules[rule]
    return _only(next(iter(rules))) if len(rules) == 1 else rules


def _bits(entry: Logged, rule: int, always: dict[str, dict[int, int]]) -> int | None:
    """The bits of a rule's sources that an entry fits."""
    mask = always[entry.event.kind].get(rule)
    if mask is None:
        for index, bits in entry.fits:
            if index == rule:
                return bits
    return mask


def new_log(device: str, known_from: int) -> DeviceLog:
    """The empty log of a device."""
    return DeviceLog(device, known_from, [], _NONE_ACTIVE, _NONE_ACTIVE, _NONE_CUT)


class DeviceLogs:
    """The logs of one matcher.

    Args:
        always: by event kind, the rules that share the logs and that each event of the kind fits.
        caps: for each rule that shares the logs, how many of its events are kept.
        keep_ms: how long an event can matter to any of them.
        dropped: told of a rule, a device, how many events were dropped at the rule's cap, and from when on
            they are kept.
        changed: told of a device whose log is gone.
    """

    def __init__(
        self,
        always: dict[str, dict[int, int]],
        caps: dict[int, int],
        keep_ms: int,
        dropped: Callable[[int, str, int, int], None],
        changed: Callable[[str], None],
    ) -> None:
        self.always = always
        self.sharing = frozenset(caps)
        """The rules that share the logs."""
        self.logs: dict[str, DeviceLog] = {}
        self.expiry: Expiry[DeviceLog] = Expiry(keep_ms)
        self.forgotten = ALWAYS_KNOWN
        """Logs that ended before this time are gone: what is older can no longer be judged."""
        self._caps = caps
        self._dropped = dropped
        self._changed = changed
        # Rules that each event of a kind fits are counted together; the largest cap holds for them.
        self._always_caps = {
            kind: max((caps[rule] for rule in rules), default=0) for kind, rules in always.items()
        }
        self._least_cap = min(caps.values(), default=0)

    def open(self, device: str, time: int) -> DeviceLog:
        """The log of a device that has none, at the time of its first event."""
        log = self.logs[device] = new_log(device, self.forgotten)
        self.expiry.add(log, time)
        return log

    def add(self, log: DeviceLog, entry: Logged) -> None:
        """Keep an event, unless it is older than what is still kept."""
        if entry.time < log.known_from:
            return
        entries = log.entries
        if not entries or entry.time > entries[-1].time:
            entries.append(entry)
        else:
            log.insert(entry)
        if not len(entries) % TRIM_EVERY:
            self.trim(log, entries[-1].time)

    def trim(self, log: DeviceLog, now: int) -> None:
        """Drop what is too old at a time, or too much."""
        limit = now - self.expiry.keep_ms
        cut = bisect_left(log.entries, limit, key=_time)
        if cut:
            del log.entries[:cut]
            log.known_from = max(log.known_from, limit)
            if log.cut:
                log.cut = {rule: since for rule, since in log.cut.items() if since > log.known_from}
        if len(log.entries) > self._least_cap:
            self._trim_to_caps(log)

    def _trim_to_caps(self, log: DeviceLog) -> None:
        """Drop the oldest events of rules that have too many; a flood for one rule costs no other one's."""
        of_kind: dict[str, int] = {}
        of_rule: dict[int, int] = {}
        dropped: dict[int, int] = {}
        cut = dict(log.cut)
        left: list[Logged] = []
        for entry in reversed(log.entries):
            kind = entry.event.kind
            wanted = False
            always = self.always[kind]
            if always:
                count = of_kind[kind] = of_kind.get(kind, 0) + 1
                wanted = count <= self._always_caps[kind]
                if not wanted:
                    for rule in always:
                        dropped[rule] = dropped.get(rule, 0) + 1
                        cut[rule] = max(cut.get(rule, ALWAYS_KNOWN), entry.time + 1)
            over: list[int] = []
            for rule, _ in entry.fits:
                count = of_rule[rule] = of_rule.get(rule, 0) + 1
                if count <= self._caps[rule]:
                    wanted = True
                else:
                    over.append(rule)
            if wanted:
                left.append(entry)
                continue
            for rule in over:
                dropped[rule] = dropped.get(rule, 0) + 1
                cut[rule] = max(cut.get(rule, ALWAYS_KNOWN), entry.time + 1)
        left.reverse()
        log.entries = left
        log.cut = cut
        for rule, count in dropped.items():
            self._dropped(rule, log.device, count, cut[rule])

    def sweep(self, now: int) -> None:
        """Forget logs of which nothing has come for so long that nothing in them can still matter."""
        expiry = self.expiry
        for log in expiry.due(now):
            last = log.entries[-1].time if log.entries else ALWAYS_KNOWN
            if log.states or last + expiry.keep_ms >= now:
                expiry.add(log, max(last, now - expiry.keep_ms))
                if log.entries:
                    self._changed(log.device)
                    # By its own time: what comes next from it may be as old as that.
                    self.trim(log, last)
            else:
                self._changed(log.device)
                del self.logs[log.device]
                self.forgotten = max(self.forgotten, now - expiry.keep_ms)


def _time(entry: Logged) -> int:
    return entry.time


def _order(entry: Logged) -> tuple[int, int]:
    return entry.time, entry.position
