"""Why a rule got its automaton (LANGUAGE.md section 4 item 3; docs/explanation/architecture.md)."""

from __future__ import annotations

from collections.abc import Iterator

from dsl import expressions as e
from dsl import model as m
from dsl.units import format_duration
from engine.explain import words
from engine.explain.steps import Teller, all_steps


def why(rule: m.Rule, automaton: str, teller: Teller) -> str:
    """A sentence about what in the rule decided it."""
    if automaton == "latest":
        return (
            "every step is one event, no filter or guard reads another step, and the only bound is that of "
            "the whole: of the waiting runs only the one that began latest can matter"
        )
    if automaton == "runs":
        found = list(dict.fromkeys(_several(rule, teller)))
        because = words.listed(found, "and") or "the pattern is more than one line of single events"
        return f"a run that began earlier can complete where a later one cannot, because {because}"
    found = list(dict.fromkeys(_searched(rule, teller)))
    because = (
        words.listed(found, "and") or "steps can be completed in ways that only the whole choice decides"
    )
    return f"the kept events are searched for the earliest choice, because {because}"


def _several(rule: m.Rule, teller: Teller) -> Iterator[str]:
    for step in all_steps(rule.pattern):
        name = teller.step_name(step)
        if isinstance(step.node, m.EventNode) and _reads_steps(step.node.source):
            yield f"the filter of {name} reads another step"
        if any(_reads_steps(guard.source) for guard in step.guards):
            yield f"a guard of {name} reads another step"
        if step.after_ms is not None:
            yield f"{name} must come at least {format_duration(step.after_ms)} after the step before"
        if step.within_ms is not None:
            yield f"{name} has a bound of its own, {format_duration(step.within_ms)}"
        if isinstance(step.node, m.GroupNode) and step.node.pattern.within_ms is not None:
            yield f"{name} has a bound of its own, {format_duration(step.node.pattern.within_ms)}"
        if isinstance(step.node, m.OneOfNode):
            yield f"{name} has several branches"
    for unless in rule.unless:
        if _reads_steps(unless.source):
            yield f"UNLESS {words.name(unless.source)} reads a step"
    if rule.select != "latest":
        yield f"SELECT {rule.select.upper()} is asked for"


def _reads_steps(source: m.Source) -> bool:
    return any(e.steps_read(member.condition) for member in source.members)


def _searched(rule: m.Rule, teller: Teller) -> Iterator[str]:
    for step in all_steps(rule.pattern):
        match step.node:
            case m.AbsenceNode():
                yield f"it waits for silence ({teller.short(step.node)})"
            case m.LevelNode():
                yield f"it counts ({teller.short(step.node)})"
            case m.AllOfNode() | m.AnyOfNode():
                yield f"steps may come in any order ({teller.short(step.node)})"
        for guard in step.guards:
            if guard.lookback_ms is not None:
                looked = format_duration(guard.lookback_ms)
                yield f"it looks {looked} back for {words.name(guard.source)}"
