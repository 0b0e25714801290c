"""What the page says besides its alerts: the rules, what fitted them, why some were silent, what was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.diagnostics import Diagnostic
from engine.alerting.authored import authored
from engine.alerting.words import kind_in_words
from engine.caps import CapWarning
from engine.explain import explain
from engine.matcher import Matcher, RuleCount
from engine.plan import RulePlan
from engine.replay import Tally
from engine.report.fits import Fits, SourceFits
from engine.report.html.collect import Collector, Outline, Shown
from engine.report.html.histories import Past
from engine.sources import Refusal

MAX_ROWS = 100
"""Kinds, warnings and the like that a table of the page lists; the rest are counted."""


class NearMiss(msgspec.Struct, frozen=True):
    """A run of a silent rule that got far: on which device, and what was in its way."""

    device: str
    sentence: str


class RuleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A rule and what it did. ``silent``: why it raised no alert; empty if it did."""

    name: str
    title: str
    version: str
    sentences: tuple[str, ...]
    response: dict[str, Any]
    meta: dict[str, Any]
    sources: list[SourceFits]
    counts: RuleCount
    severities: dict[str, int]
    closed: int
    silent: tuple[str, ...]
    near_misses: tuple[NearMiss, ...] = ()

    @property
    def alerts(self) -> int:
        """Open and closed."""
        return sum(self.severities.values()) + self.closed


class KindFacts(msgspec.Struct, frozen=True):
    """A kind of event that a rule reads: how many came, and how many of them too late to be matched."""

    kind: str
    seen: int
    late: int
    rules: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the page."""

    recordings: list[str]
    shown: list[Shown]
    outlines: list[Outline]
    rules: list[RuleFacts]
    kinds: list[KindFacts]
    unknown: list[tuple[str, int]]
    refused: list[tuple[str, int, list[Refusal]]]
    notes: list[str]
    records: int
    matched: int
    unread: int
    not_running: list[str]
    past: dict[tuple[str, int], Past]
    devices: int
    first_ms: int | None
    last_ms: int | None

    @property
    def late(self) -> int:
        return sum(kind.late for kind in self.kinds)


def build(
    ruleset: m.RuleSet,
    matcher: Matcher,
    fits: Fits,
    collector: Collector,
    tally: Tally,
    recordings: Sequence[str],
    warnings: Sequence[CapWarning] = (),
    near_misses: Mapping[str, Sequence[NearMiss]] | None = None,
    past: Mapping[tuple[str, int], Past] | None = None,
) -> Report:
    """The report of a replay that has ended.

    Args:
        ruleset: the rules.
        matcher: that ran them.
        fits: its ``on_fit``.
        collector: what took the alerts.
        tally: what was read.
        recordings: their names.
        warnings: what was dropped at caps.
        past: the histories of baselines, as :meth:`Followed.past` gives them, where they were read.
        near_misses: for rules without alerts, by rule, where somebody has worked them out.
    """
    outlines = list(collector.outlines.values())
    counts = matcher.rule_counts()
    rules = [
        _rule(ruleset, plan, fits.of(plan), counts[plan.rule.name], outlines, matcher, near_misses or {})
        for plan in matcher.plan.rules
    ]
    return Report(
        recordings=list(recordings),
        shown=collector.shown(),
        outlines=outlines,
        rules=sorted(rules, key=lambda rule: rule.name),
        kinds=_kinds(matcher),
        unknown=sorted(tally.unknown.items()),
        refused=[(why, n, tally.examples.get(why, [])) for why, n in sorted(tally.refused.items())],
        notes=list(_notes(tally, warnings)),
        records=tally.records,
        matched=tally.events,
        unread=tally.unread,
        past=dict(past or {}),
        not_running=[_fault(d) for d in (*ruleset.errors, *matcher.diagnostics)],
        devices=len(tally.devices),
        first_ms=tally.first_ms,
        last_ms=tally.last_ms,
    )


def _rule(
    ruleset: m.RuleSet,
    plan: RulePlan,
    sources: list[SourceFits],
    counts: RuleCount,
    outlines: list[Outline],
    matcher: Matcher,
    near_misses: Mapping[str, Sequence[NearMiss]],
) -> RuleFacts:
    rule = plan.rule
    mine = [outline for outline in outlines if outline.rule == rule.name]
    written = authored(rule)
    return RuleFacts(
        name=rule.name.replace("_", " "),
        title=rule.title,
        version=str(rule.meta.get("version", "")),
        sentences=explain(ruleset, rule.name).sentences,
        response=written.response,
        meta=written.rest,
        sources=sources,
        counts=counts,
        severities=dict(Counter(outline.severity for outline in mine if outline.status == "open")),
        closed=sum(outline.status == "closed" for outline in mine),
        silent=() if mine else tuple(_silent(rule, sources, counts, matcher)),
        near_misses=() if mine else tuple(near_misses.get(rule.name, ())),
    )


def _silent(rule: m.Rule, sources: list[SourceFits], counts: RuleCount, matcher: Matcher) -> Iterator[str]:
    """Why a rule raised no alert, as far as the counts say."""
    times = f"{counts.matches:,} {'time' if counts.matches == 1 else 'times'}"
    if isinstance(rule.severity, e.Constant) and rule.severity.value == "none":
        yield f"It publishes nothing and only feeds other rules; it matched {times}."
        return
    if counts.matches:
        if counts.matches > counts.suppressed:
            yield f"It matched {times} and published nothing: its SEVERITY gave `none`."
        if counts.suppressed:
            yield f"{counts.suppressed:,} of its matches were suppressed."
        return
    seen = {kind: count.seen for kind, count in matcher.counts.items()}
    steps = [source for source in sources if source.part == "step"]
    never = dict.fromkeys(kind for step in steps for kind in step.kinds if kind in seen and not seen[kind])
    for step in steps:
        if step.fits:
            continue
        came = sum(seen.get(kind, 0) for kind in step.kinds)
        kinds = " or ".join(f"`{kind_in_words(kind)}`" for kind in step.kinds)
        if not came:
            yield f"Nothing could fit `{step.name}`: no {kinds} is in the recordings."
        else:
            yield f"No event fits `{step.name}`: {came:,} of {kinds} came, and none passed its filter."
    others = [kind for kind in never if not any(not s.fits and kind in s.kinds for s in steps)]
    if others:
        kinds = ", ".join(f"`{kind_in_words(kind)}`" for kind in others)
        yield f"It also looks for {kinds}, of which the recordings have none."
    if counts.starts and all(step.fits for step in steps):
        yield (
            f"{counts.starts:,} {'run' if counts.starts == 1 else 'runs'} began and none was completed in "
            "its bounds, for the same key, without a guard in the way."
        )
    if counts.unkeyed:
        yield f"{counts.unkeyed:,} events that fit have no value for a key of the rule and were not used."


def _fault(diagnostic: Diagnostic) -> str:
    """A message about a rule file, without the folders of who made the report."""
    return f"{diagnostic.code} in {PurePath(diagnostic.file).name}: {diagnostic.message}"


def _kinds(matcher: Matcher) -> list[KindFacts]:
    rules = Counter(kind for plan in matcher.plan.rules for kind in plan.watched)
    return [
        KindFacts(kind, count.seen, count.late, rules[kind]) for kind, count in sorted(matcher.counts.items())
    ]


def _notes(tally: Tally, warnings: Sequence[CapWarning]) -> Iterator[str]:
    """What else a reader of the page has to know."""
    known = tally.identity
    if known.leases or known.bad_leases:
        yield (
            f"{known.leases:,} leases named the device of {known.resolved + known.resolved_late:,} events; "
            f"{known.unresolved:,} events kept their address as device."
        )
    if known.bad_leases:
        yield f"{known.bad_leases:,} leases could not be used."
    for warning in warnings[:MAX_ROWS]:
        yield f"{warning}."
    if len(warnings) > MAX_ROWS:
        yield f"{len(warnings) - MAX_ROWS:,} more warnings about caps are left out."
