"""The states that a run of a rule goes through, and their picture for Mermaid."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.units import format_duration
from engine.explain import words
from engine.explain.steps import Teller


class Drop(msgspec.Struct, frozen=True):
    """What ends a run in a state without an alert."""

    reason: str


class State(msgspec.Struct, frozen=True):
    """A state, what leads to it from the one before, and what ends a run in it."""

    id: str
    text: str
    reached_by: str
    drops: tuple[Drop, ...]


class Diagram(msgspec.Struct, frozen=True):
    """The states from the first completed step to the alert."""

    states: tuple[State, ...]


def diagram_of(rule: m.Rule, teller: Teller) -> Diagram:
    """One state after each step but the last; one where UNLESS is asked; the alert."""
    steps = rule.pattern.steps
    states: list[State] = []
    before = ""
    if isinstance(steps[0].node, m.AbsenceNode):
        before = f", after {teller.short(steps[0].node)}"
        steps = steps[1:]
    for index, step in enumerate(steps[:-1]):
        drops = tuple(_drops(rule.pattern, steps[index + 1], teller))
        states.append(
            State(f"s{index + 1}", f"{teller.step_name(step)} seen", _reached(step, teller) + before, drops)
        )
        before = ""
    last = _reached(steps[-1], teller) + before
    if rule.unless:
        vetoes = tuple(Drop(f"UNLESS {words.name(u.source)}{_looked(u)}") for u in rule.unless)
        states.append(State("complete", "pattern complete", last, vetoes))
        last = "no UNLESS holds"
    severity = _severity(rule.severity)
    end = "match, published nowhere" if severity == "none" else f"alert, severity {severity}"
    states.append(State("alert", end, last, ()))
    return Diagram(tuple(states))


def _reached(step: m.Step, teller: Teller) -> str:
    text = teller.short(step.node)
    if step.after_ms is not None:
        text += f", at least {format_duration(step.after_ms)} later"
    if step.within_ms is not None:
        text += f", within {format_duration(step.within_ms)}"
    for guard in step.guards:
        if guard.lookback_ms is not None:
            text += f", no {words.name(guard.source)} in the {format_duration(guard.lookback_ms)} before"
    return text


def _drops(pattern: m.Pattern, following: m.Step, teller: Teller) -> Iterator[Drop]:
    for guard in following.guards:
        if guard.lookback_ms is None:
            yield Drop(words.name(guard.source))
    if isinstance(following.node, m.AbsenceNode):
        yield Drop(words.name(following.node.source))
    if following.within_ms is not None:
        yield Drop(f"{format_duration(following.within_ms)} have passed")
    if pattern.within_ms is not None:
        yield Drop(f"{format_duration(pattern.within_ms)} since the first event have passed")


def _looked(unless: m.Unless) -> str:
    return f", also {format_duration(unless.before_ms)} before" if unless.before_ms else ""


def _severity(node: e.Value) -> str:
    """Every severity the rule can give, in the order written."""
    found = [
        str(part.value)
        for part in e.walk(node)
        if isinstance(part, e.Constant) and part.type.name == e.SEVERITY
    ]
    return words.listed(dict.fromkeys(found), "or") or "as its expression says"


def mermaid(diagram: Diagram) -> str:
    """A ``stateDiagram-v2``, as Markdown pages of many platforms show it."""
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{_label(state.text)}" as {state.id}' for state in diagram.states]
    previous = "[*]"
    for state in diagram.states:
        lines.append(f"    {previous} --> {state.id}: {_label(state.reached_by)}")
        lines += [f"    {state.id} --> [*]: {_label(drop.reason)}" for drop in state.drops]
        previous = state.id
    lines.append(f"    {previous} --> [*]")
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    """Without the signs that end a label."""
    return text.replace('"', "'").replace(":", " ").replace(";", ",").replace("#", " ").replace("\n", " ")
