"""The report: for each rule, platform and group of devices a verdict with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsl import model as m
from dsl.diagnostics import Diagnostic
from dsl.units import format_duration
from engine.alert_events import readers_last
from engine.alerts import rfc3339
from engine.plan import RulePlan
from engine.report.coverage.attack import claim_of, platform_of
from engine.report.coverage.baseline_state import Keys, KeysByBucket, keys_of, within
from engine.report.coverage.catalogue import feeds_of
from engine.report.coverage.members import FEW, Judge, Judged
from engine.report.coverage.model import (
    SCHEMA,
    VERDICTS,
    BaselineCoverage,
    Coverage,
    Devices,
    LookCoverage,
    RowCoverage,
    level,
)
from engine.report.coverage.needs import GUARD, STEP, WAIT, Look, judged
from engine.report.coverage.observer import ALL, Bucket, bucket_of
from engine.report.coverage.scope import Scope
from engine.report.coverage.statements import statements_for
from engine.report.coverage.watching import WatchingMatcher, total


def coverage_of(
    ruleset: m.RuleSet, matcher: WatchingMatcher, *, recorded: bool, retention_ms: int | None = None
) -> Coverage:
    """What each rule of a rule set can see.

    Args:
        matcher: of this rule set, after it was fed.
        recorded: it was fed with what a fleet sends; False judges by the catalogue of sources alone.
        retention_ms: how long the input is kept, where that is known.
    """
    builder = _Builder(ruleset, matcher, recorded, retention_ms)
    rows: list[RowCoverage] = []
    for rule in readers_last(ruleset):
        rows += builder.rows(rule)
    order = {name: place for place, name in enumerate(ruleset.rules)}
    rows.sort(key=lambda row: order[row.rule])
    seen = matcher.observer
    return Coverage(
        schema=SCHEMA,
        basis="recording" if recorded else "rules",
        events=seen.events,
        devices=len(seen.devices),
        uncounted=seen.uncounted,
        first=None if seen.first is None else rfc3339(seen.first),
        last=None if seen.last is None else rfc3339(seen.last),
        rules=tuple(rows),
    )


class _Builder:
    def __init__(
        self, ruleset: m.RuleSet, matcher: WatchingMatcher, recorded: bool, retention_ms: int | None
    ) -> None:
        self._matcher = matcher
        self._plans = {plan.rule.name: plan for plan in matcher.plan.rules}
        self._recorded = recorded
        self._retention = retention_ms
        self._levels: dict[str, int] = {}
        self._scopes: dict[frozenset[Bucket], Scope] = {}
        self._keys: dict[str, KeysByBucket] = keys_of(matcher.baselines, matcher.observer) if recorded else {}
        self._buckets = {bucket_of(device) for device in matcher.observer.devices.values()}
        for seen in matcher.observer.seen.values():
            self._buckets.update(seen)

    def rows(self, rule: m.Rule) -> list[RowCoverage]:
        """The rows of one rule; those of the rules that it reads must have been made."""
        platform = platform_of(rule)
        plan = self._plans.get(rule.name)
        if plan is None:
            self._levels[rule.name] = 0
            return [_refused(rule, platform, self._reason(rule))]
        rows = [self._row(plan, platform, group, mine) for group, mine in self._groups(plan, platform)]
        levels = [level(row.verdict) for row in rows]
        # Who reads the alerts of a rule that is blind for some devices sees some of them.
        self._levels[rule.name] = min(levels) if len(set(levels)) == 1 else 1
        return rows

    def _groups(self, plan: RulePlan, platform: str | None) -> list[tuple[str, frozenset[Bucket] | None]]:
        if not self._recorded:
            return [(ALL, None)]
        mine = {b for b in self._buckets if platform is None or b[0] in (None, platform)}
        if plan.fleet or not mine:
            return [(ALL, frozenset(mine))]
        groups = sorted({group for _, group in mine})
        return [(group, frozenset(b for b in mine if b[1] == group)) for group in groups]

    def _row(
        self, plan: RulePlan, platform: str | None, group: str, buckets: frozenset[Bucket] | None
    ) -> RowCoverage:
        rule, matcher = plan.rule, self._matcher
        scope = None if buckets is None else self._scope(buckets)
        keys = {name: within(self._keys.get(name, {}), buckets or frozenset()) for name in plan.baselines}
        judge = Judge(plan, matcher.plan.events, matcher.plan.baselines, platform, scope, keys, self._levels)
        found = {id(look): [judge.member(look, x) for x in look.source.members] for look in judge.needs.looks}

        def of(look: Look) -> int:
            return _best([one.level for one in found[id(look)]])

        reasons: list[tuple[int, str]] = []
        reached = judged(judge.needs.tree, of)
        for look in judge.needs.looks:
            reasons += _reasons(look, of(look), found[id(look)])
        if any(of(look) < 2 for look in judge.needs.guards):
            reached = min(reached, 1)
        devices = None
        if scope is not None and not plan.fleet:
            devices, reached = _devices(judge, scope, found, reached, reasons)
        longest = plan.table.horizon_ms
        if self._retention is not None and self._retention < longest:
            reached = min(reached, 1)
            kept, far = format_duration(self._retention), format_duration(longest)
            reasons.append((1, f"the input is kept for {kept}, and a match can look back {far}"))
        claim = claim_of(rule)
        whose = None if plan.fleet else buckets
        alerted = total(matcher.alerted.get(rule.name, {}), whose)
        return RowCoverage(
            rule=rule.name,
            title=rule.title,
            platform=platform or "any",
            group=group,
            verdict=VERDICTS[reached],
            reasons=tuple(dict.fromkeys(text for _, text in sorted(reasons, key=lambda pair: pair[0]))),
            devices=devices,
            looks=tuple(
                self._look(judge, look, found[id(look)], of(look), whose) for look in judge.needs.looks
            ),
            baselines=tuple(_baseline(name, keys[name], scope is not None) for name in plan.baselines),
            longest_ms=longest,
            retention_ms=self._retention,
            alerts=None if scope is None else alerted.count,
            last_alert=rfc3339(alerted.last) if alerted.count else None,
            attack=claim.analytics,
            strategy=claim.strategy,
            techniques=claim.techniques,
            not_observable=statements_for(plan.watched, platform, _sources(judge, scope)),
            not_seen=_texts(rule.meta.get("not_seen", [])),
        )

    def _look(
        self, judge: Judge, look: Look, members: list[Judged], of: int, whose: frozenset[Bucket] | None
    ) -> LookCoverage:
        scope = judge.scope
        fitted = total(self._matcher.fitted.get((judge.plan.rule.name, look.bit), {}), whose)
        devices = None
        if scope is not None and not judge.plan.fleet:
            devices = sum(n for mask, n in scope.masks.items() if _sees(scope, mask, members))
        return LookCoverage(
            what=look.source.name,
            name=look.name,
            role=look.role,
            verdict=VERDICTS[of],
            members=tuple(one.coverage for one in members),
            devices=devices,
            matched=None if scope is None else fitted.count,
            last_match=rfc3339(fitted.last) if fitted.count else None,
        )

    def _scope(self, buckets: frozenset[Bucket]) -> Scope:
        found = self._scopes.get(buckets)
        if found is None:
            found = self._scopes[buckets] = Scope(self._matcher.observer, buckets)
        return found

    def _reason(self, rule: m.Rule) -> str:
        shown = rule.name.replace("_", " ")
        said: list[Diagnostic] = [
            d for d in self._matcher.diagnostics if f"`{shown}` does not run" in d.label
        ]
        return (
            f"the rule does not run: {said[0].code}, {said[0].message}" if said else "the rule does not run"
        )


def _best(levels: list[int]) -> int:
    """A step that may be one of several kinds: blind where none can be seen, degraded where one cannot."""
    best = max(levels, default=0)
    return best if best == 0 or min(levels) == 2 else 1


def _sees(scope: Scope, mask: int, members: list[Judged]) -> int:
    """The level at which a device with this mask can be seen to send what a step or guard looks for.

    It can where it sent the kind, or sends from a source from which the kind comes: a phone whose crashes are
    collected need not have crashed yet.
    """
    sources = scope.sources_of(mask)
    levels = []
    for one in members:
        kind = one.coverage.kind
        own = [lv for s, lv in one.works.items() if s in sources or scope.sent(mask, s, kind)]
        levels.append(one.level if kind.startswith("alert:") else max(own, default=0))
    return _best(levels)


def _devices(
    judge: Judge,
    scope: Scope,
    found: Mapping[int, list[Judged]],
    reached: int,
    reasons: list[tuple[int, str]],
) -> tuple[Devices, int]:
    """The devices by what the rule can be judged on, and the verdict that follows from them."""
    counts = [0, 0, 0]
    lacking: dict[int, int] = {}
    for mask, count in scope.masks.items():
        levels = {id(look): _sees(scope, mask, found[id(look)]) for look in judge.needs.looks}
        mine = judged(judge.needs.tree, lambda look, levels=levels: levels[id(look)])  # type: ignore[misc]  # bound now
        if any(levels[id(look)] < 2 for look in judge.needs.guards):
            mine = min(mine, 1)
        counts[min(mine, reached)] += count
        for look in judge.needs.looks:
            lacking[id(look)] = lacking.get(id(look), 0) + (count if levels[id(look)] == 0 else 0)
    everyone = scope.all
    if reached and counts[0] == everyone:
        reasons.append((0, "no device sends all that the rule needs"))
        reached = 0
    elif reached == 2 and counts[2] < FEW * everyone:
        reasons.append((1, f"it can be judged in full on {counts[2]:,} of {everyone:,} devices"))
        reached = 1
    for look in judge.needs.looks:
        missing = lacking.get(id(look), 0)
        if reached and missing:
            # Said, but no reason for a lower verdict by itself while most devices have everything.
            kinds = " or ".join(dict.fromkeys(x.kind for x in look.source.members))
            where = f"on {missing:,} of {everyone:,} devices ({kinds})"
            reasons.append((3, f"`{_shown(look)}` is not to be seen {where}"))
    devices = Devices(everyone, scope.seen, scope.active, counts[2], counts[1], counts[0], scope.listed)
    return devices, reached


def _reasons(look: Look, of: int, members: list[Judged]) -> list[tuple[int, str]]:
    """Why a look is not as good as it could be; the gravest first when sorted."""
    if of == 2:
        return []
    weight = of if look.role == STEP else 1
    effect = {0: "cannot be seen", 1: "is seen in part"}[of]
    texts = [reason for one in members if one.level < 2 for reason in one.coverage.reasons]
    if look.role == GUARD:
        effect += ", so it explains nothing away"
    elif look.role == WAIT:
        effect += ", so its silence proves nothing"
    return [(weight, f"{look.role} `{_shown(look)}` {effect}: {'; '.join(dict.fromkeys(texts))}")]


def _shown(look: Look) -> str:
    return look.source.name.replace("_", " ")


def _baseline(name: str, keys: Keys, recorded: bool) -> BaselineCoverage:
    if not recorded:
        return BaselineCoverage(name, VERDICTS[2], None, None, None)
    found = 0 if not keys.answered else 1 if keys.answered < FEW * keys.all else 2
    return BaselineCoverage(name, VERDICTS[found], keys.all, keys.ready, keys.answered)


def _sources(judge: Judge, scope: Scope | None) -> dict[str, Any]:
    """For each kind the sources it comes from, or could come from."""
    found: dict[str, Any] = {}
    for kind in judge.plan.watched:
        came = None if scope is None else scope.feeds.get(kind)
        found[kind] = list(came) if came else [feed.source for feed in feeds_of(kind)]
    return found


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in (value if isinstance(value, list) else [value]))


def _refused(rule: m.Rule, platform: str | None, reason: str) -> RowCoverage:
    claim = claim_of(rule)
    return RowCoverage(
        rule=rule.name,
        title=rule.title,
        platform=platform or "any",
        group=ALL,
        verdict=VERDICTS[0],
        reasons=(reason,),
        devices=None,
        looks=(),
        baselines=(),
        longest_ms=None,
        retention_ms=None,
        alerts=None,
        last_alert=None,
        attack=claim.analytics,
        strategy=claim.strategy,
        techniques=claim.techniques,
        not_observable=(),
        not_seen=_texts(rule.meta.get("not_seen", [])),
    )
