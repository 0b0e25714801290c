"""Moving what one matcher knows to another that runs some of the same rules.

Nothing of the old matcher is changed; both may go on. Kept events become events of the new set: fields that
mean the same in both are taken over, others are missing. Kept answers of baselines stay with their events.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from engine.automaton import Automaton
from engine.device_log import DeviceLogs, Logged, new_log
from engine.device_state import DeviceState
from engine.events import Event, attribute
from engine.kept import Kept, kept_of
from engine.matcher import Matcher
from engine.pair import Pair
from engine.reload.baselines import transfer_baselines
from engine.reload.compare import same_fields
from engine.rule_runtime import RuleRuntime
from engine.state import devices
from engine.state.objects import Reader, Writer

_ENVELOPE = Event.__struct_fields__


class Known(msgspec.Struct, frozen=True):
    """What a rule knows: devices, matches under way, alerts that it said and can still revise."""

    devices: int = 0
    partial: int = 0
    alerts: int = 0


class Transferred(msgspec.Struct, frozen=True):
    """What moved: of each rule, and the baselines that are as they were."""

    rules: dict[str, Known]
    baselines: frozenset[str]


def transfer(old: Matcher, new: Matcher, rules: Collection[str]) -> Transferred:
    """Give a new matcher what an old one knows of some rules, of its clocks, baselines and sightings.

    Args:
        old: stays as it is.
        new: has seen no event yet.
        rules: names of rules that both have and that keep the same events in the same way.
    """
    of_old = {runtime.plan.rule.name: runtime for runtime in old.runtimes}
    of_new = {runtime.plan.rule.name: runtime for runtime in new.runtimes}
    out = _Out(old, new)
    rows = {name: devices.written(of_old[name], out) for name in of_new if name in rules}
    numbers = {of_old[name].plan.index: of_new[name].plan.index for name in rows}
    _move_logs(old.logs, new.logs, numbers, out)
    back = _Back(out)
    known: dict[str, Known] = {}
    for name, row in rows.items():
        was, now = of_old[name], of_new[name]
        devices.restore(now, row, back, new.logs)
        if was.expiry.keep_ms != now.expiry.keep_ms:
            _expire_anew(now)
        known[name] = known_of(now)
    _move_clocks(old, new, numbers)
    owed, at, waiting = old.debt.state()
    moved = [(numbers[rule], device) for rule, device in waiting if rule in numbers]
    new.debt.restore([owed, at, moved], new.runtimes)
    for kind, fit in new.fits.items():
        if kind in old.fits:
            taken, duplicates, unkeyed = old.fits[kind].state()
            same = len(unkeyed) == len(fit.unkeyed)  # type: ignore[arg-type]  # a list
            fit.restore([taken, duplicates, unkeyed if same else fit.unkeyed])
    new.position = old.position
    new.sightings.restore(old.sightings.state())
    return Transferred(known, transfer_baselines(old.baselines, new.baselines))


def known_of(runtime: RuleRuntime) -> Known:
    """What one rule knows."""
    partial = alerts = 0
    for state in runtime.devices.values():
        partial += _partial(state)
        alerts += sum(1 for published in state.published if published.open and published.alert is not None)
    return Known(len(runtime.devices), partial, alerts)


def _partial(state: DeviceState) -> int:
    """Choices that wait for the next event; where choices are searched, the first events of such."""
    automaton = state.automaton
    if isinstance(automaton, Automaton):
        return sum(len(level) for key in automaton.keys.values() for chain in key.levels for level in chain)
    if isinstance(automaton, Pair):
        return sum(map(len, automaton.keys.values()))
    return sum(len(key.starts) for key in automaton.keys.values()) + len(state.held)


def latest(matcher: Matcher) -> int | None:
    """The greatest event time that a matcher has seen, epoch milliseconds."""
    clocks = [made.state()[0] for kind, made in matcher.kinds.items() if kind in matcher.decoder.types]
    return max((clock for clock in clocks if clock >= 0), default=None)


def _move_clocks(old: Matcher, new: Matcher, numbers: dict[int, int]) -> None:
    seen, arrived, wall, closed, now, heaps = old.clocks.state()
    fresh = new.clocks.state()[5]
    watched = new.clocks.watched
    seen, arrived = dict(seen), dict(arrived)
    for kind, made in new.kinds.items():
        before = old.kinds.get(kind)
        if before is None:
            continue
        cells = before.state()
        made.restore(cells)
        if kind in watched and kind not in seen and kind in old.decoder.types and cells[0] >= 0:
            # Nobody waited for this kind, so nobody told its clock.
            seen[kind] = cells[0]
            if now is not None:
                arrived[kind] = now
    waiting = {
        tuple(kinds): [
            [d, numbers[rule], who, clock, own] for d, rule, who, clock, own in heap if rule in numbers
        ]
        for kinds, heap in heaps
    }
    # Without the entries of rules that are gone it may be no heap any more; sorted, it is one.
    kept = [[kinds, sorted(waiting.get(tuple(kinds), []))] for kinds, _ in fresh]
    new.clocks.restore(
        [
            {kind: time for kind, time in seen.items() if kind in watched},
            {kind: time for kind, time in arrived.items() if kind in watched},
            {kind: time for kind, time in wall.items() if kind in watched},
            *(closed, now, kept),
        ]
    )


def _move_logs(old: DeviceLogs, new: DeviceLogs, numbers: dict[int, int], out: _Out) -> None:
    """What devices have sent, for the rules that are moved. An entry that is of no use to any is left."""
    new.forgotten = old.forgotten
    for device, log in old.logs.items():
        entries: list[Logged] = []
        for entry in log.entries:
            kind = entry.event.kind
            if kind not in new.always or not out.knows(entry.event):
                continue
            # What every event of the kind fits stands in no entry, and may be another matter in the new set.
            bits = {**dict(entry.fits), **old.always[kind]}
            always = new.always[kind]
            fits = sorted(
                (numbers[r], mask) for r, mask in bits.items() if r in numbers and numbers[r] not in always
            )
            if fits or always:
                event = out.event_of(entry.event)
                entries.append(Logged(entry.time, entry.position, event, tuple(fits), entry.readings))
        states = [numbers[rule] for rule in log.states if rule in numbers]
        if not entries and not states:
            continue
        made = new.logs[device] = new_log(device, log.known_from)
        made.entries, made.longest = entries, log.longest
        for rule in states:
            made.begin(rule)
        for rule in states:
            made.rest(rule)
        for rule in log.active:
            if rule in numbers:
                made.activate(numbers[rule])
        cut = {numbers[rule]: since for rule, since in log.cut.items() if rule in numbers}
        if cut:
            made.cut = cut
        new.expiry.add(made, entries[-1].time if entries else max(0, log.known_from))


def _expire_anew(runtime: RuleRuntime) -> None:
    """The states wait in buckets whose width follows from LATE."""
    runtime.expiry.buckets.clear()
    runtime.expiry.next = 1 << 62
    for state in runtime.devices.values():
        last = state.history[-1].time if state.history else 0
        runtime.expiry.add(state, max(last, state.started, 0))


class _Out(Writer):
    """A writer that keeps the events as objects, those of the new set."""

    def __init__(self, old: Matcher, new: Matcher) -> None:
        super().__init__()
        self.made: list[Kept] = []
        self._numbers: dict[int, int] = {}
        self._held: list[Kept] = []
        self._converted: dict[int, Event] = {}
        self._structs = {struct.kind: struct for struct in new.event_types}
        self._fields: dict[type[Event], tuple[str, ...]] = {}
        for struct in old.event_types:
            kind = struct.kind
            if kind not in self._structs:
                continue
            theirs = set(self._structs[kind].__struct_fields__) & set(struct.__struct_fields__)
            same = {attribute(n) for n in same_fields(old.plan.events[kind], new.plan.events[kind])}
            same |= {*_ENVELOPE, "raw_ref"}
            needed = {f.name for f in msgspec.structs.fields(self._structs[kind]) if f.required}
            if needed <= theirs & same:
                # Else no rule that is moved keeps such events: `compare` has seen to that.
                self._fields[struct] = tuple(n for n in struct.__struct_fields__ if n in theirs & same)

    def kept(self, kept: Kept) -> int:
        number = self._numbers.get(id(kept))
        if number is None:
            made = kept_of(self.event_of(kept.event), kept.position, kept.mask, kept.key, kept.readings)
            number = self._numbers[id(kept)] = len(self.made)
            self.made.append(made)
            self._held.append(kept)
        return number

    def knows(self, event: Event) -> bool:
        """Whether the new set can have the event."""
        return type(event) in self._fields

    def event_of(self, event: Event) -> Event:
        """An event as one of the new set."""
        found = self._converted.get(id(event))
        if found is None:
            struct = type(event)
            values: dict[str, Any] = {name: getattr(event, name) for name in self._fields[struct]}
            found = self._converted[id(event)] = self._structs[struct.kind](**values)
            self._hold.append(event)
        return found


class _Back(Reader):
    """The reader for it."""

    def __init__(self, out: _Out) -> None:
        self._objects = out.made

    def kept(self, number: int) -> Kept:
        return self._objects[number]
