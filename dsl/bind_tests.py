"""TEST blocks: events checked against their declarations, times resolved, fixtures as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsl import expressions as e
from dsl import nodes as n
from dsl.bind_lists import list_items
from dsl.bind_rules import plain_map, plain_value
from dsl.diagnostics import did_you_mean
from dsl.fixtures import wrong_state
from dsl.model import Expectation, Fixture, Rule, RuleTest, TestClock, TestEvent
from dsl.params import literal_type
from dsl.quantities import Quantities
from dsl.scope import ENVELOPE, Report, Tables
from dsl.types import describe

_PYTHON = {
    e.STRING: (str,),
    e.IP: (str,),
    e.INT: (int,),
    e.FLOAT: (int, float),
    e.BOOL: (bool,),
    e.TIMESTAMP: (int,),
    e.DURATION: (int,),
    e.STRINGS: (list,),
}
_RESERVED = {"time", "kind"}


def bind_test(node: n.TestNode, tables: Tables, rules: Mapping[str, Rule], report: Report) -> RuleTest | None:
    """The test, or None if its rule did not load (said where the rule stands)."""
    name = node.rule.text
    if name not in rules:
        if name not in tables.broken:
            hint = did_you_mean(name, rules, "rules are declared with RULE")
            report.error(
                "TW210", f"no rule is called `{name.replace('_', ' ')}`", node.rule.span, "not declared", hint
            )
        return None
    quantities = Quantities(tables, {}, report)
    fixtures: list[Fixture] = []
    lists: dict[str, tuple[str, ...]] = {}
    params: dict[str, str | int | float | bool] = {}
    inputs: list[TestEvent | TestClock] = []
    expectations: list[Expectation] = []
    for statement in node.statements:
        match statement:
            case n.GivenBaseline():
                if statement.name.text not in tables.baselines:
                    hint = did_you_mean(statement.name.text, tables.baselines, "declare it with BASELINE")
                    label = f"no baseline is called `{statement.name.text.replace('_', ' ')}`"
                    report.error("TW209", label, statement.name.span, "unknown", hint)
                    continue
                for value in statement.key:
                    if isinstance(value, n.ListValue | n.Map):
                        report.error("TW307", "a key is made of literals", value.span, "not a literal")
                key = tuple(plain_value(v) for v in statement.key)
                wanted = tables.baselines[statement.name.text].by
                if len(key) not in (len(wanted), len(tables.baselines[statement.name.text].peer or ())):
                    report.error(
                        "TW302",
                        f"the key of this baseline is ({', '.join(wanted)})",
                        statement.span,
                        f"{len(key)} values given",
                    )
                state = plain_map(statement.state)
                wrong = wrong_state(tables.baselines[statement.name.text].using, state)
                if wrong is not None:
                    report.error("TW307", wrong, statement.state.span, "not a state of this baseline")
                fixtures.append(Fixture(statement.name.text, key, state))
            case n.GivenList():
                if statement.name.text not in tables.lists:
                    hint = did_you_mean(statement.name.text, tables.lists, "")
                    report.error(
                        "TW203", f"no list is called `{statement.name.text}`", statement.name.span, "", hint
                    )
                lists[statement.name.text] = list_items(statement.items, report)
            case n.GivenParam():
                _check_param(statement, tables.rules[name][0], tables, report)
                given = ".".join(part.text for part in statement.name.parts)
                params[given] = plain_value(statement.value)
            case n.At():
                time = quantities.duration(statement.time)
                arrives = quantities.duration(statement.arrives) if statement.arrives else time
                fields = _event_fields(statement, tables, report)
                event = tables.events.get(statement.event.text)
                if event is not None:
                    inputs.append(TestEvent(time, arrives, event.kind, fields, statement.span))
            case n.Clock():
                inputs.append(TestClock(quantities.duration(statement.time)))
            case n.Expect():
                at = quantities.duration(statement.at) if statement.at else None
                wanted_fields = plain_map(statement.fields) if statement.fields else {}
                expectations.append(Expectation(statement.what, at, wanted_fields, statement.span))
    if not expectations:
        report.error(
            "TW510", "the test expects nothing", node.span, "could never fail", "EXPECT ALERT or EXPECT NONE"
        )
    return RuleTest(
        node.title,
        name,
        tuple(fixtures),
        lists,
        params,
        tuple(inputs),
        tuple(expectations),
        report.file,
        node.span,
    )


def _check_param(node: n.GivenParam, rule: n.RuleNode, tables: Tables, report: Report) -> None:
    """A value given to a PARAM must be one it could have: of the rule set, of the rule under test, or,
    as ``rule.param``, of any rule.
    """
    parts = [part.text for part in node.name.parts]
    name = ".".join(parts)
    known = set(tables.params) | {p.name.text for p in rule.params}
    scoped = {f"{other}.{p.name.text}" for other, (of, _) in tables.rules.items() for p in of.params}
    if name not in known | scoped:
        hint = did_you_mean(name, known | scoped, "declare it with PARAM")
        report.error("TW204", f"no param is called `{name}`", node.name.span, "not declared", hint)
        return
    if not isinstance(node.value, n.Scalar):
        report.error("TW304", "a PARAM is one literal", node.value.span, "not a literal")
        return
    holder = tables.rules[parts[0]][0] if len(parts) > 1 else rule
    local = next((p.value for p in holder.params if p.name.text == parts[-1]), None)
    given = literal_type(node.value)
    wanted = literal_type(local) if isinstance(local, n.Scalar) else tables.params[name].type
    if given != wanted and not (given.name == e.INT and wanted.name == e.FLOAT and given.unit is None):
        report.error(
            "TW304",
            f"the param `{name}` is {describe(wanted)}",
            node.value.span,
            f"this is {describe(given)}",
            "give it a value of its type",
        )


def _event_fields(node: n.At, tables: Tables, report: Report) -> dict[str, Any]:
    event = tables.events.get(node.event.text)
    if event is None:
        name = node.event.text.replace("_", " ")
        if node.event.text in tables.broken:
            report.error(
                "TW201",
                f"`{name}` has an error of its own",
                node.event.span,
                "did not load",
                "mend that first",
            )
        else:
            hint = did_you_mean(node.event.text, tables.events, "tests feed events, not signals")
            report.error("TW201", f"no event is called `{name}`", node.event.span, "not declared", hint)
        return {}
    found: dict[str, Any] = {}
    name, errors = node.event.text.replace("_", " "), len(report.found)
    for entry in node.fields.entries:
        field = event.fields.get(entry.key) or ENVELOPE.get(entry.key)
        if field is None or entry.key in _RESERVED:
            hint = did_you_mean(entry.key, event.fields, "fields: " + ", ".join(event.fields))
            report.error("TW202", f"{name} has no field `{entry.key}`", entry.key_span, "not declared", hint)
            continue
        value = plain_value(entry.value)
        fits = _PYTHON[field.type.name]
        if not isinstance(value, fits) or (isinstance(value, bool) and bool not in fits):
            report.error(
                "TW301",
                f"`{entry.key}` is {describe(field.type)}",
                entry.value.span,
                f"{value!r} does not fit",
                "the event would be a dead letter",
            )
            continue
        if field.type.choices and value not in field.type.choices:
            report.error(
                "TW307",
                f"`{value}` is not one of the values of `{entry.key}`",
                entry.value.span,
                "not in the enumeration",
                did_you_mean(str(value), field.type.choices, "one of " + ", ".join(field.type.choices)),
            )
        found[field.wire] = value
    missing = [f.name for f in event.fields.values() if not f.optional and f.wire not in found]
    if missing and len(report.found) == errors:  # a misspelt field would be reported twice
        report.error(
            "TW202",
            f"`{missing[0]}` may not be missing",
            node.span,
            "the event would be a dead letter",
            "give it a value",
        )
    return found
