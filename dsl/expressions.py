"""Checked expressions: names resolved, DEFINEs and PARAMs put in, NOT pushed down, types known.

Two families. *Values* have a type and may be missing (``optional``). *Conditions* are true or
false and never missing: LANGUAGE.md section 4 item 11 makes every comparison with a missing value
false, and NOT has already been pushed down to the comparisons, so each negative is a condition of
its own here (``negated``), false over a missing value like its positive.

All nodes are frozen and hashable; equal nodes mean the same question, which is how the plan
shares predicates between rules.
"""

from __future__ import annotations

import msgspec

STRING = "string"
INT = "int"
FLOAT = "float"
BOOL = "bool"
IP = "ip"
TIMESTAMP = "timestamp"
DURATION = "duration"
STRINGS = "list of string"
SEVERITY = "severity"

SEVERITIES = ("none", "info", "low", "medium", "high", "critical")


class Type(msgspec.Struct, frozen=True):
    """A type and, for numbers, a unit (``bytes``); a literal number has none and fits any.

    ``choices`` are the values an enumeration admits, empty where it is none.
    """

    name: str
    unit: str | None = None
    choices: tuple[str, ...] = ()

    @property
    def number(self) -> bool:
        return self.name in (INT, FLOAT)

    def __str__(self) -> str:
        return self.unit if self.unit and self.number else self.name


class Constant(msgspec.Struct, frozen=True):
    """A literal or PARAM. Durations and timestamps are in milliseconds, sizes in bytes."""

    value: str | int | float | bool
    type: Type
    optional: bool = False


class Missing(msgspec.Struct, frozen=True):
    """A field that this event type does not have."""

    type: Type
    optional: bool = True


class Field(msgspec.Struct, frozen=True):
    """A field of the event under test (``step`` None) or of the event of an earlier step."""

    step: str | None
    name: str
    type: Type
    optional: bool


class StepAggregate(msgspec.Struct, frozen=True):
    """``xs.count`` (``part`` count), ``xs.first.f``, ``xs.last.f`` of a step of several events."""

    step: str
    part: str
    field: str | None
    type: Type
    optional: bool


class Key(msgspec.Struct, frozen=True):
    """A BY key of the rule, in SEVERITY, RISK and ALERT."""

    name: str
    type: Type
    optional: bool = False


class Elapsed(msgspec.Struct, frozen=True):
    """``{elapsed}``: first to last event of the match, a duration."""

    type: Type = Type(DURATION)
    optional: bool = False


class BaselineValue(msgspec.Struct, frozen=True):
    """``deviation(b)`` and its kin. ``step`` None: at the event under test, or, in RISK, SEVERITY
    and ALERT, at the latest step whose type the baseline is over.
    """

    function: str
    baseline: str
    step: str | None
    type: Type
    optional: bool = True


class Arithmetic(msgspec.Struct, frozen=True):
    """``left operator right``; missing if an operand is, and for division by zero and NaN."""

    operator: str
    left: Value
    right: Value
    type: Type
    optional: bool


class Function(msgspec.Struct, frozen=True):
    """A function of values: ``lower upper len abs min max round domain``."""

    name: str
    arguments: tuple[Value, ...]
    type: Type
    optional: bool


class Choose(msgspec.Struct, frozen=True):
    """``choose(condition, yes, no)``."""

    condition: Condition
    yes: Value
    no: Value
    type: Type
    optional: bool


Value = (
    Constant
    | Missing
    | Field
    | StepAggregate
    | Key
    | Elapsed
    | BaselineValue
    | Arithmetic
    | Function
    | Choose
)


class Always(msgspec.Struct, frozen=True):
    """True."""


class Never(msgspec.Struct, frozen=True):
    """False: what became of a comparison with a field that the event type does not have."""


class All(msgspec.Struct, frozen=True):
    items: tuple[Condition, ...]


class Any(msgspec.Struct, frozen=True):
    items: tuple[Condition, ...]


class Compare(msgspec.Struct, frozen=True):
    """``== != < <= > >=``, false if a side is missing."""

    operator: str
    left: Value
    right: Value


class InSet(msgspec.Struct, frozen=True):
    """``IN [..]``; ``items`` in the order written."""

    value: Value
    items: tuple[str | int | float | bool, ...]
    negated: bool


class InNamedList(msgspec.Struct, frozen=True):
    """``IN LIST name``: exact entries, wildcards and, for an ip, networks."""

    value: Value
    name: str
    negated: bool


class InNetwork(msgspec.Struct, frozen=True):
    value: Value
    network: str
    negated: bool


class InField(msgspec.Struct, frozen=True):
    """``IN field`` where the field is a LIST OF string."""

    value: Value
    field: Field
    negated: bool


class InStep(msgspec.Struct, frozen=True):
    """``IN xs.f``: equals f of some event of step xs."""

    value: Value
    step: str
    field: str
    negated: bool


class Like(msgspec.Struct, frozen=True):
    """Anchored wildcard match; ``*`` any run, ``?`` one character; case-sensitive."""

    value: Value
    pattern: str
    negated: bool


class Matches(msgspec.Struct, frozen=True):
    """RE2, unanchored."""

    value: Value
    pattern: str
    negated: bool


class Present(msgspec.Struct, frozen=True):
    """``EXISTS``; negated: ``MISSING``."""

    value: Value
    negated: bool


class Agrees(msgspec.Struct, frozen=True):
    """``agrees(a, b)``: equal, or either missing; negated: both there and different."""

    left: Value
    right: Value
    negated: bool


Condition = (
    Always
    | Never
    | All
    | Any
    | Compare
    | InSet
    | InNamedList
    | InNetwork
    | InField
    | InStep
    | Like
    | Matches
    | Present
    | Agrees
)

ALWAYS = Always()
NEVER = Never()


def all_of(items: tuple[Condition, ...]) -> Condition:
    """Conjunction, flat and without trivial parts."""
    flat: list[Condition] = []
    for item in items:
        if isinstance(item, Never):
            return NEVER
        if isinstance(item, All):
            flat.extend(item.items)
        elif not isinstance(item, Always):
            flat.append(item)
    unique = tuple(dict.fromkeys(flat))
    if not unique:
        return ALWAYS
    return unique[0] if len(unique) == 1 else All(unique)


def any_of(items: tuple[Condition, ...]) -> Condition:
    """Disjunction, flat and without trivial parts."""
    flat: list[Condition] = []
    for item in items:
        if isinstance(item, Always):
            return ALWAYS
        if isinstance(item, Any):
            flat.extend(item.items)
        elif not isinstance(item, Never):
            flat.append(item)
    unique = tuple(dict.fromkeys(flat))
    if not unique:
        return NEVER
    return unique[0] if len(unique) == 1 else Any(unique)


def conjuncts(condition: Condition) -> tuple[Condition, ...]:
    """The AND-terms of a condition."""
    if isinstance(condition, All):
        return condition.items
    return () if isinstance(condition, Always) else (condition,)


def children(node: Value | Condition) -> tuple[Value | Condition, ...]:
    """The parts of an expression, left to right."""
    match node:
        case Arithmetic() | Compare() | Agrees():
            return (node.left, node.right)
        case Function():
            return node.arguments
        case Choose():
            return (node.condition, node.yes, node.no)
        case All() | Any():
            return node.items
        case InField():
            return (node.value, node.field)
        case InSet() | InNamedList() | InNetwork() | InStep() | Like() | Matches() | Present():
            return (node.value,)
        case _:
            return ()


def walk(node: Value | Condition) -> list[Value | Condition]:
    """The expression and all its parts, parents first."""
    found: list[Value | Condition] = [node]
    for child in found:  # grows while it is read
        found.extend(children(child))
    return found


def steps_read(node: Value | Condition) -> frozenset[str]:
    """The step names an expression reads; empty for one about the event under test alone."""
    return frozenset(
        part.step
        for part in walk(node)
        if isinstance(part, Field | StepAggregate | BaselineValue | InStep) and part.step is not None
    )
