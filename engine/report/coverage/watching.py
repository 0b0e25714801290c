"""A matcher that also notes what arrives, what fits and what alerts: for `thenwire coverage`.

It matches as any other, and gives the same alerts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from dsl import model as m
from engine.alerts import Alert
from engine.events import MAX_TIME_MS, Event, epoch_ms
from engine.matcher import Feed, Matcher
from engine.report.coverage.observer import Bucket, Listed, Observer, bucket_of


class Fitted(msgspec.Struct):
    """How many events fitted, or alerts were published, and the newest time of one."""

    count: int = 0
    last: int = 0

    def note(self, time: int) -> None:
        self.count += 1
        self.last = max(self.last, time)


FittedByBucket = dict[Bucket | None, Fitted]


def total(found: FittedByBucket, buckets: Collection[Bucket] | None) -> Fitted:
    """What there is of some buckets; None: of all."""
    together = Fitted()
    for bucket, part in found.items():
        if buckets is None or bucket in buckets:
            together.count += part.count
            together.last = max(together.last, part.last)
    return together


class WatchingMatcher(Matcher):
    """See the head of this file.

    Every event of a declared kind is decoded, also where no rule reads it: whether a device sends anything at
    all is part of the answer.

    Attributes:
        observer: has seen every event.
        fitted: by rule and bit of its sources (`engine.plan_fields.sources_in`), as far as an event answers
            alone, for each bucket of devices; None: of devices that are not told apart.
        alerted: by rule and bucket; alerts created.
        received_ms: when the event that comes next was received, where somebody knows.
    """

    def __init__(self, ruleset: m.RuleSet, listed: Iterable[Listed] = (), group: str | None = None) -> None:
        self.fitted: dict[tuple[str, int], FittedByBucket] = {}
        self.alerted: dict[str, FittedByBucket] = {}
        extra = {"os"} if group is None else {"os", group}
        also = {kind: frozenset(extra & set(event.fields)) for kind, event in ruleset.events.items()}
        self.received_ms: int | None = None
        self._time = 0
        super().__init__(ruleset, self._fits, also)
        fields = {kind: names for kind, names in self.plan.read.items() if kind in ruleset.events}
        self.observer = Observer(fields, listed, group)
        self.feed = self._watching(self.feed)

    def _watching(self, feed: Feed) -> Feed:
        """The way of every event, and past the observer."""

        def watched(event: Event, position: int | None = None) -> list[Alert]:
            self.observer.see(event, self.received_ms)
            self._time = event.time  # type: ignore[assignment]  # the decoder has made it an int
            return self._noted(feed(event, position))

        return watched

    def advance(self, now_ms: int) -> list[Alert]:
        return self._noted(super().advance(now_ms))

    def close(self, until_ms: int = MAX_TIME_MS) -> list[Alert]:
        return self._noted(super().close(until_ms))

    def _noted(self, alerts: list[Alert]) -> list[Alert]:
        for alert in alerts:
            if alert.activity == "create":
                found = self.alerted.setdefault(alert.rule.name, {})
                found.setdefault(self._bucket(alert.device), Fitted()).note(epoch_ms(alert.time))
        return alerts

    def _bucket(self, device: str) -> Bucket | None:
        known = self.observer.devices.get(device)
        return None if known is None else bucket_of(known)

    def _fits(self, rule: int, mask: int, device: str) -> None:
        name, bucket = self.plan.rules[rule].rule.name, self._bucket(device)
        while mask:
            bit = mask & -mask
            mask ^= bit
            self.fitted.setdefault((name, bit), {}).setdefault(bucket, Fitted()).note(self._time)
