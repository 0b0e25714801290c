"""Syntax nodes of patterns: what WHEN may say."""

from __future__ import annotations

from dsl.nodes_expressions import Expression
from dsl.nodes_values import Name, Node, Quantity


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
