"""The checked rule set: what ``dsl.load`` gives and the engine compiles.

No spans are needed to run a rule; those kept here are for messages that come after checking
(lints, limits of the engine). Times are milliseconds.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dsl.diagnostics import ERROR, Diagnostic
from dsl.expressions import Condition, Type, Value
from dsl.nodes import Span

DEFAULT_GRACE_MS = 5 * 60_000
DEFAULT_LATE_MS = 24 * 3_600_000


class FieldType(msgspec.Struct, frozen=True):
    """A field of an EVENT: ``name`` in rules, ``wire`` in the JSON object."""

    name: str
    wire: str
    type: Type
    optional: bool
    text: str | None = None


class EventType(msgspec.Struct, frozen=True):
    """An EVENT declaration. ``kind`` is the name on the wire: ``net_flow`` is ``net.flow``."""

    name: str
    kind: str
    fields: dict[str, FieldType]
    grace_ms: int
    late_ms: int
    text: str | None
    span: Span
    file: str


class NamedList(msgspec.Struct, frozen=True):
    """A LIST. ``items`` are its entries now (literal, or read from ``path``)."""

    name: str
    items: tuple[str, ...]
    path: str | None
    refresh_ms: int | None


class Param(msgspec.Struct, frozen=True):
    """A PARAM with the value in force. ``overridden`` if a deployment set it."""

    name: str
    value: str | int | float | bool
    type: Type
    text: str | None
    overridden: bool


class Baseline(msgspec.Struct, frozen=True):
    """A BASELINE over events of one kind. ``by`` are field names, empty for the whole fleet."""

    name: str
    kind: str
    values: tuple[Value, ...]
    condition: Condition
    by: tuple[str, ...]
    every_ms: int | None
    over_ms: int | None
    using: str
    warmup: int
    peer: tuple[str, ...] | None
    file: str
    span: Span


class Member(msgspec.Struct, frozen=True):
    """One event type a source admits, with the whole condition (signal and filter) for it."""

    kind: str
    condition: Condition


class Source(msgspec.Struct, frozen=True):
    """What a step or guard looks for: an event, a signal, or another rule's alerts.

    An event fits if any member of its kind admits it. ``alert_rule`` names the rule for ALERT.
    """

    name: str
    members: tuple[Member, ...]
    alert_rule: str | None
    text: str
    span: Span


class SignalType(msgspec.Struct, frozen=True):
    """A SIGNAL as a source of its own."""

    name: str
    source: Source
    text: str | None


class Guard(msgspec.Struct, frozen=True):
    """WITHOUT; ``lookback_ms`` None: since the previous step, else that long before this one."""

    source: Source
    lookback_ms: int | None
    span: Span


class EventNode(msgspec.Struct, frozen=True):
    source: Source


class AbsenceNode(msgspec.Struct, frozen=True):
    source: Source
    duration_ms: int


class GroupNode(msgspec.Struct, frozen=True):
    pattern: Pattern


class AllOfNode(msgspec.Struct, frozen=True):
    branches: tuple[Pattern, ...]


class AnyOfNode(msgspec.Struct, frozen=True):
    needed: int
    branches: tuple[Pattern, ...]


class OneOfNode(msgspec.Struct, frozen=True):
    branches: tuple[Pattern, ...]


class LevelNode(msgspec.Struct, frozen=True):
    """AT LEAST. ``measure``: ``count``, ``distinct`` or ``sum`` (the last two over ``field``)."""

    amount: int | float
    measure: str
    field: str | None
    source: Source
    window_ms: int


StepNode = EventNode | AbsenceNode | GroupNode | AllOfNode | AnyOfNode | OneOfNode | LevelNode


class Step(msgspec.Struct, frozen=True):
    """A step; ``after_ms`` and ``within_ms`` bound the gap before it. ``name`` is its alias."""

    node: StepNode
    after_ms: int | None
    within_ms: int | None
    guards: tuple[Guard, ...]
    name: str | None
    span: Span


class Pattern(msgspec.Struct, frozen=True):
    steps: tuple[Step, ...]
    within_ms: int | None
    span: Span


class Unless(msgspec.Struct, frozen=True):
    source: Source
    before_ms: int
    span: Span


class Suppress(msgspec.Struct, frozen=True):
    duration_ms: int
    per: tuple[Value, ...]
    names: tuple[str, ...]


class Template(msgspec.Struct, frozen=True):
    """Text with values in it: strings and values in turn."""

    parts: tuple[str | Value, ...]


class Rule(msgspec.Struct, frozen=True):
    """A checked rule. ``severity`` is a value of type severity; ``params`` are those it reads."""

    name: str
    title: str
    by: tuple[str, ...]
    pattern: Pattern
    unless: tuple[Unless, ...]
    select: str
    severity: Value
    risk: Value | None
    suppress: Suppress | None
    alert_title: Template
    alert_texts: tuple[tuple[str, Template], ...]
    alert_fields: tuple[tuple[str, Value], ...]
    meta: dict[str, Any]
    params: dict[str, str | int | float | bool]
    text: str
    file: str
    span: Span
    name_span: Span


class Fixture(msgspec.Struct, frozen=True):
    """``GIVEN baseline FOR (key) = {...}`` of a TEST."""

    baseline: str
    key: tuple[str | int | float | bool, ...]
    state: dict[str, Any]


class TestEvent(msgspec.Struct, frozen=True):
    """``AT t [ARRIVES u] kind {...}``: the wire event without its time."""

    time_ms: int
    arrives_ms: int
    kind: str
    fields: dict[str, Any]
    span: Span


class TestClock(msgspec.Struct, frozen=True):
    time_ms: int


class Expectation(msgspec.Struct, frozen=True):
    """``EXPECT``: ``what`` is alert, closed or none."""

    what: str
    at_ms: int | None
    fields: dict[str, Any]
    span: Span


class RuleTest(msgspec.Struct, frozen=True):
    """A TEST block for one rule; times are milliseconds after the test's zero."""

    title: str
    rule: str
    fixtures: tuple[Fixture, ...]
    lists: dict[str, tuple[str, ...]]
    params: dict[str, str | int | float | bool]
    inputs: tuple[TestEvent | TestClock, ...]
    expectations: tuple[Expectation, ...]
    file: str
    span: Span


class RuleSet(msgspec.Struct, frozen=True):
    """Everything that loaded, and what was said about the rest.

    ``events`` is keyed by wire kind, the other tables by canonical name. ``texts`` holds the source
    of each file, for printing diagnostics. ``broken`` names the declarations that did not load.
    ``overrides`` are the PARAM values it was loaded with, by the names that were given.
    """

    events: dict[str, EventType]
    lists: dict[str, NamedList]
    params: dict[str, Param]
    baselines: dict[str, Baseline]
    signals: dict[str, SignalType]
    rules: dict[str, Rule]
    tests: tuple[RuleTest, ...]
    broken: frozenset[str]
    diagnostics: tuple[Diagnostic, ...]
    texts: dict[str, str]
    overrides: dict[str, str | int | float | bool] = {}

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity == ERROR)
