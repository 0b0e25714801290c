"""What arrives: which devices send which kinds from which sources, with which fields, and how late.

Pure and bounded: fed with decoded events beside a matcher, it reads no clock, and the same events give the
same figures. Devices are told apart up to a cap; what comes from others is counted and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from engine.events import Event, attribute, epoch_ms
from engine.report.coverage.catalogue import base_of, platform_of
from engine.report.coverage.sketch import Durations

MAX_DEVICES: Final = 200_000
"""Devices told apart, at some 150 bytes each."""
MAX_FEEDS: Final = 512
"""Pairs of source and kind; who makes up sources must not fill the memory."""
MAX_GROUPS: Final = 64
UNNAMED: Final = ""
"""Stands for the source of events that name none."""
OTHERS: Final = "(other sources)"
ALL: Final = "all"
NOT_SAID: Final = "(not said)"
NOT_LISTED: Final = "(not listed)"
OTHER_GROUPS: Final = "(other groups)"

Bucket = tuple[str | None, str]
"""Platform, None where it is not known, and group."""


class Listed(msgspec.Struct, frozen=True):
    """A device of an inventory."""

    device: str
    group: str = ALL
    platform: str | None = None


class DeviceSeen(msgspec.Struct, gc=False):
    """``feeds``: a bit for each pair of source and kind that it sent; ``last``: its newest event."""

    feeds: int
    platform: str | None
    group: str
    last: int
    listed: bool


class FeedSeen:
    """The events of one kind from one source and one bucket of devices."""

    __slots__ = (
        "by_address",
        "events",
        "fields",
        "from_order",
        "from_seen",
        "last",
        "lateness",
        "lengths",
    )

    def __init__(self, fields: Iterable[str]) -> None:
        self.events = 0
        self.by_address = 0
        self.last = 0
        self.fields = dict.fromkeys(fields, 0)
        self.lateness = Durations()
        self.from_seen = 0
        self.from_order = 0
        self.lengths = Durations()

    def merge(self, other: FeedSeen) -> None:
        """Add what was seen in another bucket."""
        self.events += other.events
        self.by_address += other.by_address
        self.last = max(self.last, other.last)
        for name, count in other.fields.items():
            self.fields[name] = self.fields.get(name, 0) + count
        self.lateness.merge(other.lateness)
        self.from_seen += other.from_seen
        self.from_order += other.from_order
        self.lengths.merge(other.lengths)


class Observer:
    """See the head of this file.

    Args:
        read: for each kind the fields whose share is counted; events must have been decoded with them.
        listed: an inventory. Its devices count whether they send anything or not, and it says their groups
            and platforms.
        group: else the field that says a device's group, on whichever event it comes; what a device sent
            before that counts under :data:`NOT_SAID`.
        max_devices: devices told apart.

    Attributes:
        devices: by name.
        feeds: (source, kind) to its bit's number, in the order in which they came.
        seen: by (source, kind), for each bucket.
        newest: for each kind the newest time of an event.
        uncounted: events of devices beyond the cap.
    """

    def __init__(
        self,
        read: Mapping[str, Iterable[str]],
        listed: Iterable[Listed] = (),
        group: str | None = None,
        max_devices: int = MAX_DEVICES,
    ) -> None:
        self.devices: dict[str, DeviceSeen] = {}
        self.feeds: dict[tuple[str, str], int] = {}
        self.seen: dict[tuple[str, str], dict[Bucket, FeedSeen]] = {}
        self.newest: dict[str, int] = {}
        self.first: int | None = None
        self.events = 0
        self.uncounted = 0
        self._fields = {
            kind: tuple((n, attribute(n)) for n in sorted(set(names))) for kind, names in read.items()
        }
        self._group = None if group is None else attribute(group)
        self._platform = attribute("os")
        self._groups: set[str] = set()
        self._max_devices = max_devices
        self.has_inventory = False
        for one in listed:
            self.has_inventory = True
            if len(self.devices) < max_devices:
                group_name = self._named(one.group)
                self.devices[one.device] = DeviceSeen(0, one.platform, group_name, 0, True)

    @property
    def last(self) -> int | None:
        """The newest time of any event, epoch milliseconds."""
        return max(self.newest.values(), default=None)

    def see(self, event: Event, received_ms: int | None = None) -> None:
        """An event came in; ``received_ms`` is when, where somebody knows."""
        self.events += 1
        kind = event.kind
        time: int = event.time  # type: ignore[assignment]  # the decoder has made it an int
        source = UNNAMED if event.source is None else base_of(event.source)
        number = self._number(source, kind)
        if number is None:
            source, number = OTHERS, self.feeds[OTHERS, kind]
        device = self._device(event, source, time)
        if device is None:
            self.uncounted += 1
        else:
            device.feeds |= 1 << number
            device.last = max(device.last, time)
        bucket = (None, NOT_LISTED if self.has_inventory else ALL) if device is None else bucket_of(device)
        buckets = self.seen[source, kind]
        found = buckets.get(bucket)
        if found is None:
            found = buckets[bucket] = FeedSeen(name for name, _ in self._fields.get(kind, ()))
        self._count(found, event, kind, time, received_ms)

    def _count(self, found: FeedSeen, event: Event, kind: str, time: int, received_ms: int | None) -> None:
        found.events += 1
        found.last = max(found.last, time)
        for name, place in self._fields.get(kind, ()):
            if getattr(event, place, None) is not None:
                found.fields[name] += 1
        if event.attribution == "ip":
            found.by_address += 1
        newest = self.newest.get(kind, time)
        arrived = received_ms if received_ms is not None else _milliseconds(event.seen)
        if arrived is None:
            found.from_order += 1
            found.lateness.add(max(0, newest - time))
        else:
            found.from_seen += 1
            found.lateness.add(max(0, arrived - time))
        start = event.start
        found.lengths.add(time - start if isinstance(start, int) else 0)
        self.newest[kind] = max(newest, time)
        if self.first is None or time < self.first:
            self.first = time

    def _number(self, source: str, kind: str) -> int | None:
        """The bit of a feed; None where there are too many, and then that of the others."""
        number = self.feeds.get((source, kind))
        if number is None:
            if len(self.feeds) >= MAX_FEEDS:
                if (OTHERS, kind) not in self.feeds:
                    self._new(OTHERS, kind)
                return None
            number = self._new(source, kind)
        return number

    def _new(self, source: str, kind: str) -> int:
        self.feeds[source, kind] = number = len(self.feeds)
        self.seen[source, kind] = {}
        return number

    def _device(self, event: Event, source: str, time: int) -> DeviceSeen | None:
        found = self.devices.get(event.device)
        if found is None:
            if len(self.devices) >= self._max_devices:
                return None
            group = NOT_LISTED if self.has_inventory else ALL if self._group is None else NOT_SAID
            found = self.devices[event.device] = DeviceSeen(0, None, group, time, False)
        if not found.listed:
            if self._group is not None:
                said = getattr(event, self._group, None)
                if said is not None:
                    found.group = self._named(str(said))
            if found.platform is None:
                found.platform = platform_of(source)
        if found.platform is None:
            found.platform = _platform(getattr(event, self._platform, None))
        return found

    def _named(self, group: str) -> str:
        if group not in self._groups:
            if len(self._groups) >= MAX_GROUPS:
                return OTHER_GROUPS
            self._groups.add(group)
        return group


def bucket_of(device: DeviceSeen) -> Bucket:
    """Where a device counts."""
    return device.platform, device.group


def _platform(said: object) -> str | None:
    """``ios`` or ``android`` from what a posture service calls the system; None for anything else."""
    words = str(said).lower().split() if isinstance(said, str) else []
    return words[0] if words and words[0] in ("ios", "android") else None


def _milliseconds(seen: int | str | None) -> int | None:
    if not isinstance(seen, str):
        return seen
    try:
        return epoch_ms(seen)
    except (ValueError, OverflowError):
        return None
