"""The device logs of one matcher, or of two that have read the same stream, as those of another.

Two logs of a device become one: its events in order, each once, with the rules of both that it fits. How far
back a log is whole differs from one to the other; so where one is whole from earlier, that holds for its
rules, and those of the other know what they knew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
            if kind not in new.always or not moving.knows(entry.event):
                continue
            # What every event of the kind fits stands in no entry, and may be another matter in the new set.
            bits = {**dict(entry.fits), **self.logs.always[kind]}
            always = new.always[kind]
            fits = sorted(
                (numbers[r], mask) for r, mask in bits.items() if r in numbers and numbers[r] not in always
            )
            if fits or always:
                event = moving.event_of(entry.event, entry.position)
                found.append(Logged(entry.time, entry.position, event, tuple(fits), entry.readings))
        return found

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
    if len(sources) == 2 and parts[-1][0] is sources[1]:
        lists[-1] = list(_without_strange(device, sources[0], lists, new))
    entries = lists[0] if len(lists) == 1 else list(_together(*lists))
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


def _together(one: Iterable[Logged], other: Iterable[Logged]) -> Iterator[Logged]:
    """Two logs of the same stream as one."""
    places: dict[tuple[int, int], Logged] = {(entry.time, entry.position): entry for entry in one}
    for entry in other:
        place = (entry.time, entry.position)
        known = places.get(place)
        places[place] = entry if known is None else _of_both(known, entry)
    for place in sorted(places):
        yield places[place]


def _of_both(one: Logged, other: Logged) -> Logged:
    readings = other.readings if one.readings is None else one.readings
    if one.readings and other.readings:
        # What a baseline answered where more of the past was known.
        readings = {**other.readings, **one.readings}
    return Logged(one.time, one.position, one.event, tuple(sorted((*one.fits, *other.fits))), readings)
