"""The syntax tree: what the author wrote, with spans, before any name is looked up.

Nodes are frozen and carry offsets only; line and column are worked out when a message is
printed. Names are kept in their canonical form, words joined by underscores.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Span(msgspec.Struct, frozen=True):
    """Half-open range of character offsets in one source file."""

    start: int
    end: int


class Node(msgspec.Struct, frozen=True):
    """Base of every syntax node: a place in the text."""

    span: Span


class Name(Node, frozen=True):
    """One or more lower-case words; ``text`` has underscores between them."""

    text: str


class Quantity(Node, frozen=True):
    """A number, size, duration or PARAM where one of them stands for a count, bound or amount.

    ``text`` is the token as written; ``kind`` is ``number``, ``size``, ``duration`` or ``param``.
    """

    text: str
    kind: str


# --- values: literals outside expressions -------------------------------------------------


class Scalar(Node, frozen=True):
    """A literal. ``kind``: ``string number size duration bool``.

    A duration is in milliseconds, a size in bytes.
    """

    value: str | int | float | bool
    kind: str


class Word(Node, frozen=True):
    """A bare word used as a value: ``status: shadow``, ``attack: [AN1756]``."""

    text: str


class ListValue(Node, frozen=True):
    """``[a, b]``."""

    items: tuple[Value, ...]


class Entry(Node, frozen=True):
    """``key: value`` in a map. ``key`` keeps dots (``xs.count``); ``quoted`` if it was a string."""

    key: str
    key_span: Span
    quoted: bool
    value: Value


class Map(Node, frozen=True):
    """``{ key: value ... }``, in the order written."""

    entries: tuple[Entry, ...]


Value = Scalar | Word | ListValue | Map


# --- expressions --------------------------------------------------------------------------


class Path(Node, frozen=True):
    """``f``, ``x.f``, ``xs.first.f``."""

    parts: tuple[Name, ...]


class Reference(Node, frozen=True):
    """A path read as a value."""

    path: Path


class Call(Node, frozen=True):
    """``f(a, b)``: a function, a baseline function or a DEFINE."""

    function: Name
    arguments: tuple[Expression, ...]


class And(Node, frozen=True):
    items: tuple[Expression, ...]


class Or(Node, frozen=True):
    items: tuple[Expression, ...]


class Not(Node, frozen=True):
    item: Expression


class Compare(Node, frozen=True):
    operator: str
    left: Expression
    right: Expression


class Arithmetic(Node, frozen=True):
    """``first op item op item ...`` with operators of one precedence, left to right."""

    first: Expression
    rest: tuple[tuple[str, Expression], ...]


class Negative(Node, frozen=True):
    item: Expression


class InValues(Node, frozen=True):
    value: Expression
    items: ListValue
    negated: bool


class InList(Node, frozen=True):
    value: Expression
    name: Name
    negated: bool


class InCidr(Node, frozen=True):
    value: Expression
    network: Scalar
    negated: bool


class InPath(Node, frozen=True):
    """``IN field`` (a LIST OF field) or ``IN xs.field`` (any event of step xs)."""

    value: Expression
    path: Path
    negated: bool


class Like(Node, frozen=True):
    value: Expression
    pattern: Scalar
    negated: bool


class Matches(Node, frozen=True):
    value: Expression
    pattern: Scalar
    negated: bool


class Presence(Node, frozen=True):
    """``x EXISTS`` (``exists`` true) or ``x MISSING``."""

    value: Expression
    exists: bool


Expression = (
    Scalar
    | Reference
    | Call
    | And
    | Or
    | Not
    | Compare
    | Arithmetic
    | Negative
    | InValues
    | InList
    | InCidr
    | InPath
    | Like
    | Matches
    | Presence
)


# --- patterns -----------------------------------------------------------------------------


class Atom(Node, frozen=True):
    """``traffic deviation [expr]``: an EVENT or SIGNAL by name, or, with ``alert``, another rule's alerts."""

    name: Name
    filter: Expression | None
    alert: bool


class Guard(Node, frozen=True):
    """``WITHOUT g``: none since the previous step; with ``lookback``: none so long before this step."""

    source: Atom
    lookback: Quantity | None


class EventStep(Node, frozen=True):
    source: Atom


class Absence(Node, frozen=True):
    """``NO g FOR d``."""

    source: Atom
    duration: Quantity


class Group(Node, frozen=True):
    """``( pattern )``."""

    pattern: Pattern


class AllOf(Node, frozen=True):
    branches: tuple[Pattern, ...]


class AnyOf(Node, frozen=True):
    needed: Quantity
    branches: tuple[Pattern, ...]


class OneOf(Node, frozen=True):
    branches: tuple[Pattern, ...]


class AtLeast(Node, frozen=True):
    """``AT LEAST n a IN d``. ``measure``: ``count``, ``distinct`` or ``sum``, the last two over ``field``."""

    amount: Quantity
    measure: str
    field: Name | None
    source: Atom
    window: Quantity


StepNode = EventStep | Absence | Group | AllOf | AnyOf | OneOf | AtLeast


class Gap(Node, frozen=True):
    """Bounds on the gap a THEN opens: ``lower`` from AFTER or BETWEEN, ``upper`` from WITHIN or BETWEEN."""

    lower: Quantity | None
    upper: Quantity | None


class Step(Node, frozen=True):
    """One step of a chain with the gap before it (none for the first), guards and alias."""

    gap: Gap | None
    node: StepNode
    guards: tuple[Guard, ...]
    alias: Name | None


class Pattern(Node, frozen=True):
    """``step THEN step ... WITHIN d``; ``within`` bounds first to last event."""

    steps: tuple[Step, ...]
    within: Quantity | None


# --- declarations -------------------------------------------------------------------------


class FieldNode(Node, frozen=True):
    """One field of an EVENT. ``choices`` from ``ONE OF [..]``, ``wire`` from ``FROM "..."``."""

    name: Name
    type: str
    type_span: Span
    is_list: bool
    optional: bool
    unit: str | None
    choices: ListValue | None
    wire: str | None
    text: str | None


class EventNode(Node, frozen=True):
    name: Name
    text: str | None
    grace: Quantity | None
    late: Quantity | None
    fields: tuple[FieldNode, ...]


class ListNode(Node, frozen=True):
    """``items`` for a literal list, else ``file`` (a path relative to the rule file)."""

    name: Name
    items: ListValue | None
    file: Scalar | None
    refresh: Quantity | None


class ParamNode(Node, frozen=True):
    name: Name
    value: Value
    text: str | None


class DefineNode(Node, frozen=True):
    name: Name
    parameters: tuple[Name, ...]
    body: Expression


class BaselineNode(Node, frozen=True):
    name: Name
    values: tuple[Expression, ...]
    source: Name
    filter: Expression | None
    by: tuple[Name, ...]
    every: Quantity | None
    over: Quantity | None
    using: Name | None
    warmup: Quantity | None
    peer: tuple[Name, ...]


class SignalNode(Node, frozen=True):
    name: Name
    members: tuple[Atom, ...]
    text: str | None


class Unless(Node, frozen=True):
    source: Atom
    before: Quantity | None


class Suppress(Node, frozen=True):
    duration: Quantity
    per: tuple[Path, ...]


class AlertText(Node, frozen=True):
    key: str
    text: Scalar


class AlertFields(Node, frozen=True):
    key: str
    paths: tuple[Path, ...]


class AlertClause(Node, frozen=True):
    entries: tuple[AlertText | AlertFields, ...]


class RuleNode(Node, frozen=True):
    """One RULE. A clause that stands twice keeps its first place here; parse.py reports the second."""

    name: Name
    title: str | None
    meta: Map | None
    params: tuple[ParamNode, ...]
    by: tuple[Name, ...] | None
    when: Pattern | None
    unless: tuple[Unless, ...]
    severity: Expression | None
    suppress: Suppress | None
    risk: Expression | None
    alert: AlertClause | None
    select: str | None
    clauses: tuple[str, ...]


class GivenBaseline(Node, frozen=True):
    name: Name
    key: tuple[Value, ...]
    state: Map


class GivenList(Node, frozen=True):
    name: Name
    items: ListValue


class GivenParam(Node, frozen=True):
    name: Name
    value: Value


class At(Node, frozen=True):
    """``AT t [ARRIVES u] kind { ... }``."""

    time: Quantity
    arrives: Quantity | None
    event: Name
    fields: Map


class Clock(Node, frozen=True):
    """``CLOCK d``: all clocks advance to d."""

    time: Quantity


class Expect(Node, frozen=True):
    """``EXPECT ALERT|CLOSED|NONE``; ``what`` is ``alert``, ``closed`` or ``none``."""

    what: str
    at: Quantity | None
    fields: Map | None


Statement = GivenBaseline | GivenList | GivenParam | At | Clock | Expect


class TestNode(Node, frozen=True):
    title: str
    rule: Name
    statements: tuple[Statement, ...]


Declaration = EventNode | ListNode | ParamNode | DefineNode | BaselineNode | SignalNode | RuleNode | TestNode


def walk(root: Node) -> Iterator[Node]:
    """The node and all nodes below it, parents first."""
    left: list[object] = [root]
    while left:
        item = left.pop()
        if isinstance(item, tuple):
            left.extend(reversed(item))
        elif isinstance(item, Node):
            yield item
            left.extend([getattr(item, field) for field in item.__struct_fields__[:0:-1]])  # not the span
