"""Parsed files to a checked rule set: the passes, in order.

Each pass fills one table from the declarations of all files; a declaration with an error is left
out, reported once, and its name remembered as broken, so that what uses it says so instead of
calling it unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from dsl import expressions as e
from dsl import nodes as n
from dsl.bind_expressions import ExpressionBinder
from dsl.bind_rules import RuleBinder, alert_types
from dsl.bind_tests import bind_test
from dsl.diagnostics import ERROR, Diagnostic, did_you_mean, in_order
from dsl.expressions import Type
from dsl.functions import ESTIMATORS
from dsl.lint import lint
from dsl.lists import read_list
from dsl.model import (
    DEFAULT_GRACE_MS,
    DEFAULT_LATE_MS,
    Baseline,
    EventType,
    FieldType,
    Member,
    NamedList,
    Rule,
    RuleSet,
    RuleTest,
    SignalType,
)
from dsl.params import Overrides, bind_param
from dsl.parse import ParsedFile
from dsl.quantities import Quantities
from dsl.scope import ENVELOPE, Report, Scope, Tables, field_of
from dsl.sources import bind_source
from dsl.types import FIELD_TYPES

_N = TypeVar("_N", bound=n.Declaration)
DEFAULT_WARMUP = 30


class _Binder:
    def __init__(self, files: Iterable[ParsedFile], overrides: Overrides) -> None:
        self.files = list(files)
        self.overrides = dict(overrides)
        self.tables = Tables()
        self.found: list[Diagnostic] = []
        for file in self.files:
            self.tables.texts[file.file] = file.text
            self.tables.broken |= file.broken
            self.found.extend(file.diagnostics)

    def each(self, kind: type[_N], bind: Callable[[_N, Report], None]) -> None:
        """Bind every declaration of one kind; those with an error become broken."""
        seen: dict[str, n.Name] = {}
        for file in self.files:
            for node in file.declarations:
                if not isinstance(node, kind):
                    continue
                report = Report(file.file, file.text)
                name: n.Name | None = getattr(node, "name", None)
                if name is not None and (name.text in seen or self._taken(name.text, kind)):
                    report.error(
                        "TW205",
                        f"`{name.text.replace('_', ' ')}` is declared twice",
                        name.span,
                        "the second",
                        "rename one; all files below the given paths are one rule set",
                    )
                else:
                    bind(node, report)
                    if name is not None:
                        seen[name.text] = name
                        if any(d.severity == ERROR for d in report.found):
                            self.tables.broken.add(name.text)
                self.found.extend(report.found)

    def _taken(self, name: str, kind: type[object]) -> bool:
        """Events and signals share one table of names: both stand as steps."""
        return kind is n.SignalNode and name in self.tables.events

    # --- passes

    def event(self, node: n.EventNode, report: Report) -> None:
        quantities = Quantities(self.tables, {}, report)
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
            bound = self._field(field, report)
            if bound.wire in wires or bound.wire in ENVELOPE:
                report.error("TW205", f"two fields read `{bound.wire}`", field.span, "the second", "")
            wires[bound.wire] = name
            fields[name] = bound
        grace = quantities.duration(node.grace) if node.grace else DEFAULT_GRACE_MS
        late = quantities.duration(node.late) if node.late else DEFAULT_LATE_MS
        if not report.found:
            kind = node.name.text.replace("_", ".")
            self.tables.events[node.name.text] = EventType(
                node.name.text, kind, fields, grace, late, node.text, node.span, report.file
            )

    def _field(self, node: n.FieldNode, report: Report) -> FieldType:
        name = node.name.text
        if node.type not in FIELD_TYPES or (node.is_list and node.type != e.STRING):
            wanted = "LIST OF string" if node.is_list else ", ".join(FIELD_TYPES)
            report.error(
                "TW301",
                f"`{node.type}` is no field type",
                node.type_span,
                "unknown type",
                did_you_mean(node.type, FIELD_TYPES, f"types: {wanted}"),
            )
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

    def list(self, node: n.ListNode, report: Report) -> None:
        refresh = Quantities(self.tables, {}, report).duration(node.refresh) if node.refresh else None
        items: list[str] = []
        path: str | None = None
        if node.items is not None:
            for item in node.items.items:
                if isinstance(item, n.Scalar) and isinstance(item.value, str):
                    items.append(item.value)
                else:
                    report.error("TW307", "a LIST holds strings", item.span, "not a string", "quote it")
        elif node.file is not None:
            path = str(Path(report.file).parent / str(node.file.value))
            read, problem = read_list(path)
            items.extend(read)
            if problem is not None:
                report.error(
                    "TW104",
                    f"the list file cannot be read: {problem}",
                    node.file.span,
                    "not read",
                    "paths are relative to the rule file",
                )
        if not report.found:
            self.tables.lists[node.name.text] = NamedList(
                node.name.text, tuple(dict.fromkeys(items)), path, refresh
            )

    def param(self, node: n.ParamNode, report: Report) -> None:
        bound = bind_param(node, self.overrides, report)
        if bound is not None:
            self.tables.params[node.name.text] = bound

    def define(self, node: n.DefineNode, report: Report) -> None:
        names = [p.text for p in node.parameters]
        if len(set(names)) < len(names):
            report.error("TW205", "two parameters have one name", node.span, "declared twice", "")
        else:
            self.tables.defines[node.name.text] = (node, report.file)

    def baseline(self, node: n.BaselineNode, report: Report) -> None:
        tables = self.tables
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
            every_ms=quantities.duration(node.every) if node.every else None,
            over_ms=quantities.duration(node.over) if node.over else None,
            using=using,
            warmup=quantities.count(node.warmup) if node.warmup else DEFAULT_WARMUP,
            peer=peer,
            file=report.file,
            span=node.span,
        )
        if not report.found:
            tables.baselines[node.name.text] = baseline

    def signals(self) -> dict[str, SignalType]:
        """Signals may name each other; each is bound when first needed."""
        nodes: dict[str, tuple[n.SignalNode, Report]] = {}

        def collect(node: n.SignalNode, report: Report) -> None:
            nodes[node.name.text] = (node, report)
            self.tables.signal_nodes[node.name.text] = (node, report.file)

        self.each(n.SignalNode, collect)
        done: dict[str, SignalType] = {}
        state: dict[str, str] = {}

        def visit(name: str) -> None:
            state[name] = "open"
            node, report = nodes[name]
            members: list[Member] = []
            for atom in node.members:
                used = atom.name.text
                if state.get(used) == "open":
                    report.error(
                        "TW211",
                        f"`{name.replace('_', ' ')}` is made of itself",
                        atom.name.span,
                        "closes the circle",
                        "a signal is made of events and other signals",
                    )
                    continue
                if used in nodes and used not in state:
                    visit(used)
                if report.found and used in self.tables.broken:
                    continue
                members.extend(bind_source(atom, self.tables, report, {}, {}, frozenset()).members)
            state[name] = "done"
            if report.found:
                self.tables.broken.add(name)
                return
            self.tables.signals[name] = tuple(dict.fromkeys(members))
            source = bind_source(
                n.Atom(node.name.span, node.name, None, False), self.tables, report, {}, {}, frozenset()
            )
            done[name] = SignalType(name, source, node.text)

        for name in nodes:
            if name not in state:
                visit(name)
        for _, report in nodes.values():
            self.found.extend(report.found)
        return done

    def rules(self) -> dict[str, Rule]:
        done: dict[str, Rule] = {}

        def collect(node: n.RuleNode, report: Report) -> None:
            self.tables.rules[node.name.text] = (node, report.file)

        def bind(node: n.RuleNode, report: Report) -> None:
            bound = RuleBinder(self.tables, node, report, self.overrides).bind()
            if bound is not None and not report.found:
                done[node.name.text] = bound

        self.each(n.RuleNode, collect)
        self.found.extend(alert_types(self.tables))
        for file in self.files:
            for node in file.declarations:
                if isinstance(node, n.RuleNode) and self.tables.rules.get(node.name.text) == (
                    node,
                    file.file,
                ):
                    report = Report(file.file, file.text)
                    bind(node, report)
                    if node.name.text not in done:
                        self.tables.broken.add(node.name.text)
                    self.found.extend(report.found)
        return done

    def tests(self, rules: dict[str, Rule]) -> tuple[RuleTest, ...]:
        done: list[RuleTest] = []

        def bind(node: n.TestNode, report: Report) -> None:
            bound = bind_test(node, self.tables, rules, report)
            if bound is not None and not report.found:
                done.append(bound)

        self.each(n.TestNode, bind)
        return tuple(done)


def bind(files: Iterable[ParsedFile], overrides: Overrides | None = None) -> RuleSet:
    """Check parsed files and give the rule set of all that is right in them.

    Args:
        files: all files of the rule set.
        overrides: values for PARAMs by canonical name; durations in milliseconds, sizes in bytes.
    """
    binder = _Binder(files, overrides or {})
    binder.each(n.EventNode, binder.event)
    binder.each(n.ListNode, binder.list)
    binder.each(n.ParamNode, binder.param)
    binder.each(n.DefineNode, binder.define)
    binder.each(n.BaselineNode, binder.baseline)
    signals = binder.signals()
    rules = binder.rules()
    tests = binder.tests(rules)
    tables = binder.tables
    checked = RuleSet(
        events={event.kind: event for event in tables.events.values()},
        lists=tables.lists,
        params=tables.params,
        baselines=tables.baselines,
        signals=signals,
        rules=rules,
        tests=tests,
        broken=frozenset(tables.broken),
        diagnostics=(),
        texts=tables.texts,
    )
    found = in_order([*binder.found, *lint(checked)])
    return RuleSet(
        **{f: getattr(checked, f) for f in checked.__struct_fields__ if f != "diagnostics"},
        diagnostics=tuple(found),
    )
