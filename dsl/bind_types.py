"""EVENT and BASELINE declarations: what can be observed, and what is learnt from it."""

from __future__ import annotations

from dsl import expressions as e
from dsl import nodes as n
from dsl.bind_expressions import ExpressionBinder
from dsl.diagnostics import did_you_mean
from dsl.expressions import Type
from dsl.functions import ESTIMATORS
from dsl.model import DEFAULT_GRACE_MS, DEFAULT_LATE_MS, Baseline, EventType, FieldType
from dsl.quantities import Quantities
from dsl.scope import ENVELOPE, Report, Scope, Tables, field_of
from dsl.types import FIELD_TYPES

DEFAULT_WARMUP = 30
SHORTEST_EVERY_MS = 1_000
"""Buckets are counted in 32 bits, in a ring: shorter ones would come round within a month."""


def bind_event(node: n.EventNode, tables: Tables, report: Report) -> None:
    """Put an EVENT into the tables, unless it has an error."""
    quantities = Quantities(tables, {}, report)
    fields: dict[str, FieldType] = {}
    wires: dict[str, str] = {}
    for field in node.fields:
        name = field.name.text
        if name in ENVELOPE or name in fields:
            why = "every event has it" if name in ENVELOPE else "the second"
            report.error(
                "TW205",
                f"the field `{name}` is there already",
                field.name.span,
                why,
                "choose another name",
            )
            continue
        bound = _field(field, report)
        if bound.wire in wires or bound.wire in ENVELOPE:
            report.error("TW205", f"two fields read `{bound.wire}`", field.span, "the second", "")
        wires[bound.wire] = name
        fields[name] = bound
    grace = quantities.duration(node.grace) if node.grace else DEFAULT_GRACE_MS
    late = quantities.duration(node.late) if node.late else DEFAULT_LATE_MS
    if not report.found:
        kind = node.name.text.replace("_", ".")
        tables.events[node.name.text] = EventType(
            node.name.text, kind, fields, grace, late, node.text, node.span, report.file
        )


def _field(node: n.FieldNode, report: Report) -> FieldType:
    name = node.name.text
    if node.type not in FIELD_TYPES or (node.is_list and node.type != e.STRING):
        wanted = "LIST OF string" if node.is_list else ", ".join(FIELD_TYPES)
        hint = (
            f"types: {wanted}" if node.is_list else did_you_mean(node.type, FIELD_TYPES, f"types: {wanted}")
        )
        message = f"`{'LIST OF ' if node.is_list else ''}{node.type}` is no field type"
        report.error("TW301", message, node.type_span, "unknown type", hint)
    if node.unit is not None and node.type not in (e.INT, e.FLOAT):
        report.error(
            "TW301", "only numbers have a unit", node.span, f"`{name}` is {node.type}", "leave UNIT out"
        )
    choices: list[str] = []
    for item in node.choices.items if node.choices else ():
        if not isinstance(item, n.Scalar) or not isinstance(item.value, str) or node.type != e.STRING:
            report.error("TW301", "ONE OF lists strings of a string field", item.span, "not a string", "")
        else:
            choices.append(item.value)
    type_ = Type(e.STRINGS) if node.is_list else Type(node.type, node.unit, tuple(choices))
    return FieldType(name, node.wire or name, type_, node.optional, node.text)


def bind_baseline(node: n.BaselineNode, tables: Tables, report: Report) -> None:
    """Put a BASELINE into the tables, unless it has an error."""
    event = tables.events.get(node.source.text)
    if event is None:
        hint = did_you_mean(node.source.text, tables.events, "a baseline is over one EVENT")
        broken = node.source.text in tables.broken
        message = "has an error of its own" if broken else "is no event"
        name = node.source.text.replace("_", " ")
        report.error("TW201", f"`{name}` {message}", node.source.span, "not an EVENT", hint)
        return
    scope = Scope(report.file, event, (event.kind,))
    binder = ExpressionBinder(tables, scope, report)
    values = tuple(binder.value(v) for v in node.values)
    condition = binder.condition(node.filter) if node.filter is not None else e.ALWAYS
    quantities = Quantities(tables, {}, report)
    using = node.using.text if node.using else "robust"
    if using not in ESTIMATORS:
        assert node.using is not None
        hint = did_you_mean(using, ESTIMATORS, "estimators: " + ", ".join(ESTIMATORS))
        report.error("TW209", f"no estimator is called `{using}`", node.using.span, "unknown", hint)
    for key in (*node.by, *node.peer):
        if field_of(event, key.text) is None:
            hint = did_you_mean(key.text, event.fields, "")
            report.error(
                "TW202", f"`{event.name.replace('_', ' ')}` has no field `{key.text}`", key.span, "", hint
            )
        elif event.fields.get(key.text) is not None and event.fields[key.text].type.name == e.STRINGS:
            report.error(
                "TW301", "a key is made of single values", key.span, "a list", "use it as the value instead"
            )
    by = tuple(k.text for k in node.by)
    peer = tuple(k.text for k in node.peer) if node.peer else None
    if peer is not None and not set(peer) < set(by):
        report.error(
            "TW209",
            "PEER is a coarser key",
            node.peer[0].span,
            "must leave out some of BY",
            "usually `PEER app`",
        )
    if using == "cadence" and peer is not None:
        report.error(
            "TW209",
            "a cadence baseline has no PEER",
            node.peer[0].span,
            "the rhythm of others says nothing of this one",
            "leave PEER out",
        )
    every_ms = quantities.duration(node.every) if node.every else None
    if node.every is not None and every_ms is not None and every_ms < SHORTEST_EVERY_MS:
        report.error("TW301", "EVERY is at least 1s", node.every.span, "too short", "such as `EVERY 5m`")
    numeric = using in ("robust",)
    if numeric and (len(values) != 1 or not (values[0].type.number or values[0].type.name == "error")):
        report.error(
            "TW301", "a robust baseline is over one number", node.values[0].span, "not one number", ""
        )
    baseline = Baseline(
        name=node.name.text,
        kind=event.kind,
        values=values,
        condition=condition,
        by=by,
        every_ms=every_ms,
        over_ms=quantities.duration(node.over) if node.over else None,
        using=using,
        warmup=quantities.count(node.warmup) if node.warmup else DEFAULT_WARMUP,
        peer=peer,
        file=report.file,
        span=node.span,
    )
    if not report.found:
        tables.baselines[node.name.text] = baseline
        tables.baseline_params[node.name.text] = report.params
