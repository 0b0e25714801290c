"""The pattern of a rule: as a sentence, and as the rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.units import format_duration
from engine.explain import words


class StepRow(msgspec.Struct, frozen=True):
    """One step.

    Attributes:
        number: its place; the steps inside it have the same number and one of their own: ``2.1``.
        name: its alias, else what it looks for.
        completed_by: what completes it.
        bounds: when, after the step before.
        guards: what must not happen.
        reads: fields of its own event, baselines and lists that are asked, and what of other steps.
    """

    number: str
    name: str
    completed_by: str
    bounds: tuple[str, ...]
    guards: tuple[str, ...]
    reads: tuple[str, ...]


def rows(pattern: m.Pattern, teller: Teller) -> tuple[StepRow, ...]:
    """The steps of a pattern in order, those inside another step behind it."""
    return tuple(_rows(pattern, teller, ""))


def _rows(pattern: m.Pattern, teller: Teller, prefix: str) -> Iterator[StepRow]:
    for index, step in enumerate(pattern.steps):
        number = f"{prefix}{index + 1}"
        inner = branches(step.node)
        yield StepRow(
            number,
            teller.step_name(step),
            teller.completed_by(step.node),
            tuple(_bounds(pattern, index)),
            tuple(map(guard, step.guards)),
            reads([*own_sources(step.node), *(g.source for g in step.guards)]),
        )
        for place, branch in enumerate(inner):
            deeper = f"{number}." if len(inner) == 1 else f"{number}{_letter(place)}."
            yield from _rows(branch, teller, deeper)


def branches(node: m.StepNode) -> tuple[m.Pattern, ...]:
    """The patterns inside a step; none for a step that looks for events itself."""
    match node:
        case m.GroupNode():
            return (node.pattern,)
        case m.AllOfNode() | m.AnyOfNode() | m.OneOfNode():
            return node.branches
        case _:
            return ()


def own_sources(node: m.StepNode) -> tuple[m.Source, ...]:
    """The source that a step looks for itself."""
    return (node.source,) if isinstance(node, m.EventNode | m.AbsenceNode | m.LevelNode) else ()


def all_steps(pattern: m.Pattern) -> Iterator[m.Step]:
    """Every step, also those inside others."""
    for step in pattern.steps:
        yield step
        for branch in branches(step.node):
            yield from all_steps(branch)


def sources(rule: m.Rule) -> list[m.Source]:
    """Every source of a rule: of steps, WITHOUT and UNLESS."""
    found: list[m.Source] = []
    for step in all_steps(rule.pattern):
        found += [*own_sources(step.node), *(g.source for g in step.guards)]
    return [*found, *(unless.source for unless in rule.unless)]


class Teller:
    """Tells patterns in words. ``events`` by wire kind: for the units of sums."""

    def __init__(self, events: Mapping[str, m.EventType]) -> None:
        self._events = events

    def step_name(self, step: m.Step) -> str:
        """The alias of a step, else a short name for what it looks for."""
        return words.spaced(step.name) if step.name else self.short(step.node)

    def short(self, node: m.StepNode) -> str:
        """A few words for what completes a step."""
        match node:
            case m.EventNode():
                return words.name(node.source)
            case m.AbsenceNode():
                return f"no {words.name(node.source)} for {format_duration(node.duration_ms)}"
            case m.LevelNode():
                return f"{self._amount(node)} in {format_duration(node.window_ms)}"
            case m.GroupNode():
                return self._chain(node.pattern)
            case m.AllOfNode():
                return "all of " + words.listed(map(self._chain, node.branches), "and")
            case m.AnyOfNode():
                return f"any {node.needed} of " + words.listed(map(self._chain, node.branches), "and")
            case m.OneOfNode():
                return words.listed(map(self._chain, node.branches), "or")

    def _chain(self, pattern: m.Pattern) -> str:
        return " then ".join(self.short(step.node) for step in pattern.steps)

    def _amount(self, node: m.LevelNode) -> str:
        name = words.name(node.source)
        if node.measure == "sum":
            amount = words.plain(node.amount, self._type(node))
            return f"{name} with {amount} or more of {node.field} together"
        if node.measure == "distinct":
            return f"{name} with {node.amount:,} or more different {node.field}"
        return f"{node.amount:,} or more {name}"

    def _type(self, node: m.LevelNode) -> e.Type:
        for member in node.source.members:
            event = self._events.get(member.kind)
            if event is not None and node.field in event.fields:
                return event.fields[node.field].type
        return e.Type(e.FLOAT)

    def completed_by(self, node: m.StepNode) -> str:
        """What completes a step, as part of a sentence."""
        match node:
            case m.EventNode():
                return words.source(node.source)
            case m.AbsenceNode():
                return f"no {words.source(node.source)} for {format_duration(node.duration_ms)}"
            case m.LevelNode():
                filtered = words.source(node.source)
                extra = "" if filtered == words.name(node.source) else f", each {filtered}"
                return f"{self._amount(node)} within {format_duration(node.window_ms)}{extra}"
            case m.GroupNode():
                return f"[{self.sentence(node.pattern)}]"
            case m.AllOfNode():
                return "all of these in any order: " + self._sentences(node.branches)
            case m.AnyOfNode():
                return f"at least {node.needed} of these in any order: " + self._sentences(node.branches)
            case m.OneOfNode():
                return "one of these: " + self._sentences(node.branches)

    def _sentences(self, patterns: Iterable[m.Pattern]) -> str:
        texts = [
            f"[{self.sentence(p)}]" if any(branches(s.node) for s in p.steps) else self.sentence(p)
            for p in patterns
        ]
        return "; ".join(f"({_letter(index)}) {text}" for index, text in enumerate(texts))

    def sentence(self, pattern: m.Pattern) -> str:
        """``a, and then within 5m b, all within 10m``."""
        parts: list[str] = []
        for index, step in enumerate(pattern.steps):
            if isinstance(step.node, m.AbsenceNode) and index == 0:
                what = words.source(step.node.source)
                text = f"no {what} in the {format_duration(step.node.duration_ms)} before the next step"
            else:
                text = self.completed_by(step.node)
            if step.name:
                text += f", called {words.spaced(step.name)}"
            text += "".join(f", with {guard(g)}" for g in step.guards)
            parts.append(f"and then {_gap(step)}{text}" if index else text)
        joined = ", ".join(parts)
        if pattern.within_ms is not None:
            joined += f", all within {format_duration(pattern.within_ms)}"
        return joined


def _letter(index: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[index % 26]


def _gap(step: m.Step) -> str:
    low, high = step.after_ms, step.within_ms
    if low is not None and high is not None:
        return f"between {format_duration(low)} and {format_duration(high)} later "
    if low is not None:
        return f"at least {format_duration(low)} later "
    return f"within {format_duration(high)} " if high is not None else ""


def _bounds(pattern: m.Pattern, index: int) -> Iterator[str]:
    step = pattern.steps[index]
    if step.after_ms is not None:
        yield f"at least {format_duration(step.after_ms)} after step {index}"
    if step.within_ms is not None:
        yield f"at most {format_duration(step.within_ms)} after step {index}"
    if pattern.within_ms is not None and index == len(pattern.steps) - 1:
        yield f"at most {format_duration(pattern.within_ms)} after the first event"


def guard(found: m.Guard) -> str:
    """``no g since the step before``."""
    if found.lookback_ms is None:
        return f"no {words.source(found.source)} since the step before"
    return f"no {words.source(found.source)} in the {format_duration(found.lookback_ms)} before it"


def reads(found: Iterable[m.Source]) -> tuple[str, ...]:
    """What the conditions of some sources read, each once, in the order written."""
    names: dict[str, None] = {}
    for source in found:
        for member in source.members:
            for node in e.walk(member.condition):
                match node:
                    case e.BaselineValue():
                        names[f"baseline {words.spaced(node.baseline)}"] = None
                    case e.InNamedList():
                        names[f"list {words.spaced(node.name)}"] = None
                    case e.InStep():
                        names[f"{words.spaced(node.step)}.{node.field}"] = None
                    case e.Field() | e.StepAggregate():
                        names[words.value(node)] = None
    return tuple(names)
