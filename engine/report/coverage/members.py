"""One kind of event that a step or guard may be: can it be seen, from where, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from dsl import model as m
from dsl.units import format_duration
from engine.alerts import rfc3339
from engine.automaton import RuleTable
from engine.plan import RulePlan
from engine.report.coverage.baseline_state import Keys
from engine.report.coverage.catalogue import Feed, feed_of, feeds_of
from engine.report.coverage.model import VERDICTS, FieldCoverage, Lateness, MemberCoverage
from engine.report.coverage.needs import (
    GUARD,
    Look,
    Needs,
    baseline_fields,
    baselines_read,
    fields_read,
    fits,
    needs_of,
)
from engine.report.coverage.observer import UNNAMED, FeedSeen
from engine.report.coverage.scope import Scope, Together, together
from engine.report.coverage.worlds import Arrived, Catalogued, Without

FEW: Final = 0.5
"""Less than this share is too little to rely on: of events with a field, of events that name a device, of
keys with enough history, of devices that send what a rule needs."""
NEVER_FITS: Final = 0.95
"""Where this share of a source's intervals is longer than the rule's window, the source does not count."""
TIMED: Final = 20
"""Of fewer events the 95th percentile is the latest one, which is no figure to condemn a rule by."""


class Judged(msgspec.Struct, frozen=True):
    """A member with its level (`model.VERDICTS`).

    ``works`` are the sources that it can be seen from, with the level that they give it.
    """

    level: int
    works: dict[str, int]
    coverage: MemberCoverage


class Judge:
    """Judges what one rule looks for among the devices of a scope; without a scope, by the catalogue alone.

    Args:
        keys: of the baselines that the rule reads, how their keys stand among these devices.
        alerts: the level of each rule that this one reads the alerts of.
    """

    def __init__(
        self,
        plan: RulePlan,
        events: Mapping[str, m.EventType],
        baselines: Mapping[str, m.Baseline],
        platform: str | None,
        scope: Scope | None,
        keys: Mapping[str, Keys],
        alerts: Mapping[str, int],
    ) -> None:
        self.plan = plan
        self.needs: Needs = needs_of(plan.rule)
        self.scope = scope
        self._events = events
        self._baselines = dict(baselines)
        self._platform = platform
        self._keys = keys
        self._alerts = alerts
        table = plan.table
        self._window = table.window_ms if isinstance(table, RuleTable) else table.horizon_ms

    def member(self, look: Look, member: m.Member) -> Judged:
        """Judge one kind of a step or guard."""
        if look.source.alert_rule is not None:
            return self._alert(look.source.alert_rule, member.kind)
        able = [feed for feed in feeds_of(member.kind) if self._may(feed) and self._can(feed, look, member)]
        if self.scope is None:
            reasons = () if able else (self._nobody(look, member),)
            return self._made(look, member, 2 if able else 0, {}, reasons, able, None)
        return self._arrived(look, member, able, self.scope)

    # --- by the catalogue

    def _may(self, feed: Feed) -> bool:
        return self._platform is None or feed.platform in (None, self._platform)

    def _can(self, feed: Feed, look: Look, member: m.Member) -> bool:
        needed = self._needed(look, member.kind)
        if not needed <= feed.fields:
            return False
        return fits(member.condition, Catalogued(feed, self._others_can, self._learns))

    def _needed(self, look: Look, kind: str) -> set[str]:
        """The fields without which the rule does not use an event: its key, and what AT LEAST counts."""
        declared = self._events[kind].fields
        needed = {key for key in self.plan.rule.by if key in declared}
        if look.counted is not None:
            needed.add(look.counted)
        return needed

    def _others_can(self, step: str, field: str) -> bool:
        kinds = {x.kind for look in self.needs.named(step) for x in look.source.members}
        return not kinds or any(
            kind.startswith("alert:") or any(field in feed.fields for feed in feeds_of(kind))
            for kind in kinds
        )

    def _learns(self, name: str, feed: Feed) -> bool:
        baseline = self._baselines[name]
        if baseline.kind != feed.kind:
            return True
        return set(baseline_fields(baseline)) <= feed.fields

    def _nobody(self, look: Look, member: m.Member) -> str:
        """Why no source of ours can feed a member."""
        kind = member.kind
        known = [feed for feed in feeds_of(kind) if self._may(feed)]
        if not known:
            where = "" if self._platform is None else f" for {self._platform}"
            return f"no source of ours gives {kind}{where}; only canonical events can"
        wanted = self._asked(look, member)
        lacking = sorted(name for name in wanted if not any(name in feed.fields for feed in known))
        if lacking:
            return f"no source of ours sets {_listed(lacking)} in {kind}"
        return f"no source of ours gives {kind} as it is asked for: {_listed(sorted(wanted))} together"

    # --- by what came

    def _arrived(self, look: Look, member: m.Member, able: list[Feed], scope: Scope) -> Judged:
        kind = member.kind
        came = scope.feeds.get(kind, {})
        works = {source: 2 for source, seen in came.items() if self._works(look, member, source, seen)}
        reasons: list[str] = []
        # A source that reports can be trusted with its rarer kinds, as far as it sends them for other
        # devices, and less so where only its page says that it has them.
        sources = {name for of_kind in scope.feeds.values() for name in of_kind} - {UNNAMED}
        for source, seen in scope.everywhere.get(kind, {}).items():
            if source in sources - set(came) and self._works(look, member, source, seen):
                works[source] = 2
        level = 2 if works else 0
        quiet = sorted({feed.source for feed in able} & sources - set(came) - set(works))
        for source in quiet:
            works[source] = 2 if look.role == GUARD or level == 2 else 1
        if level == 0 and quiet:
            level = max(works.values())
            if level == 1:
                reasons.append(f"no {kind} has come yet; {_listed(quiet)}, which reports, can send it")
        elif level == 0:
            reasons.append(self._why_not(look, member, came))
        used = [seen for source, seen in came.items() if works.get(source) == 2]
        merged = together(used or list(came.values()))
        budget = self._events[kind].late_ms + self._events[kind].grace_ms
        lateness = merged.lateness(budget)
        if used:
            for found, reason in (
                *self._few(look, member, merged),
                *self._late(look, lateness, kind),
                *self._cold(member),
                *self._long(merged, kind),
            ):
                level = min(level, found)
                reasons.append(reason)
        works = {source: min(level, found) for source, found in works.items() if min(level, found)}
        return self._made(look, member, level, works, tuple(reasons), able, lateness)

    def _works(self, look: Look, member: m.Member, source: str, seen: FeedSeen) -> bool:
        if any(seen.fields.get(name, 0) == 0 for name in self._needed(look, member.kind)):
            return False
        if self._window and seen.lengths.share_above(self._window) >= NEVER_FITS:
            return False
        return fits(member.condition, Arrived(source, member.kind, seen, self._others_came, self._learned))

    def _others_came(self, step: str, field: str) -> bool:
        assert self.scope is not None
        kinds = {x.kind for look in self.needs.named(step) for x in look.source.members}
        return not kinds or any(
            kind.startswith("alert:")
            or any(seen.fields.get(field, 0) for seen in self.scope.feeds.get(kind, {}).values())
            for kind in kinds
        )

    def _learned(self, name: str) -> bool:
        return self._keys[name].answered > 0

    def _why_not(self, look: Look, member: m.Member, came: Mapping[str, FeedSeen]) -> str:
        kind = member.kind
        if not came:
            return f"no device sends {kind}"
        for name in baselines_read(member.condition):
            if not self._learned(name):
                keys = self._keys[name]
                return f"baseline {name.replace('_', ' ')}: none of {keys.all:,} keys has enough history"
        wanted = self._asked(look, member)
        lacking = sorted(n for n in wanted if not any(seen.fields.get(n, 0) for seen in came.values()))
        if lacking:
            return f"{kind} comes without {_listed(lacking)}"
        if self._window and all(s.lengths.share_above(self._window) >= NEVER_FITS for s in came.values()):
            return f"{kind} comes in intervals longer than {format_duration(self._window)}"
        return f"no source sends {kind} as it is asked for: {_listed(sorted(wanted))} together"

    def _few(self, look: Look, member: m.Member, merged: Together) -> list[tuple[int, str]]:
        kind, found = member.kind, []
        for name in sorted(self._needed(look, kind)):
            share = merged.share(name)
            if share < FEW:
                found.append((1, f"only {share:.0%} of {kind} has `{name}`, without which it is not used"))
        if merged.by_address >= FEW:
            found.append((1, f"{merged.by_address:.0%} of {kind} names an address in place of a device"))
        return found

    def _late(self, look: Look, lateness: Lateness | None, kind: str) -> list[tuple[int, str]]:
        if lateness is None or lateness.p95_ms <= lateness.budget_ms:
            return []
        said = (
            f"{kind} arrives too late: p95 {in_words(lateness.p95_ms)}, waited for is "
            f"{format_duration(lateness.budget_ms)}"
        )
        if lateness.events < TIMED:
            return [(1, f"{said}; {lateness.events} events so far")]
        return [(0 if look.later else 1, said)]

    def _cold(self, member: m.Member) -> list[tuple[int, str]]:
        found = []
        for name in baselines_read(member.condition):
            keys = self._keys[name]
            if keys.all and keys.answered / keys.all < FEW:
                shown = name.replace("_", " ")
                found.append((1, f"baseline {shown}: {keys.answered:,} of {keys.all:,} keys can answer"))
        return found

    def _long(self, merged: Together, kind: str) -> list[tuple[int, str]]:
        above = merged.seen.lengths.share_above(self._window) if self._window else 0.0
        if above < FEW:
            return []
        return [(1, f"{above:.0%} of {kind} are intervals longer than {format_duration(self._window)}")]

    def _asked(self, look: Look, member: m.Member) -> set[str]:
        """The fields without which an event of the kind is of no use."""
        names = fields_read(member.condition, self._baselines)
        needed = {name for name in names if not fits(member.condition, Without(name, self._baselines))}
        return (needed or set(names)) | self._needed(look, member.kind)

    # --- the answer

    def _alert(self, rule: str, kind: str) -> Judged:
        level = self._alerts.get(rule, 0)
        shown = rule.replace("_", " ")
        reasons = () if level == 2 else (f"rule {shown}, whose alerts it reads, is {VERDICTS[level]}",)
        coverage = MemberCoverage(kind, VERDICTS[level], reasons, (), (), {}, {}, 0, 0, None, None, None)
        return Judged(level, {}, coverage)

    def _made(
        self,
        look: Look,
        member: m.Member,
        level: int,
        works: dict[str, int],
        reasons: tuple[str, ...],
        able: list[Feed],
        lateness: Lateness | None,
    ) -> Judged:
        kind = member.kind
        came = {} if self.scope is None else self.scope.feeds.get(kind, {})
        every = together(list(came.values()))
        wanted = [*sorted(self._needed(look, kind)), *fields_read(member.condition, self._baselines)]
        fields = tuple(
            FieldCoverage(
                name,
                round(every.share(name), 4) if came else None,
                tuple(dict.fromkeys(f.source for f in feeds_of(kind) if self._may(f) and name in f.fields)),
            )
            for name in dict.fromkeys(wanted)
        )
        shown = dict.fromkeys([*(feed.source for feed in able), *came])
        return Judged(
            level,
            works,
            MemberCoverage(
                kind=kind,
                verdict=VERDICTS[level],
                reasons=reasons,
                fields=fields,
                able=tuple(dict.fromkeys(feed.source for feed in able)),
                reporting={source or "(not named)": one.events for source, one in sorted(came.items())},
                notes={source: note for source in shown if (note := _note(source, kind))},
                events=sum(one.events for one in came.values()),
                devices=0 if self.scope is None else self.scope.sending(kind),
                by_address=round(every.by_address, 4) if came else None,
                lateness=lateness,
                last_event=rfc3339(max(one.last for one in came.values())) if came else None,
            ),
        )


def in_words(duration_ms: int) -> str:
    """A measured duration, to the second from a second on: figures are right to 2 %."""
    return format_duration(duration_ms if duration_ms < 1_000 else duration_ms // 1_000 * 1_000)


def _note(source: str, kind: str) -> str:
    feed = feed_of(source, kind)
    return "" if feed is None else feed.note


def _listed(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
