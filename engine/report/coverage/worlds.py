"""What is known of the events of one kind from one source: by the catalogue, or by what came."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from dsl import model as m
from engine.report.coverage.catalogue import Feed, feed_of
from engine.report.coverage.needs import baseline_fields
from engine.report.coverage.observer import FeedSeen


class Catalogued(msgspec.Struct, frozen=True):
    """A :class:`~engine.report.coverage.needs.World` of what a source can set."""

    feed: Feed
    others: Callable[[str, str], bool]
    learns: Callable[[str, Feed], bool]

    def has(self, field: str) -> bool:
        return field in self.feed.fields

    def takes(self, field: str, values: frozenset[object]) -> bool:
        known = self.feed.values.get(field)
        return known is None or not known.isdisjoint(values)

    def step_has(self, step: str, field: str) -> bool:
        return self.others(step, field)

    def answers(self, baseline: str) -> bool:
        return self.learns(baseline, self.feed)


class Arrived(msgspec.Struct, frozen=True):
    """A :class:`~engine.report.coverage.needs.World` of what a source has sent."""

    source: str
    kind: str
    seen: FeedSeen
    others: Callable[[str, str], bool]
    learned: Callable[[str], bool]

    def has(self, field: str) -> bool:
        return self.seen.fields.get(field, 0) > 0

    def takes(self, field: str, values: frozenset[object]) -> bool:
        # Values are not counted; of a source that is known, the catalogue says which there can be.
        feed = feed_of(self.source, self.kind)
        known = None if feed is None else feed.values.get(field)
        return known is None or not known.isdisjoint(values)

    def step_has(self, step: str, field: str) -> bool:
        return self.others(step, field)

    def answers(self, baseline: str) -> bool:
        return self.learned(baseline)


class Without(msgspec.Struct, frozen=True):
    """A :class:`~engine.report.coverage.needs.World` that has everything but one field: does it matter?"""

    field: str
    baselines: Mapping[str, m.Baseline]

    def has(self, field: str) -> bool:
        return field != self.field

    def takes(self, field: str, values: frozenset[object]) -> bool:
        del values
        return field != self.field

    def step_has(self, step: str, field: str) -> bool:
        del step, field
        return True

    def answers(self, baseline: str) -> bool:
        return self.field not in baseline_fields(self.baselines[baseline])
