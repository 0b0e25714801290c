"""Parsed files to a checked rule set: the passes, in order.

Each pass fills one table from the declarations of all files; a declaration with an error is left
out, reported once, and its name remembered as broken, so that what uses it says so instead of
calling it unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from dsl import nodes as n
from dsl.bind_lists import list_items
from dsl.bind_rules import RuleBinder, alert_atoms, bind_alert_type
from dsl.bind_tests import bind_test
from dsl.bind_types import bind_baseline, bind_event
from dsl.diagnostics import ERROR, Diagnostic, did_you_mean, in_order, position
from dsl.functions import ALL_FUNCTIONS
from dsl.lint import lint
from dsl.lists import ReadList, read_list
from dsl.model import Member, NamedList, Rule, RuleSet, RuleTest, SignalType
from dsl.order import order_of_use
from dsl.params import PARAMS_FILE, Overrides, bind_param, unknown_overrides
from dsl.parse import ParsedFile
from dsl.quantities import Quantities
from dsl.scope import Report, Tables
from dsl.sources import bind_source

_N = TypeVar("_N", bound=n.Declaration)
MAX_MEMBERS = 1_000
"""A union with more members comes from signals that double each other, and is never meant."""


class _Binder:
    def __init__(self, files: Iterable[ParsedFile], overrides: Overrides, read: ReadList) -> None:
        self.files = list(files)
        self.read_list = read
        self.overrides = dict(overrides)
        self.tables = Tables()
        self.found: list[Diagnostic] = []
        for file in self.files:
            self.tables.texts[file.file] = file.text
            self.tables.broken |= file.broken
            self.found.extend(file.diagnostics)

    def each(self, kind: type[_N], bind: Callable[[_N, Report], None]) -> None:
        """Bind every declaration of one kind; those with an error become broken."""
        seen: dict[str, tuple[ParsedFile, n.Span]] = {}
        for file in self.files:
            for node in file.declarations:
                if not isinstance(node, kind):
                    continue
                report = Report(file.file, file.text)
                if isinstance(node, n.TestNode):
                    # Two rules may have tests of one title; one rule may not.
                    name, shown, span = (
                        f"{node.rule.text}: {node.title}",
                        f'the test "{node.title}"',
                        node.span,
                    )
                    span = n.Span(span.start, node.rule.span.end)
                else:
                    name, shown, span = node.name.text, f"`{_spaced(node.name.text)}`", node.name.span
                first = _place(*seen[name]) if name in seen else self._taken(name, kind)
                if first is not None:
                    report.error(
                        "TW205",
                        f"{shown} is declared twice",
                        span,
                        "the second",
                        f"the first stands in {first}; all files below the given paths are one rule set",
                    )
                else:
                    bind(node, report)
                    seen[name] = (file, span)
                    if any(d.severity == ERROR for d in report.found) and not isinstance(node, n.TestNode):
                        self.tables.broken.add(name)
                self.found.extend(report.found)

    def _taken(self, name: str, kind: type[object]) -> str | None:
        """Events and signals share one table of names: both stand as steps."""
        event = self.tables.events.get(name) if kind is n.SignalNode else None
        if event is None:
            return None
        return f"{event.file}, line {position(self.tables.texts[event.file], event.span.start)[0]}"

    # --- passes

    def event(self, node: n.EventNode, report: Report) -> None:
        bind_event(node, self.tables, report)

    def baseline(self, node: n.BaselineNode, report: Report) -> None:
        bind_baseline(node, self.tables, report)

    def named_list(self, node: n.ListNode, report: Report) -> None:
        refresh = Quantities(self.tables, {}, report).duration(node.refresh) if node.refresh else None
        items: list[str] = []
        path: str | None = None
        if node.items is not None:
            items.extend(list_items(node.items, report))
        elif node.file is not None:
            path = str(Path(report.file).parent / str(node.file.value))
            read, problem = self.read_list(path)
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

    def defines(self) -> None:
        """DEFINEs are checked where they are used; that they exist and do not circle, here."""
        reports: dict[str, Report] = {}
        nodes: dict[str, n.DefineNode] = {}

        def collect(node: n.DefineNode, report: Report) -> None:
            names = [p.text for p in node.parameters]
            if node.name.text in ALL_FUNCTIONS:
                report.error(
                    "TW214",
                    f"`{_spaced(node.name.text)}` is a function of the language",
                    node.name.span,
                    "reserved",
                    "choose another name",
                )
            elif len(set(names)) < len(names):
                report.error("TW205", "two parameters have one name", node.span, "declared twice")
            else:
                reports[node.name.text], nodes[node.name.text] = report, node

        self.each(n.DefineNode, collect)
        calls = {
            name: [c.function for c in n.walk(node.body) if isinstance(c, n.Call)]
            for name, node in nodes.items()
        }
        order, closing = order_of_use({name: [c.text for c in used] for name, used in calls.items()})
        for name in order:
            report = reports[name]
            for call in calls[name]:
                if (name, call.text) in closing:
                    report.error(
                        "TW211",
                        f"`{_spaced(name)}` is made of itself",
                        call.span,
                        "closes the circle",
                        "a DEFINE is put in place of its call; it cannot contain itself",
                    )
                elif call.text in self.tables.broken and call.text not in self.tables.defines:
                    report.error(
                        "TW201",
                        f"`{_spaced(call.text)}` has an error of its own",
                        call.span,
                        "did not load",
                        "mend that first; this will load with it",
                    )
                elif call.text not in nodes and call.text not in ALL_FUNCTIONS:
                    hint = did_you_mean(call.text, ALL_FUNCTIONS | set(nodes), "declare it with DEFINE")
                    report.error(
                        "TW208", f"no function is called `{_spaced(call.text)}`", call.span, "unknown", hint
                    )
            if report.found:
                self.tables.broken.add(name)
                self.found.extend(report.found)
            else:
                self.tables.defines[name] = (nodes[name], report.file)

    def signals(self) -> dict[str, SignalType]:
        """Signals may name each other; each is bound after those it is made of."""
        nodes: dict[str, tuple[n.SignalNode, Report]] = {}

        def collect(node: n.SignalNode, report: Report) -> None:
            nodes[node.name.text] = (node, report)

        self.each(n.SignalNode, collect)
        order, closing = order_of_use(
            {name: [a.name.text for a in node.members] for name, (node, _) in nodes.items()}
        )
        done: dict[str, SignalType] = {}
        for name in order:
            node, report = nodes[name]
            members: list[Member] = []
            for atom in node.members:
                if (name, atom.name.text) in closing:
                    report.error(
                        "TW211",
                        f"`{_spaced(name)}` is made of itself",
                        atom.name.span,
                        "closes the circle",
                        "a signal is made of events and other signals",
                    )
                elif not report.found or atom.name.text not in self.tables.broken:
                    members.extend(bind_source(atom, self.tables, report, {}, {}, frozenset()).members)
            if len(members) > MAX_MEMBERS:
                label = f"more than {MAX_MEMBERS:,} members"
                report.error("TW105", "the signal is too large", node.name.span, label, "use fewer signals")
            if report.found:
                self.tables.broken.add(name)
                self.found.extend(report.found)
                continue
            self.tables.signals[name] = tuple(dict.fromkeys(members))
            self.tables.signal_params[name] = report.params
            source = bind_source(
                n.Atom(node.name.span, node.name, None, False), self.tables, report, {}, {}, frozenset()
            )
            done[name] = SignalType(name, source, node.text)
        return done

    def rules(self) -> dict[str, Rule]:
        """Rules may read each other's alerts; each is bound after those it reads."""
        nodes: dict[str, tuple[n.RuleNode, Report]] = {}

        def collect(node: n.RuleNode, report: Report) -> None:
            nodes[node.name.text] = (node, report)
            self.tables.rules[node.name.text] = (node, report.file)

        self.each(n.RuleNode, collect)
        read = {name: alert_atoms(node) for name, (node, _) in nodes.items()}
        order, closing = order_of_use({name: [a.name.text for a in atoms] for name, atoms in read.items()})
        bound: dict[str, Rule] = {}
        for name in order:
            node, report = nodes[name]
            for atom in read[name]:
                if (name, atom.name.text) in closing:
                    report.error(
                        "TW211",
                        f"`{_spaced(name)}` reads its own alerts",
                        atom.span,
                        "closes the circle",
                        "a rule may read the alerts of rules that do not read its own",
                    )
            rule = None if report.found else RuleBinder(self.tables, node, report, self.overrides).bind()
            if rule is None or report.found:
                self.tables.broken.add(name)
            else:
                bound[name] = rule
                bind_alert_type(node, rule, self.tables)
            self.found.extend(report.found)
        return {name: bound[name] for name in nodes if name in bound}

    def tests(self, rules: dict[str, Rule]) -> tuple[RuleTest, ...]:
        done: list[RuleTest] = []

        def bind(node: n.TestNode, report: Report) -> None:
            bound = bind_test(node, self.tables, rules, report)
            if bound is not None and not report.found:
                done.append(bound)

        self.each(n.TestNode, bind)
        return tuple(done)

    def unknown_overrides(self) -> None:
        """A value for a PARAM that nobody declared is an error: it was meant to do something."""
        text, found = unknown_overrides(self.overrides, self.tables)
        if found:
            self.tables.texts[PARAMS_FILE] = text
            self.found.extend(found.values())
            # A rule set that is bound again says so once.
            self.overrides = {name: v for name, v in self.overrides.items() if name not in found}


def _place(file: ParsedFile, span: n.Span) -> str:
    return f"{file.file}, line {position(file.text, span.start)[0]}"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def bind(
    files: Iterable[ParsedFile], overrides: Overrides | None = None, read: ReadList = read_list
) -> RuleSet:
    """Check parsed files and give the rule set of all that is right in them.

    Args:
        files: all files of the rule set.
        overrides: values for PARAMs by canonical name; durations in milliseconds, sizes in bytes.
            One that no PARAM has is an error (TW204) in a file called :data:`PARAMS_FILE`.
        read: reads the file of a LIST.
    """
    binder = _Binder(files, overrides or {}, read)
    binder.each(n.EventNode, binder.event)
    binder.each(n.ListNode, binder.named_list)
    binder.each(n.ParamNode, binder.param)
    binder.defines()
    binder.each(n.BaselineNode, binder.baseline)
    signals = binder.signals()
    rules = binder.rules()
    tests = binder.tests(rules)
    binder.unknown_overrides()
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
        overrides=binder.overrides,
    )
    found = in_order([*binder.found, *lint(checked, binder.files)])
    return RuleSet(
        **{f: getattr(checked, f) for f in checked.__struct_fields__ if f != "diagnostics"},
        diagnostics=tuple(found),
    )
