"""Rules: clauses, keys, templates, and the event types of their alerts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dsl import expressions as e
from dsl import nodes as n
from dsl.bind_expressions import ExpressionBinder
from dsl.bind_patterns import PatternBinder, all_sources, first_sources, step_names
from dsl.diagnostics import Diagnostic
from dsl.expressions import Type, Value
from dsl.model import EventType, FieldType, Param, Pattern, Rule, Suppress, Template
from dsl.params import bind_param
from dsl.parse import parse_expression
from dsl.quantities import Quantities
from dsl.scope import ALERT_FIELDS, ENVELOPE, Report, Scope, Tables, field_of
from dsl.types import describe

_TEMPLATE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
ALERT_LATE_MS = 0


def alert_types(tables: Tables) -> list[Diagnostic]:
    """Give every rule the event type of its alerts; report rules that read each other in a circle."""
    found: list[Diagnostic] = []
    state: dict[str, str] = {}

    def visit(name: str) -> None:
        node, file = tables.rules[name]
        state[name] = "open"
        report = Report(file, tables.texts[file])
        for atom in _alert_atoms(node):
            used = atom.name.text
            if state.get(used) == "open":
                report.error(
                    "TW211",
                    f"`{name.replace('_', ' ')}` reads its own alerts",
                    atom.span,
                    "closes the circle",
                    "a rule may read the alerts of rules that do not read its own",
                )
                tables.broken.add(name)
            elif used in tables.rules and used not in state:
                visit(used)
        state[name] = "done"
        found.extend(report.found)
        tables.alert_types[name] = _alert_type(node, file, tables)

    for name in tables.rules:
        if name not in state:
            visit(name)
    return found


def _alert_atoms(rule: n.RuleNode) -> list[n.Atom]:
    atoms = [u.source for u in rule.unless]

    def visit(pattern: n.Pattern) -> None:
        for step in pattern.steps:
            atoms.extend(g.source for g in step.guards)
            match step.node:
                case n.EventStep() | n.Absence() | n.AtLeast():
                    atoms.append(step.node.source)
                case n.Group():
                    visit(step.node.pattern)
                case n.AllOf() | n.AnyOf() | n.OneOf():
                    for branch in step.node.branches:
                        visit(branch)

    if rule.when is not None:
        visit(rule.when)
    return [a for a in atoms if a.alert]


def _alert_type(node: n.RuleNode, file: str, tables: Tables) -> EventType:
    fields = dict(ALERT_FIELDS)
    scopes = step_names(node.when, tables, None) if node.when is not None else {}
    for key in node.by or ():
        fields.setdefault(key.text, FieldType(key.text, key.text, _key_type(key.text, node, tables), True))
    for entry in node.alert.entries if node.alert is not None else ():
        if not isinstance(entry, n.AlertFields):
            continue
        for path in entry.paths:
            first, last = path.parts[0].text, path.parts[-1].text
            kinds = scopes[first].kinds if first in scopes and len(path.parts) > 1 else ()
            types = [f.type for k in kinds if (f := field_of(tables.event_of_kind(k), last)) is not None]
            if types:
                fields.setdefault(last, FieldType(last, last, types[0], True))
    name = node.name.text
    return EventType(name, f"alert:{name}", fields, 0, ALERT_LATE_MS, node.title, node.span, file)


def _key_type(key: str, node: n.RuleNode, tables: Tables) -> Type:
    if key in ENVELOPE:
        return ENVELOPE[key].type
    for event in tables.events.values():
        if key in event.fields:
            return event.fields[key].type
    return Type(e.STRING)


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
        if node.name.text in self._tables.broken:
            return None
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
        first_kinds = tuple(dict.fromkeys(m.kind for s in all_sources(pattern) for m in s.members))
        scope = Scope(
            report.file,
            None,
            first_kinds,
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
            params={
                name: p.value for name, p in sorted({**self._quantities.used, **self._read_params()}.items())
            },
            text=report.text[node.span.start : node.span.end],
            file=report.file,
            span=node.span,
            name_span=node.name.span,
        )

    def _read_params(self) -> dict[str, Param]:
        """PARAMs whose names stand in the rule's text, its own and those of the signals it uses."""
        known = {**self._tables.params, **self._params}
        text = self._report.text[self._node.span.start : self._node.span.end]
        texts = [text]
        for name, (signal, file) in self._tables.signal_nodes.items():
            if _mentions(text, name):
                texts.append(self._tables.texts[file][signal.span.start : signal.span.end])
        return {name: p for name, p in known.items() if any(_mentions(t, name) for t in texts)}

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
                for path in entry.paths:
                    name = path.parts[-1].text
                    if any(name == taken for taken, _ in fields):
                        name = "_".join(part.text for part in path.parts)
                    fields.append((name, binder.value(n.Reference(path.span, path))))
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
        for problem in inside.found:
            self._report.error(problem.code, problem.message, span, problem.label, problem.hint)
        return value


def _mentions(text: str, name: str) -> bool:
    words = re.escape(name).replace("_", r"[_\s]+")
    return re.search(rf"(?<![a-z0-9_]){words}(?![a-z0-9_])", text) is not None


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
