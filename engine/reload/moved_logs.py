"""The device logs of one matcher, or of two that have read the same stream, as those of another.

Two logs of a device become one: its events in order, each once, with the rules of both that it fits. How far
back a log is whole differs from one to the other; so where one is whole from earlier, that holds for its
rules, and those of the other know what they knew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from engine.device_log import DeviceLog, DeviceLogs, Logged, new_log
from engine.reload.moved_events import Moving

MOST_CUT: Final = 16
"""Rules whose own beginning is noted on a device. Where it were more, all of them begin with the later: the
others then change less of what is older, and say `incomplete`.
"""


class LogSource(msgspec.Struct, frozen=True):
    """Logs that are moved, for some of the rules that share them.

    Attributes:
        logs: stay as they are.
        numbers: of these rules, from the index there to the index in the new set.
        moving: converts the events.
    """

    logs: DeviceLogs
    numbers: Mapping[int, int]
    moving: Moving

    def entries(self, log: DeviceLog, new: DeviceLogs) -> list[Logged]:
        """Those of a log that are of use to these rules, in order."""
        numbers, moving = self.numbers, self.moving
        found: list[Logged] = []
        for entry in log.entries:
            kind = entry.event.kind
            always = new.always.get(kind)
            if always is None or not moving.knows(entry.event):
                continue
            fits = entry.fits
            of_kind = self.logs.always[kind]
            if of_kind:
                # What every event of the kind fits stands in no entry, and may be another matter in the new
                # set.
                fits = tuple({**dict(fits), **of_kind}.items())
            # By a loop: there may be a million entries, and the input stands still.
            moved: list[tuple[int, int]] = []
            for rule, mask in fits:
                number = numbers.get(rule)
                if number is not None and number not in always:
                    moved.append((number, mask))
            if moved or always:
                if len(moved) > 1:
                    moved.sort()
                event = moving.event_of(entry.event, entry.position)
                found.append(Logged(entry.time, entry.position, event, tuple(moved), entry.readings))
        return found

    def finds_all(self, new: DeviceLogs) -> bool:
        """Whether one of these rules is told of every event of some kind."""
        numbers = set(self.numbers.values())
        return any(not numbers.isdisjoint(always) for always in new.always.values())

    def known_from(self, device: str) -> int:
        """From when on the log of a device is whole."""
        log = self.logs.logs.get(device)
        return self.logs.forgotten if log is None else log.known_from

    def known(self, device: str, rule: int) -> int:
        """From when on it is whole for a rule, by its index there."""
        log = self.logs.logs.get(device)
        return self.logs.forgotten if log is None else log.known(rule)


def move_logs(sources: Sequence[LogSource], new: DeviceLogs) -> None:
    """What devices have sent, for the rules that are moved. An entry that is of no use to any is left.

    Args:
        sources: of the rules in force, and perhaps of others that were filled beside them.
        new: empty.
    """
    # Whoever keeps more of the past for a while needs nothing from before this time, either.
    new.forgotten = sources[0].logs.forgotten
    for device in dict.fromkeys(name for source in sources for name in source.logs.logs):
        _move_log(device, sources, new)


def _move_log(device: str, sources: Sequence[LogSource], new: DeviceLogs) -> None:
    parts = [(s, log) for s in sources if (log := s.logs.logs.get(device)) is not None]
    lists = [source.entries(log, new) for source, log in parts]
    if len(sources) == 2 and parts[-1][0] is sources[1] and sources[0].finds_all(new):
        lists[-1] = list(_without_strange(device, sources[0], lists, new))
    entries = lists[0] if len(lists) == 1 else _together(*lists)
    states = [s.numbers[rule] for s, log in parts for rule in log.states if rule in s.numbers]
    if not entries and not states:
        return
    known_from, cut = _known(device, sources, new)
    made = new.logs[device] = new_log(device, known_from)
    made.entries, made.longest = entries, max(log.longest for _, log in parts)
    for rule in states:
        made.begin(rule)
    for rule in states:
        made.rest(rule)
    for source, log in parts:
        for rule in log.active:
            if rule in source.numbers:
                made.activate(source.numbers[rule])
    if cut:
        made.cut = cut
    new.expiry.add(made, entries[-1].time if entries else max(0, made.known_from))


def _known(device: str, sources: Sequence[LogSource], new: DeviceLogs) -> tuple[int, dict[int, int]]:
    """From when on the log of a device is whole, and the rules for which it is so only from later on."""
    begins = [source.known_from(device) for source in sources]
    base = min(begins)
    for source, begin in zip(sources, begins, strict=True):
        if begin > base and sum(rule in new.sharing for rule in source.numbers.values()) > MOST_CUT:
            base = begin
    cut: dict[int, int] = {}
    for source, begin in zip(sources, begins, strict=True):
        log = source.logs.logs.get(device)
        for rule in source.numbers if begin > base else () if log is None else log.cut:
            number = source.numbers.get(rule)
            if number is not None and number in new.sharing and source.known(device, rule) > base:
                cut[number] = source.known(device, rule)
    return base, cut


def _without_strange(
    device: str, kept: LogSource, lists: Sequence[list[Logged]], new: DeviceLogs
) -> Iterator[Logged]:
    """The entries of the second, without those that the first has refused, as too late or as coming twice,
    and that each of its rules would find there: what is in force must not get to know them.
    """
    there = {entry.position for entry in lists[0]} if len(lists) == 2 else set()
    since = {number: kept.known(device, rule) for rule, number in kept.numbers.items()}
    for entry in lists[-1]:
        always = new.always[entry.event.kind]
        if entry.position in there or not any(entry.time >= since.get(n, entry.time + 1) for n in always):
            yield entry


def _together(one: list[Logged], other: list[Logged]) -> list[Logged]:
    """Two logs of the same stream as one: both are in order, and an event has one place."""
    found: list[Logged] = []
    at, end = 0, len(one)
    for entry in other:
        time, position = entry.time, entry.position
        while at < end and (
            (mine := one[at]).time < time or (mine.time == time and mine.position < position)
        ):
            found.append(mine)
            at += 1
        if at < end and one[at].position == position:
            entry = _of_both(one[at], entry)
            at += 1
        found.append(entry)
    found += one[at:]
    return found


def _of_both(one: Logged, other: Logged) -> Logged:
    readings = other.readings if one.readings is None else one.readings
    if one.readings and other.readings:
        # What a baseline answered where more of the past was known.
        readings = {**other.readings, **one.readings}
    fits = tuple(sorted((*one.fits, *other.fits))) if one.fits and other.fits else one.fits or other.fits
    return Logged(one.time, one.position, one.event, fits, readings)
