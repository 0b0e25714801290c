"""Rules: clauses, keys, templates, and the event types of their alerts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dsl import expressions as e
from dsl import nodes as n
from dsl.bind_expressions import ExpressionBinder
from dsl.bind_patterns import PatternBinder, all_sources, first_sources
from dsl.expressions import Type, Value
from dsl.model import EventType, FieldType, Param, Pattern, Rule, Suppress, Template
from dsl.params import bind_param
from dsl.parse import parse_expression
from dsl.quantities import Quantities
from dsl.scope import ALERT_FIELDS, Report, Scope, Tables, field_of
from dsl.types import describe

_TEMPLATE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
ALERT_LATE_MS = 0


def alert_atoms(rule: n.RuleNode) -> list[n.Atom]:
    """Where a rule reads the alerts of others."""
    return [node for node in n.walk(rule) if isinstance(node, n.Atom) and node.alert]


def alert_field_names(rule: n.RuleNode) -> list[tuple[str, n.Path]]:
    """The ``fields`` of ALERT: each by its last name, or by its whole path where that is taken."""
    found: dict[str, n.Path] = {}
    for entry in rule.alert.entries if rule.alert is not None else ():
        for path in entry.paths if isinstance(entry, n.AlertFields) and entry.key == "fields" else ():
            name = path.parts[-1].text
            found["_".join(part.text for part in path.parts) if name in found else name] = path
    return list(found.items())


def bind_alert_type(node: n.RuleNode, rule: Rule, tables: Tables) -> None:
    """Give a rule that loaded the event type of its alerts, for the rules that read them."""
    fields = dict(ALERT_FIELDS)
    kinds = [m.kind for source in first_sources(rule.pattern) for m in source.members]
    for key in rule.by:
        types = [f.type for kind in kinds if (f := field_of(tables.event_of_kind(kind), key))]
        fields.setdefault(key, FieldType(key, key, types[0] if types else Type(e.STRING), True))
    for name, value in rule.alert_fields:
        fields.setdefault(name, FieldType(name, name, value.type, True))
    tables.alert_types[rule.name] = EventType(
        rule.name, f"alert:{rule.name}", fields, 0, ALERT_LATE_MS, node.title, node.span, rule.file
    )


class RuleBinder:
    """Binds one rule. Gives None after an error that leaves nothing to check."""

    def __init__(
        self,
        tables: Tables,
        node: n.RuleNode,
        report: Report,
        overrides: Mapping[str, str | int | float | bool],
    ) -> None:
        self._tables = tables
        self._node = node
        self._report = report
        self._params: dict[str, Param] = {}
        for param in node.params:
            name = param.name.text
            if name in self._params:
                report.error(
                    "TW205", f"`{name}` is declared twice", param.name.span, "the second", "rename one"
                )
                continue
            scoped = f"{node.name.text}.{name}"
            local = {name: overrides[scoped]} if scoped in overrides else overrides
            bound = bind_param(param, local, report)
            if bound is not None:
                self._params[name] = bound
        self._quantities = Quantities(tables, self._params, report)
        self._patterns = PatternBinder(tables, self._params, report, self._quantities)

    def bind(self) -> Rule | None:
        node, report = self._node, self._report
        if node.when is None:
            report.error(
                "TW408",
                "the rule has no WHEN",
                node.name.span,
                "nothing to look for",
                "WHEN a THEN b WITHIN t",
            )
            return None
        pattern = self._patterns.bind(node.when)
        unless = tuple(self._patterns.unless(u) for u in node.unless)
        by = self._keys(pattern)
        if report.found:
            # What follows would only repeat these errors.
            return None
        kinds = tuple(dict.fromkeys(m.kind for s in all_sources(pattern) for m in s.members))
        scope = Scope(
            report.file,
            None,
            kinds,
            self._patterns.steps,
            frozenset(self._patterns.steps),
            self._params,
            self._key_values(by, pattern),
        )
        severity = self._severity(scope)
        risk = self._risk(scope)
        suppress = self._suppress(scope)
        title, texts, fields = self._alert(scope)
        if report.found:
            return None
        return Rule(
            name=node.name.text,
            title=node.title or node.name.text.replace("_", " "),
            by=by,
            pattern=pattern,
            unless=unless,
            select=node.select or "latest",
            severity=severity,
            risk=risk,
            suppress=suppress,
            alert_title=title,
            alert_texts=texts,
            alert_fields=fields,
            meta=plain_map(node.meta) if node.meta is not None else {},
            params={name: p.value for name, p in sorted(report.params.items())},
            text=report.text[node.span.start : node.span.end],
            file=report.file,
            span=node.span,
            name_span=node.name.span,
        )

    # --- keys

    def _keys(self, pattern: Pattern) -> tuple[str, ...]:
        node, report, tables = self._node, self._report, self._tables
        names = node.by or (n.Name(node.name.span, "device"),)
        keys = tuple(dict.fromkeys(k.text for k in names))
        for key in names:
            for source in first_sources(pattern):
                for kind in dict.fromkeys(m.kind for m in source.members):
                    if field_of(tables.event_of_kind(kind), key.text) is None:
                        label = kind.replace(".", " ")
                        report.error(
                            "TW406",
                            f"the first step does not have the key `{key.text}`",
                            key.span,
                            f"{label} does not declare it",
                            "only later steps may lack a key: they then reach every run of the device",
                        )
        if "device" not in keys:
            for source in all_sources(pattern):
                if source.alert_rule is None and source.members:
                    report.error(
                        "TW407",
                        "without `device` in BY a rule may read only alerts",
                        source.span,
                        "an event",
                        "write `ALERT rule`, or add device to BY",
                    )
        return keys

    def _key_values(self, by: tuple[str, ...], pattern: Pattern) -> dict[str, Value]:
        values: dict[str, Value] = {}
        kinds = [m.kind for s in first_sources(pattern) for m in s.members]
        for key in by:
            field = field_of(self._tables.event_of_kind(kinds[0]), key) if kinds else None
            values[key] = e.Key(key, field.type if field is not None else Type(e.STRING))
        if "device" not in values and "device" not in by:
            values["device"] = e.Key("device", Type(e.STRING), True)
        return values

    # --- clauses

    def _severity(self, scope: Scope) -> Value:
        node = self._node.severity
        if node is None:
            return e.Constant("medium", Type(e.SEVERITY))
        wide = Scope(
            scope.file,
            None,
            scope.kinds,
            scope.steps,
            scope.visible,
            scope.params,
            scope.keys,
            severities=True,
        )
        value = ExpressionBinder(self._tables, wide, self._report).value(node)
        if value.type.name not in (e.SEVERITY, "error"):
            self._report.error(
                "TW301",
                f"`{self._report.quote(node.span)}` is {describe(value.type)}, not a severity",
                node.span,
                "a severity was expected",
                "one of " + " ".join(e.SEVERITIES) + ", or `choose(condition, high, medium)`",
            )
        return value

    def _risk(self, scope: Scope) -> Value | None:
        node = self._node.risk
        if node is None:
            return None
        value = ExpressionBinder(self._tables, scope, self._report).value(node)
        if not value.type.number and value.type.name != "error":
            self._report.error(
                "TW301",
                f"RISK is a number, this is {describe(value.type)}",
                node.span,
                "a number was expected",
                "",
            )
        return value

    def _suppress(self, scope: Scope) -> Suppress | None:
        node = self._node.suppress
        if node is None:
            return None
        binder = ExpressionBinder(self._tables, scope, self._report)
        per = tuple(binder.value(n.Reference(p.span, p)) for p in node.per)
        if not per:
            per = tuple(scope.keys[k] for k in scope.keys)
        names = tuple(".".join(part.text for part in p.parts) for p in node.per) or tuple(scope.keys)
        return Suppress(self._quantities.duration(node.duration), per, names)

    def _alert(
        self, scope: Scope
    ) -> tuple[Template, tuple[tuple[str, Template], ...], tuple[tuple[str, Value], ...]]:
        title: Template | None = None
        texts: list[tuple[str, Template]] = []
        fields: list[tuple[str, Value]] = []
        binder = ExpressionBinder(self._tables, scope, self._report)
        for entry in self._node.alert.entries if self._node.alert is not None else ():
            if isinstance(entry, n.AlertText):
                template = self._template(entry.text, scope)
                if entry.key == "title":
                    title = template
                else:
                    texts.append((entry.key, template))
            elif entry.key != "fields":
                self._report.error(
                    "TW101", f"`{entry.key}` is no list", entry.span, "unexpected", "`fields: [..]`"
                )
            else:
                fields.extend(
                    (name, binder.value(n.Reference(path.span, path)))
                    for name, path in alert_field_names(self._node)
                )
        if title is None:
            title = Template((self._node.title or self._node.name.text.replace("_", " "),))
        return title, tuple(texts), tuple(fields)

    def _template(self, text: n.Scalar, scope: Scope) -> Template:
        source = str(text.value)
        literal = self._report.text[text.span.start + 1 : text.span.end - 1] == source
        parts: list[str | Value] = []
        at = 0
        for match in _TEMPLATE.finditer(source):
            parts.append(source[at : match.start()])
            at = match.end()
            if match[1] is None:
                parts.append(match[0][0])
                continue
            begin = text.span.start + 1 + match.start()
            span = n.Span(begin, begin + len(match[0])) if literal else text.span
            parts.append(self._placeholder(match[1].strip(), span, scope))
        parts.append(source[at:])
        if any(brace in _TEMPLATE.sub("", source) for brace in "{}"):
            self._report.error(
                "TW308",
                "a brace has no partner",
                text.span,
                "cannot be filled",
                "a value stands in `{` and `}`; a brace itself is written `{{` or `}}`",
            )
        joined: list[str | Value] = []
        for part in parts:
            if isinstance(part, str) and joined and isinstance(joined[-1], str):
                joined[-1] += part
            elif part != "":
                joined.append(part)
        return Template(tuple(joined))

    def _placeholder(self, inner: str, span: n.Span, scope: Scope) -> Value:
        if inner == "elapsed":
            return e.Elapsed()
        expression = parse_expression(inner)
        if expression is None:
            self._report.error(
                "TW308",
                f"`{{{inner}}}` is not a value",
                span,
                "cannot be filled",
                "`{step.field}`, `{device}`, `{elapsed}`, `{deviation(b)}`; a brace itself is written `{{`",
            )
            return e.Missing(Type("error"))
        inside = Report(self._report.file, inner)
        value = ExpressionBinder(self._tables, scope, inside).value(expression)
        self._report.params.update(inside.params)
        for problem in inside.found:
            self._report.error(problem.code, problem.message, span, problem.label, problem.hint)
        return value


def plain_value(value: n.Value) -> Any:
    """A value of META or a fixture as plain data."""
    match value:
        case n.Scalar():
            return value.value
        case n.Word():
            return value.text
        case n.ListValue():
            return [plain_value(item) for item in value.items]
        case n.Map():
            return plain_map(value)


def plain_map(node: n.Map) -> dict[str, Any]:
    """A map as a dict, keys as written."""
    return {entry.key: plain_value(entry.value) for entry in node.entries}
