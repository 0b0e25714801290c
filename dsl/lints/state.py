"""TW508 and TW509: what a rule keeps for each key, at worst.

Kept events are about 250 bytes (DESIGN.md section 7); a rule that needs several runs keeps up to 64
a key (LANGUAGE.md section 4 item 3). What the rate of a source adds cannot be known here, so TW508
counts only what the rule itself demands, and TW509 names what only the rate limits.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsl import expressions as e
from dsl.diagnostics import Diagnostic
from dsl.lints.common import all_steps, event_source, guard_sources, horizon_ms, spaced, warning
from dsl.model import EventNode, LevelNode, Rule, RuleSet, Source
from dsl.units import format_duration

KEPT_EVENT_BYTES = 250
RUNS_PER_KEY = 64
BUDGET_BYTES = 256 * 1024
"""A thousand kept events for one device and rule; a million such devices would fill 256 GiB."""


def state_over_budget(ruleset: RuleSet) -> Iterator[Diagnostic]:
    """Rules whose levels and runs alone need more than the budget for one key."""
    for rule in ruleset.rules.values():
        needed = worst_case_bytes(rule)
        if needed > BUDGET_BYTES:
            levels = [s for s in all_steps(rule.pattern) if isinstance(s.node, LevelNode)]
            span = max(levels, key=_level_events).span if levels else rule.pattern.span
            yield warning(
                "TW508",
                f"`{spaced(rule.name)}` may keep {needed // 1024:,} KiB for each key",
                rule.file,
                span,
                f"the budget is {BUDGET_BYTES // 1024} KiB",
                "count fewer events, or have the source count them: one event with a number in it",
            )


def worst_case_bytes(rule: Rule) -> int:
    """Bytes a key may need for runs and for the windows of levels, whatever the rate of its events."""
    steps = list(all_steps(rule.pattern))
    runs = 1 if _one_run_a_step(rule) else RUNS_PER_KEY
    events = runs * len(steps) + sum(map(_level_events, steps))
    return events * KEPT_EVENT_BYTES


def _level_events(step: object) -> int:
    """Events that must be kept to know whether AT LEAST holds; a SUM does not say how many."""
    node = getattr(step, "node", None)
    return int(node.amount) if isinstance(node, LevelNode) and node.measure != "sum" else 0


def _one_run_a_step(rule: Rule) -> bool:
    """LANGUAGE.md section 4 item 3: single events, filters of their own, one bound over all."""
    sources = [s.node.source for s in rule.pattern.steps if isinstance(s.node, EventNode)]
    sources += [guard.source for step in rule.pattern.steps for guard in step.guards]
    return (
        all(isinstance(s.node, EventNode) for s in rule.pattern.steps)
        and all(s.after_ms is None and s.within_ms is None for s in rule.pattern.steps)
        and not any(e.steps_read(m.condition) for source in sources for m in source.members)
    )


def without_local_part(ruleset: RuleSet) -> Iterator[Diagnostic]:
    """A step or guard without a condition of its own keeps every event of its type.

    Not absences and levels: that any event breaks a silence, or counts, is what they are for.
    """
    for rule in ruleset.rules.values():
        horizon = horizon_ms(rule)
        if not horizon:
            continue
        sources = [
            source
            for step in all_steps(rule.pattern)
            if isinstance(step.node, EventNode) and (source := event_source(step)) is not None
        ]
        seen: set[str] = set()
        for source in (*sources, *guard_sources(rule)):
            kind = _unfiltered(source, ruleset)
            if kind is None or kind in seen:
                continue
            seen.add(kind)
            kept = format_duration(horizon + ruleset.events[kind].late_ms)
            yield warning(
                "TW509",
                f"every `{spaced(kind)}` is kept for {kept}, about {KEPT_EVENT_BYTES} bytes each",
                rule.file,
                source.span,
                "no condition on the event alone",
                "add one that does not read another step; what it leaves out is not kept",
            )


def _unfiltered(source: Source, ruleset: RuleSet) -> str | None:
    for member in source.members:
        local = [term for term in e.conjuncts(member.condition) if not e.steps_read(term)]
        if member.kind in ruleset.events and not local:
            return member.kind
    return None
