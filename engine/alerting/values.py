"""The values of SEVERITY, RISK, SUPPRESS and ALERT, compiled to functions of a match."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dsl import expressions as e
from dsl import model as m
from dsl.expressions import Constant, Value
from engine.alerting.words import value_in_words
from engine.alerts import printable
from engine.automaton import Match
from engine.codegen import Emitter, Places, compile_function
from engine.plan import RulePlan
from engine.runtime_functions import ListTest

_Function = Callable[[Match], tuple[Any, ...]]


class Values:
    """Works out values of one rule for a match, together: one generated function for each chain.

    Args:
        plan: the rule.
        values: which, each once.
        lists: the lists of the rule set.
    """

    def __init__(self, plan: RulePlan, values: Sequence[Value], lists: Mapping[str, ListTest]) -> None:
        self._fleet = plan.fleet
        self._places = {value: index for index, value in enumerate(dict.fromkeys(values))}
        self._functions: list[_Function] = [
            self._compile(plan, number, lists) for number in range(len(plan.table.chains))
        ]
        fixed = all(isinstance(value, Constant) for value in self._places)
        self._fixed = (
            tuple(value.value for value in self._places if isinstance(value, Constant)) if fixed else None
        )

    def _compile(self, plan: RulePlan, chain: int, lists: Mapping[str, ListTest]) -> _Function:
        emitter = Emitter(lists)
        taken = plan.places[chain]
        every = {name for names in plan.places for name in names}
        places = Places(
            steps={name: taken.get(name) for name in every},
            keys={key: f"key[{i}]" for i, key in enumerate(("device", *plan.key_fields))},
            latest="p",
            elapsed="elapsed",
            loose=plan.loose[chain],
        )
        parts = [emitter.nullable(value, places) for value in self._places]
        inside = [node for value in self._places for node in e.walk(value)]
        lines = ["def values(match):", "    p = match.events"]
        if any(isinstance(node, e.Key) for node in inside):
            device = "None" if self._fleet else "p[0].event.device"
            lines.append(f"    key = ({device}, *match.key)")
        if any(isinstance(node, e.Elapsed) for node in inside):
            lines.append("    elapsed = elapsed_ms(match)")
        lines += ["    return (", *(f"        {part}," for part in parts), "    )"]
        emitter.names["elapsed_ms"] = elapsed_ms
        function: _Function = compile_function("values", "\n".join(lines) + "\n", emitter.names)
        return function

    def of(self, match: Match) -> tuple[Any, ...]:
        """All of them for a match; None where one is missing. :meth:`place` says which is which."""
        if self._fixed is not None:
            return self._fixed
        return self._functions[match.chain](match)

    def place(self, value: Value) -> int:
        """The index of a value in what :meth:`of` gives."""
        return self._places[value]


class Text:
    """A text of the rule with values in it."""

    def __init__(self, template: m.Template, values: Values) -> None:
        self._parts = [
            part if isinstance(part, str) else (values.place(part), part) for part in template.parts
        ]
        fixed = all(isinstance(part, str) for part in template.parts)
        self._fixed = printable("".join(map(str, template.parts))) if fixed else None

    def fill(self, known: tuple[Any, ...]) -> str:
        """The text with the values of a match."""
        if self._fixed is not None:
            return self._fixed
        return printable(
            "".join(
                part if isinstance(part, str) else value_in_words(known[part[0]], part[1])
                for part in self._parts
            )
        )


def elapsed_ms(match: Match) -> int:
    """First to last event, measured as bounds are."""
    return match.last.time - begin_ms(match)


def begin_ms(match: Match) -> int:
    """Where the bounds of a match measure from: the earliest begin of its events."""
    events = match.events
    begin = events[0].begin
    for kept in events:
        if kept.begin < begin:
            begin = kept.begin
    return begin
