"""What names mean at a place in a rule: the tables of the rule set and the scope of an expression."""

from __future__ import annotations

import msgspec

from dsl import nodes as n
from dsl.diagnostics import Diagnostic
from dsl.expressions import (
    FLOAT,
    SEVERITIES,
    STRING,
    TIMESTAMP,
    Constant,
    Type,
    Value,
)
from dsl.model import Baseline, EventType, FieldType, Member, NamedList, Param

ENVELOPE: dict[str, FieldType] = {
    f.name: f
    for f in (
        FieldType("id", "id", Type(STRING), True, "default: stream sequence and index"),
        FieldType("time", "time", Type(TIMESTAMP), False, "when it happened"),
        FieldType("start", "start", Type(TIMESTAMP), True, "when an interval began"),
        FieldType("seen", "seen", Type(TIMESTAMP), True, "when it was taken in"),
        FieldType("source", "source", Type(STRING), True, "which sensor said so"),
        FieldType("kind", "kind", Type(STRING), False, "the event type on the wire"),
        FieldType("device", "device", Type(STRING), False, "the device it is about"),
        FieldType("quality", "quality", Type(STRING, None, ("exact", "interval", "first_last")), True),
        FieldType("attribution", "attribution", Type(STRING, None, ("app", "device", "ip")), True),
    )
}
"""Fields every event has (DESIGN.md section 4)."""

ALERT_FIELDS: dict[str, FieldType] = {
    f.name: f
    for f in (
        FieldType("rule", "rule", Type(STRING), False),
        FieldType("severity", "severity", Type(STRING, None, SEVERITIES[1:]), False),
        FieldType("risk", "risk", Type(FLOAT), True),
        FieldType("device", "device", Type(STRING), True),
        FieldType("id", "id", Type(STRING), False),
        FieldType("time", "time", Type(TIMESTAMP), False),
        FieldType("kind", "kind", Type(STRING), False),
    )
}
"""Fields an alert has as an event (LANGUAGE.md section 4 item 15), besides keys and `fields`."""


class Tables:
    """Everything the files declare, by canonical name, filled in the order of bind.py."""

    def __init__(self) -> None:
        self.events: dict[str, EventType] = {}
        self.lists: dict[str, NamedList] = {}
        self.params: dict[str, Param] = {}
        self.defines: dict[str, tuple[n.DefineNode, str]] = {}
        self.baselines: dict[str, Baseline] = {}
        self.signals: dict[str, tuple[Member, ...]] = {}
        self.rules: dict[str, tuple[n.RuleNode, str]] = {}
        self.alert_types: dict[str, EventType] = {}
        self.signal_params: dict[str, dict[str, Param]] = {}
        self.baseline_params: dict[str, dict[str, Param]] = {}
        self.broken: set[str] = set()
        self.macro_parts = 0
        self.texts: dict[str, str] = {}

    def event_of_kind(self, kind: str) -> EventType:
        """The event type with this wire kind; for ``alert:<rule>`` the type of that rule's alerts."""
        if kind.startswith("alert:"):
            return self.alert_types[kind.removeprefix("alert:")]
        return self.events[kind.replace(".", "_")]


class StepScope(msgspec.Struct, frozen=True):
    """A named step: the kinds its event may have; ``level`` for a step of several events."""

    kinds: tuple[str, ...]
    level: bool


class Scope(msgspec.Struct, frozen=True):
    """What an expression may read.

    ``event`` is the event under test (None in SEVERITY, RISK and ALERT); ``kinds`` all kinds the
    same text is bound for. ``steps`` are the named steps of the rule, ``visible`` those completed
    at this place. ``keys`` are readable bare where there is no event.
    """

    file: str
    event: EventType | None
    kinds: tuple[str, ...] = ()
    steps: dict[str, StepScope] = {}
    visible: frozenset[str] = frozenset()
    params: dict[str, Param] = {}
    keys: dict[str, Value] = {}
    severities: bool = False


class Report:
    """Collects the diagnostics of one declaration and the PARAMs it reads; quotes its file."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.found: list[Diagnostic] = []
        self.params: dict[str, Param] = {}

    def quote(self, span: n.Span) -> str:
        """The source at a span on one line, shortened."""
        text = " ".join(self.text[span.start : span.end].split())
        return text if len(text) <= 60 else text[:57] + "..."

    def error(self, code: str, message: str, span: n.Span, label: str, hint: str = "") -> None:
        self.found.append(Diagnostic(code, message, self.file, span, label, hint))


def field_of(event: EventType, name: str) -> FieldType | None:
    """A declared field or one of the envelope."""
    found = event.fields.get(name)
    if found is None and not event.kind.startswith("alert:"):
        found = ENVELOPE.get(name)
    return found


def constant(param: Param) -> Constant:
    return Constant(param.value, param.type)
