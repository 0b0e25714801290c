"""What arrived from the devices that one row of the report is about: buckets of an observer, put together."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from engine.report.coverage.model import Lateness
from engine.report.coverage.observer import UNNAMED, Bucket, FeedSeen, Observer, bucket_of

ACTIVE_MS = 86_400_000
"""A device that sent something in the last 24 h is active."""


class Scope:
    """The devices of some buckets.

    Attributes:
        feeds: by kind and source what came.
        everywhere: the same for all devices there are: what a source sends elsewhere it can send here.
        masks: how many devices sent exactly these pairs of source and kind, one bit each.
        active: devices that sent something in the 24 h before the newest event of all.
    """

    def __init__(self, observer: Observer, buckets: Collection[Bucket]) -> None:
        self.feeds: dict[str, dict[str, FeedSeen]] = {}
        self.everywhere: dict[str, dict[str, FeedSeen]] = {}
        self._bits: dict[tuple[str, str], int] = {}
        for (source, kind), of_buckets in observer.seen.items():
            self._bits[source, kind] = 1 << observer.feeds[source, kind]
            for bucket, seen in of_buckets.items():
                self.everywhere.setdefault(kind, {}).setdefault(source, FeedSeen(())).merge(seen)
                if bucket in buckets:
                    self.feeds.setdefault(kind, {}).setdefault(source, FeedSeen(())).merge(seen)
        self.masks: dict[int, int] = {}
        self.active = 0
        self.listed = observer.has_inventory
        newest = observer.last or 0
        for device in observer.devices.values():
            if bucket_of(device) in buckets:
                self.masks[device.feeds] = self.masks.get(device.feeds, 0) + 1
                self.active += bool(device.feeds) and device.last > newest - ACTIVE_MS

    @property
    def all(self) -> int:
        """How many devices there are."""
        return sum(self.masks.values())

    @property
    def seen(self) -> int:
        """How many of them sent anything."""
        return self.all - self.masks.get(0, 0)

    def sending(self, kind: str) -> int:
        """How many devices sent a kind."""
        bits = sum(bit for (_, of), bit in self._bits.items() if of == kind)
        return sum(count for mask, count in self.masks.items() if mask & bits)

    def sources_of(self, mask: int) -> frozenset[str]:
        """The sources from which a device with this mask sent something; what names none is left out."""
        found = {source for (source, _), bit in self._bits.items() if mask & bit}
        return frozenset(found - {UNNAMED})

    def sent(self, mask: int, source: str, kind: str) -> bool:
        """Whether a device with this mask sent a kind from a source."""
        return bool(mask & self._bits.get((source, kind), 0))


class Together(msgspec.Struct, frozen=True):
    """Some feeds of one kind as one."""

    seen: FeedSeen

    def share(self, field: str) -> float:
        """Of the events, those that have a field."""
        return self.seen.fields.get(field, 0) / self.seen.events if self.seen.events else 0.0

    @property
    def by_address(self) -> float:
        """Of the events, those that name an address in place of a device."""
        return self.seen.by_address / self.seen.events if self.seen.events else 0.0

    def lateness(self, budget_ms: int) -> Lateness | None:
        """How late they came; None where none came."""
        seen = self.seen
        if not seen.events:
            return None
        basis = "order" if not seen.from_seen else "seen" if not seen.from_order else "seen and order"
        late = seen.lateness
        return Lateness(late.quantile(0.5), late.quantile(0.95), budget_ms, late.count, basis)


def together(feeds: Collection[FeedSeen]) -> Together:
    """Feeds of one kind as one."""
    merged = FeedSeen(())
    for feed in feeds:
        merged.merge(feed)
    return Together(merged)
