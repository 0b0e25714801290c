"""Filters cut in two: what an event answers alone, and the part that reads other steps, as functions."""

from __future__ import annotations

from collections.abc import Mapping

from dsl import expressions as e
from dsl import model as m
from dsl.expressions import Condition
from engine.automaton import CrossTest
from engine.codegen import Emitter, Places, compile_function


def crosses(source: m.Source) -> bool:
    """Whether a source reads other steps."""
    return any(e.steps_read(member.condition) for member in source.members)


def local_part(condition: Condition) -> Condition:
    """The conjuncts that read no other step."""
    return e.all_of(tuple(c for c in e.conjuncts(condition) if not e.steps_read(c)))


def cross_part(condition: Condition) -> Condition:
    """The conjuncts that read other steps."""
    return e.all_of(tuple(c for c in e.conjuncts(condition) if e.steps_read(c)))


class CrossTests:
    """Generates, for each source with filters that read steps, ``test(kept, events) -> bool``."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self._sources: list[str] = []

    def add(self, source: m.Source, steps: dict[str, str | None], loose: frozenset[str]) -> str | None:
        if not crosses(source):
            return None
        name = f"cross_{len(self._sources)}"
        places = Places("e", steps, readings="k.readings", loose=loose)
        # Members of one kind share a function; which member holds is asked again, local part included,
        # where two members of a kind differ in their cross part.
        lines = [f"def {name}(k, p):", "    e = k.event", "    kind = e.kind"]
        for kind in dict.fromkeys(member.kind for member in source.members):
            members = [x for x in source.members if x.kind == kind]
            if len(members) == 1:
                condition = cross_part(members[0].condition)
            else:
                condition = e.any_of(tuple(x.condition for x in members))
            kind_name = self.emitter.constant(kind, lambda kind=kind: kind)  # type: ignore[misc]  # bound now
            lines.append(f"    if kind == {kind_name}:")
            lines.append(f"        return {self.emitter.condition(condition, places)}")
        lines.append("    return False\n")
        self._sources.append("\n".join(lines))
        return name

    def make(
        self, source: m.Source, steps: Mapping[str, str | None], loose: frozenset[str]
    ) -> CrossTest | None:
        """The function at once; None for a source that reads no steps."""
        name = self.add(source, dict(steps), loose)
        if name is None:
            return None
        made: CrossTest = compile_function(name, self._sources[-1], self.emitter.names)
        return made

    def compile(self) -> dict[str | None, CrossTest]:
        if not self._sources:
            return {}
        text = "\n".join(self._sources)
        scope = self.emitter.names
        compile_function("cross_0", text, scope)
        return {f"cross_{i}": scope[f"cross_{i}"] for i in range(len(self._sources))}
