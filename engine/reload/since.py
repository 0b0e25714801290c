"""Since when a rule knows anything, where it began later than the engine.

A guard of a rule that has just begun looks back on nothing: the engine may have watched for months, but kept
nothing for this rule. Its alerts say so, as those of an engine that has just begun do (LANGUAGE.md section 4
item 12).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from engine.device_log import DeviceLog
from engine.device_state import ALWAYS_KNOWN
from engine.events import MAX_TIME_MS, POSITION_SHIFT
from engine.kept import Kept
from engine.matcher import Matcher
from engine.rule_runtime import RuleRuntime
from engine.sightings import Sightings


class Begin(msgspec.Struct, frozen=True):
    """When a rule began: after which message, and the event time from which its guards look back."""

    sequence: int
    time: int


def look_back(matcher: Matcher, begins: Mapping[str, Begin]) -> None:
    """Have some rules know nothing from before they began. ``begins``: by rule name."""
    for runtime in matcher.runtimes:
        begin = begins.get(runtime.plan.rule.name)
        if begin is not None:
            runtime.builder.look_through(SightingsSince(matcher.sightings, begin.time))
            _pass_over_logged(runtime, (begin.sequence + 1) << POSITION_SHIFT)


def _pass_over_logged(runtime: RuleRuntime, first: int) -> None:
    """What the rules share of a device also holds events from before this one began. They are none of its."""
    logged = runtime.logged

    def mine(log: DeviceLog, since: int = ALWAYS_KNOWN, until: int = MAX_TIME_MS) -> list[Kept]:
        return [kept for kept in logged(log, since, until) if kept.position >= first]

    runtime.logged = mine  # type: ignore[method-assign]  # of this one rule, as long as its matcher lives


class SightingsSince(Sightings):
    """The sightings of a matcher as a rule may use them that began later: what it would have kept of guards
    from before, it did not keep.
    """

    def __init__(self, sightings: Sightings, since: int) -> None:
        self.earliest = sightings.earliest
        self.last = sightings.last
        self._sightings = sightings
        self._from = since

    def since_of(self, kinds: Iterable[str]) -> int:
        return max(self._from, self._sightings.since_of(kinds))

    def since_all(self) -> int | None:
        since = self._sightings.since_all()
        return None if since is None else max(self._from, since)

    def seen_at_all(self, kind: str) -> bool:
        return self._sightings.seen_at_all(kind)
