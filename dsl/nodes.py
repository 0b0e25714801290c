"""The syntax tree: what the author wrote, with spans, before any name is looked up.

Nodes are frozen and carry offsets only; line and column are worked out when a message is
printed. Names are kept in their canonical form, words joined by underscores. Declarations stand
here; what they are made of in ``nodes_values.py``, ``nodes_expressions.py`` and ``nodes_patterns.py``,
and may be imported from here.
"""

from __future__ import annotations

from dsl.nodes_expressions import (
    And as And,
)
from dsl.nodes_expressions import (
    Arithmetic as Arithmetic,
)
from dsl.nodes_expressions import (
    Call as Call,
)
from dsl.nodes_expressions import (
    Compare as Compare,
)
from dsl.nodes_expressions import (
    Expression as Expression,
)
from dsl.nodes_expressions import (
    InCidr as InCidr,
)
from dsl.nodes_expressions import (
    InList as InList,
)
from dsl.nodes_expressions import (
    InPath as InPath,
)
from dsl.nodes_expressions import (
    InValues as InValues,
)
from dsl.nodes_expressions import (
    Like as Like,
)
from dsl.nodes_expressions import (
    Matches as Matches,
)
from dsl.nodes_expressions import (
    Negative as Negative,
)
from dsl.nodes_expressions import (
    Not as Not,
)
from dsl.nodes_expressions import (
    Or as Or,
)
from dsl.nodes_expressions import (
    Path as Path,
)
from dsl.nodes_expressions import (
    Presence as Presence,
)
from dsl.nodes_expressions import (
    Reference as Reference,
)
from dsl.nodes_patterns import (
    Absence as Absence,
)
from dsl.nodes_patterns import (
    AllOf as AllOf,
)
from dsl.nodes_patterns import (
    AnyOf as AnyOf,
)
from dsl.nodes_patterns import (
    AtLeast as AtLeast,
)
from dsl.nodes_patterns import (
    Atom as Atom,
)
from dsl.nodes_patterns import (
    EventStep as EventStep,
)
from dsl.nodes_patterns import (
    Gap as Gap,
)
from dsl.nodes_patterns import (
    Group as Group,
)
from dsl.nodes_patterns import (
    Guard as Guard,
)
from dsl.nodes_patterns import (
    OneOf as OneOf,
)
from dsl.nodes_patterns import (
    Pattern as Pattern,
)
from dsl.nodes_patterns import (
    Step as Step,
)
from dsl.nodes_patterns import (
    StepNode as StepNode,
)
from dsl.nodes_values import (
    Entry as Entry,
)
from dsl.nodes_values import (
    ListValue as ListValue,
)
from dsl.nodes_values import (
    Map as Map,
)
from dsl.nodes_values import (
    Name as Name,
)
from dsl.nodes_values import (
    Node as Node,
)
from dsl.nodes_values import (
    Quantity as Quantity,
)
from dsl.nodes_values import (
    Scalar as Scalar,
)
from dsl.nodes_values import (
    Span as Span,
)
from dsl.nodes_values import (
    Value as Value,
)
from dsl.nodes_values import (
    Word as Word,
)
from dsl.nodes_values import (
    walk as walk,
)


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
    """``GIVEN PARAM p = ..``, or ``rule.p`` for the PARAM inside one rule."""

    name: Path
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
