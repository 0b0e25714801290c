"""Alerts as events: what ``ALERT other rule`` reads (LANGUAGE.md section 4 item 15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.bind_patterns import all_sources, first_sources
from dsl.expressions import Type
from dsl.order import order_of_use
from dsl.scope import ALERT_FIELDS, field_of
from engine.alerts import Alert
from engine.events import Event, attribute, epoch_ms

_ENVELOPE = frozenset({"id", "time", "device", "kind"})


def kind_of(rule: str) -> str:
    """The event kind under which a rule's alerts are read."""
    return f"alert:{rule}"


def read_rules(rule: m.Rule) -> tuple[str, ...]:
    """The rules whose alerts a rule reads, in the order written."""
    sources = [*all_sources(rule.pattern), *(veto.source for veto in rule.unless)]
    return tuple(dict.fromkeys(s.alert_rule for s in sources if s.alert_rule is not None))


def alert_type(rule: m.Rule, events: Mapping[str, m.EventType], late_ms: int) -> m.EventType:
    """The event type of a rule's alerts. ``events`` holds the types of all that the rule reads."""
    fields = dict(ALERT_FIELDS)
    kinds = [member.kind for source in first_sources(rule.pattern) for member in source.members]
    for key in rule.by:
        found = field_of(events[kinds[0]], key) if kinds else None
        type_ = found.type if found is not None else Type(e.STRING)
        fields.setdefault(key, m.FieldType(key, key, type_, True))
    for name, value in rule.alert_fields:
        fields.setdefault(name, m.FieldType(name, name, value.type, True))
    return m.EventType(
        rule.name, kind_of(rule.name), fields, 0, late_ms, rule.title, rule.name_span, rule.file
    )


def readers_last(ruleset: m.RuleSet) -> list[m.Rule]:
    """All rules, each after those whose alerts it reads; dsl has refused cycles."""
    order, _ = order_of_use({name: read_rules(rule) for name, rule in ruleset.rules.items()})
    return [ruleset.rules[name] for name in order]


class AlertEvents:
    """Makes events of one rule's alerts."""

    def __init__(self, event: m.EventType) -> None:
        names = [name for name in event.fields if name not in _ENVELOPE]
        self._names = tuple(names)
        built: Any = msgspec.defstruct(
            event.kind,
            [(attribute(name), Any, None) for name in names],
            bases=(Event,),
            tag_field="kind",
            tag=event.kind,
            kw_only=True,
            gc=False,
            namespace={"kind": event.kind, "is_alert": True},
        )
        self.struct = cast("type[Event]", built)

    def event(self, alert: Alert) -> Event:
        """The alert at its completing time. Its id is the alert's: an update replaces it."""
        known: dict[str, Any] = {
            **alert.fields,
            **alert.key,
            "rule": alert.rule.name,
            "severity": alert.severity,
            "risk": alert.risk,
        }
        fields = {attribute(name): known.get(name) for name in self._names}
        return self.struct(
            device=alert.device, time=epoch_ms(alert.time), id=alert.id, source="thenwire", **fields
        )
