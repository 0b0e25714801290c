"""Events, signals and alerts by name: what a step or guard looks for, bound for each event type."""

from __future__ import annotations

import re

from dsl import expressions as e
from dsl import nodes as n
from dsl.bind_expressions import ExpressionBinder
from dsl.diagnostics import MAX_COMPARED_CHARACTERS, did_you_mean
from dsl.expressions import Condition
from dsl.model import Member, Param, Source
from dsl.scope import Report, Scope, StepScope, Tables
from dsl.split import keywords

_CHAIN_WORDS = frozenset(
    {"THEN", "WITHIN", "WITHOUT", "UNLESS", "AND", "OR", "FOR", "AS", "AFTER", "BETWEEN", "NO"}
)


def kinds_of(name: str, tables: Tables) -> tuple[str, ...]:
    """The wire kinds an event or signal name admits, in order of declaration; empty if unknown."""
    if name in tables.events:
        return (tables.events[name].kind,)
    return tuple(dict.fromkeys(m.kind for m in tables.signals.get(name, ())))


def bind_source(
    atom: n.Atom,
    tables: Tables,
    report: Report,
    params: dict[str, Param],
    steps: dict[str, StepScope],
    visible: frozenset[str],
) -> Source:
    """The source with its filter bound for each member. After an error it has no members."""
    name = atom.name.text
    members: tuple[Member, ...]
    alert_rule: str | None = None
    if atom.alert:
        alert_rule = name
        if name not in tables.alert_types:
            if name not in tables.broken:
                hint = did_you_mean(name, tables.rules, "rules are declared with RULE")
                report.error(
                    "TW210", f"no rule is called `{_spaced(name)}`", atom.name.span, "not declared", hint
                )
            else:
                _broken(atom.name, report)
            return Source(name, (), alert_rule, report.quote(atom.span), atom.span)
        members = (Member(f"alert:{name}", e.ALWAYS),)
    elif name in tables.events:
        members = (Member(tables.events[name].kind, e.ALWAYS),)
    elif name in tables.signals:
        members = tables.signals[name]
        report.params = {**tables.signal_params[name], **report.params}
    else:
        _unknown(atom.name, tables, report)
        return Source(name, (), None, report.quote(atom.span), atom.span)
    if atom.filter is not None:
        members = _filtered(atom.filter, members, tables, report, params, steps, visible)
    return Source(name, members, alert_rule, report.quote(atom.span), atom.span)


def _filtered(
    filter_: n.Expression,
    members: tuple[Member, ...],
    tables: Tables,
    report: Report,
    params: dict[str, Param],
    steps: dict[str, StepScope],
    visible: frozenset[str],
) -> tuple[Member, ...]:
    kinds = tuple(dict.fromkeys(m.kind for m in members))
    terms = filter_.items if isinstance(filter_, n.And) else (filter_,)
    bound: dict[str, Condition] = {}
    before = len(report.found)
    impossible: list[tuple[str, n.Expression]] = []
    for kind in kinds:
        scope = Scope(report.file, tables.event_of_kind(kind), kinds, steps, visible, params)
        conditions: list[Condition] = []
        for term in terms:
            condition = ExpressionBinder(tables, scope, report).condition(term)
            if isinstance(condition, e.Never) and not _says_false(term):
                impossible.append((kind, term))
            conditions.append(condition)
        bound[kind] = e.all_of(tuple(conditions))
    if len(report.found) == before:
        for kind, term in impossible:
            report.error(
                "TW306",
                f"`{kind.replace('.', ' ')}` can never satisfy `{report.quote(term.span)}`",
                term.span,
                f"{kind.replace('.', ' ')} has no such field",
                "filter the members apart, or use OR, EXISTS or `agrees`",
            )
    return tuple(Member(m.kind, e.all_of((m.condition, bound[m.kind]))) for m in members)


def _says_false(term: n.Expression) -> bool:
    return isinstance(term, n.Scalar) and term.value is False


def _broken(name: n.Name, report: Report) -> None:
    report.error(
        "TW201",
        f"`{_spaced(name.text)}` has an error of its own",
        name.span,
        "did not load",
        "mend that first; this will load with it",
    )


def _unknown(name: n.Name, tables: Tables, report: Report) -> None:
    known = set(tables.events) | set(tables.signals)
    if name.text in tables.broken:
        _broken(name, report)
        return
    words = [(m[0], m.start() + name.span.start) for m in re.finditer(r"[a-z0-9_]+", _text(name, report))]
    for word, at in words:
        if word.upper() in _CHAIN_WORDS & keywords():
            report.error(
                "TW110",
                f"`{word}` looks like {word.upper()}",
                n.Span(at, at + len(word)),
                f"`{_spaced(name.text)}` was read as one name",
                f"keywords are upper case: `{word.upper()}`",
            )
            return
    split = _two_known(name.text, known)
    if split is not None:
        first, second = (_spaced(part) for part in split)
        report.error(
            "TW111",
            f"nothing is called `{_spaced(name.text)}`",
            name.span,
            "THEN missing between two known names?",
            f"`{first} THEN {second}`",
        )
        return
    if name.text in tables.rules:
        hint = f"its alerts are read with `ALERT {_spaced(name.text)}`"
    else:
        hint = did_you_mean(name.text, known, "declare it with EVENT or SIGNAL")
    report.error(
        "TW201", f"no event or signal is called `{_spaced(name.text)}`", name.span, "not declared", hint
    )


def _text(name: n.Name, report: Report) -> str:
    return report.text[name.span.start : name.span.end]


def _two_known(name: str, known: set[str]) -> tuple[str, str] | None:
    if len(name) > 2 * MAX_COMPARED_CHARACTERS:
        return None
    for i, character in enumerate(name):
        if character == "_" and name[:i] in known and name[i + 1 :] in known:
            return name[:i], name[i + 1 :]
    return None


def _spaced(name: str) -> str:
    return name.replace("_", " ")
