"""Syntax nodes of expressions: what stands between ``[`` and ``]``, and in SEVERITY, RISK and ALERT."""

from __future__ import annotations

from dsl.nodes_values import ListValue, Name, Node, Scalar


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
