"""What a rule looks for, as a tree, and whether events with certain fields could fit it.

:func:`fits` asks a condition whether it can be true at all for events of which only some things are known to
be there. It errs on the side of yes: it says no only where a field that must be there never is, or where a
field never takes a value that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine.chains import chains_of
from engine.events import Event
from engine.plan_fields import sources_in

STEP = "step"
WAIT = "wait"
GUARD = "guard"
_ENVELOPE = frozenset(Event.__struct_fields__) | {"kind"}


class Look(msgspec.Struct, frozen=True):
    """One thing that a rule looks for.

    Attributes:
        bit: of the rule's sources, as the plan numbers them.
        later: not the first step, so that it is judged by how late it may come.
        look_back_ms: how far before the match a guard looks.
        counted: the field that AT LEAST counts or sums, which then must be there.
    """

    source: m.Source
    name: str | None
    role: str
    bit: int
    later: bool
    look_back_ms: int = 0
    counted: str | None = None


class Every(msgspec.Struct, frozen=True):
    """All parts are needed."""

    parts: tuple[Part, ...]


class Some(msgspec.Struct, frozen=True):
    """So many of the parts are needed."""

    needed: int
    parts: tuple[Part, ...]


Part = Look | Every | Some


class Needs(msgspec.Struct, frozen=True):
    """What must be seen for the rule to fire (``tree``), and what must be seen for it to be silent when it
    should (``guards``).
    """

    tree: Part
    guards: tuple[Look, ...]

    @property
    def looks(self) -> tuple[Look, ...]:
        """Everything, in the order written, guards last."""
        return (*_looks(self.tree), *self.guards)

    def named(self, name: str) -> list[Look]:
        """The looks whose event bears a name."""
        return [look for look in _looks(self.tree) if look.name == name]


def needs_of(rule: m.Rule) -> Needs:
    """The needs of a rule that the engine can run."""
    bits = {id(s): 1 << i for i, s in enumerate(sources_in(chains_of(rule.pattern), rule))}
    guards: list[Look] = []
    tree = _pattern(rule.pattern, bits, guards, first=True)
    guards += [
        Look(veto.source, None, GUARD, bits.get(id(veto.source), 0), True, veto.before_ms)
        for veto in rule.unless
    ]
    return Needs(tree, tuple(guards))


def _pattern(pattern: m.Pattern, bits: dict[int, int], guards: list[Look], first: bool) -> Part:
    parts: list[Part] = []
    for step in pattern.steps:
        for guard in step.guards:
            bit = bits.get(id(guard.source), 0)
            guards.append(Look(guard.source, None, GUARD, bit, True, guard.lookback_ms or 0))
        node = step.node
        leading = first and not parts
        match node:
            case m.EventNode() | m.LevelNode():
                bit = bits.get(id(node.source), 0)
                counted = node.field if isinstance(node, m.LevelNode) else None
                parts.append(Look(node.source, step.name, STEP, bit, not leading, 0, counted))
            case m.AbsenceNode():
                bit = bits.get(id(node.source), 0)
                if leading:
                    guards.append(Look(node.source, None, GUARD, bit, True, node.duration_ms))
                else:
                    parts.append(Look(node.source, step.name, WAIT, bit, True))
            case m.GroupNode():
                parts.append(_pattern(node.pattern, bits, guards, leading))
            case m.AllOfNode():
                parts.append(Every(tuple(_pattern(b, bits, guards, leading) for b in node.branches)))
            case m.AnyOfNode() | m.OneOfNode():
                needed = node.needed if isinstance(node, m.AnyOfNode) else 1
                parts.append(Some(needed, tuple(_pattern(b, bits, guards, leading) for b in node.branches)))
    return parts[0] if len(parts) == 1 else Every(tuple(parts))


def _looks(part: Part) -> tuple[Look, ...]:
    if isinstance(part, Look):
        return (part,)
    return tuple(look for inner in part.parts for look in _looks(inner))


def judged(part: Part, of: Callable[[Look], int]) -> int:
    """The level of a part from those of its looks: all of it is as good as its least part; of a choice,
    blind only where too few are left, and degraded where any is less than it could be. A wait for the silence
    of what is never heard is fulfilled, only without a meaning: that degrades.
    """
    if isinstance(part, Look):
        return max(of(part), 1) if part.role == WAIT else of(part)
    levels = sorted((judged(inner, of) for inner in part.parts), reverse=True)
    if isinstance(part, Every):
        return levels[-1]
    return min(levels[part.needed - 1], 2 if levels[-1] == 2 else 1)


# --- conditions


class World(Protocol):
    """What is known of events of one kind."""

    def has(self, field: str) -> bool:
        """Whether a field is ever there."""

    def takes(self, field: str, values: frozenset[object]) -> bool:
        """Whether a field ever takes one of some values."""

    def step_has(self, step: str, field: str) -> bool:
        """Whether a field is ever there on the event of another step."""

    def answers(self, baseline: str) -> bool:
        """Whether a baseline ever answers."""


def fits(condition: e.Condition, world: World) -> bool:
    """Whether events of this world may fulfil a condition."""
    match condition:
        case e.Always():
            return True
        case e.Never():
            return False
        case e.All():
            return all(fits(item, world) for item in condition.items)
        case e.Any():
            return any(fits(item, world) for item in condition.items)
        case e.Present():
            return condition.negated or there(condition.value, world)
        case e.Agrees():
            both = there(condition.left, world) and there(condition.right, world)
            return both or not condition.negated
        case e.Compare():
            if not (there(condition.left, world) and there(condition.right, world)):
                return False
            left, right = condition.left, condition.right
            if condition.operator == "==" and isinstance(left, e.Field) and isinstance(right, e.Constant):
                return left.step is not None or world.takes(left.name, frozenset({right.value}))
            return True
        case e.InSet():
            value = condition.value
            if not there(value, world):
                return False
            if condition.negated or not isinstance(value, e.Field) or value.step is not None:
                return True
            return world.takes(value.name, frozenset(condition.items))
        case e.InField():
            return there(condition.value, world) and there(condition.field, world)
        case e.InStep():
            return there(condition.value, world) and world.step_has(condition.step, condition.field)
        case e.InNamedList() | e.InNetwork() | e.Like() | e.Matches():
            return there(condition.value, world)


def there(value: e.Value, world: World) -> bool:
    """Whether a value is ever there, not missing."""
    match value:
        case e.Missing():
            return False
        case e.Field():
            if value.name in _ENVELOPE:
                return True
            return world.has(value.name) if value.step is None else world.step_has(value.step, value.name)
        case e.StepAggregate():
            return value.field is None or world.step_has(value.step, value.field)
        case e.BaselineValue():
            return value.function == "ready" or world.answers(value.baseline)
        case e.Arithmetic():
            return there(value.left, world) and there(value.right, world)
        case e.Function():
            return all(there(argument, world) for argument in value.arguments)
        case e.Choose():
            return (fits(value.condition, world) and there(value.yes, world)) or there(value.no, world)
        case _:
            return True


def fields_read(condition: e.Condition, baselines: dict[str, m.Baseline]) -> list[str]:
    """The fields of its own event that a condition reads, those of its baselines included, in order."""
    found: dict[str, None] = {}
    for node in e.walk(condition):
        if isinstance(node, e.Field) and node.step is None and node.name not in _ENVELOPE:
            found[node.name] = None
        elif isinstance(node, e.BaselineValue) and node.step is None:
            found.update(dict.fromkeys(baseline_fields(baselines[node.baseline])))
    return list(found)


def baseline_fields(baseline: m.Baseline) -> list[str]:
    """The fields that an event must have to be learned by a baseline."""
    parts = [x for value in baseline.values for x in e.walk(value)]
    names = [x.name for x in parts if isinstance(x, e.Field)] + list(baseline.by)
    return [name for name in dict.fromkeys(names) if name not in _ENVELOPE]


def baselines_read(condition: e.Condition) -> list[str]:
    """The baselines that a condition asks, in order."""
    found = (x.baseline for x in e.walk(condition) if isinstance(x, e.BaselineValue))
    return list(dict.fromkeys(found))
