"""TW502: a negative over a field that may be missing.

Read from the text, not from the checked conditions: ``NOT x < 3`` has become ``x >= 3`` there, and
only what the author wrote as a negative surprises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from dsl import expressions as e
from dsl import nodes as n
from dsl.diagnostics import Diagnostic
from dsl.lints.common import all_steps, event_source, spaced, warning
from dsl.lints.logic import implies
from dsl.macros import substitute
from dsl.model import Member, RuleSet
from dsl.parse import ParsedFile
from dsl.scope import ENVELOPE

_MAX_EXPANSIONS = 200
"""DEFINEs put into one filter; what lies beyond is not looked at."""


class _Negative(msgspec.Struct, frozen=True):
    span: n.Span
    paths: tuple[str, ...]


class _Reader:
    """Collects the negatives of one filter and the paths it tests in a positive way."""

    def __init__(self, defines: Mapping[str, n.DefineNode]) -> None:
        self.defines = defines
        self.negatives: list[_Negative] = []
        self.tested: set[str] = set()
        self._expansions = 0

    def read(self, node: n.Expression, negated: bool, at: n.Span | None) -> None:
        """``at`` is the outermost NOT or call of a DEFINE that the node stands in, if there is one."""
        match node:
            case n.And() | n.Or():
                for item in node.items:
                    self.read(item, negated, at)
            case n.Not():
                self.read(node.item, not negated, at or node.span)
            case n.Presence():
                self.tested.update(_paths(node))
            case n.Call() if node.function.text in self.defines:
                self._expand(node, negated, at)
            case n.Call() if node.function.text == "agrees":
                pass  # made for missing values
            case n.Compare():
                self._found(node, (node.operator == "!=") != negated, at)
            case n.InValues() | n.InList() | n.InCidr() | n.InPath() | n.Like() | n.Matches():
                self._found(node, node.negated != negated, at)
            case _:
                self._found(node, negated, at)

    def _expand(self, node: n.Call, negated: bool, at: n.Span | None) -> None:
        self._expansions += 1
        define = self.defines[node.function.text]
        if self._expansions <= _MAX_EXPANSIONS and len(define.parameters) == len(node.arguments):
            bound = dict(zip((p.text for p in define.parameters), node.arguments, strict=True))
            self.read(substitute(define.body, bound), negated, at or node.span)

    def _found(self, node: n.Expression, negative: bool, at: n.Span | None) -> None:
        if negative:
            self.negatives.append(_Negative(at or node.span, _paths(node)))
        else:
            self.tested.update(_paths(node))


def _paths(node: n.Node) -> tuple[str, ...]:
    found = [item for item in n.walk(node) if isinstance(item, n.Path)]
    return tuple(dict.fromkeys(".".join(part.text for part in path.parts) for path in found))


def negatives_over_missing(ruleset: RuleSet, files: Sequence[ParsedFile]) -> Iterator[Diagnostic]:
    """``!=``, NOT IN and NOT over a field that may be missing, without EXISTS or MISSING beside it."""
    defines = {
        node.name.text: node
        for file in files
        for node in file.declarations
        if isinstance(node, n.DefineNode) and node.name.text not in ruleset.broken
    }
    for file in files:
        for declaration in file.declarations:
            if not _loaded(declaration, ruleset):
                continue
            optional = _optional_step_fields(declaration, ruleset)
            if isinstance(declaration, n.BaselineNode):
                filters = [(declaration.source.text, declaration.filter)]
            else:
                atoms = [a for a in n.walk(declaration) if isinstance(a, n.Atom) and not a.alert]
                filters = [(a.name.text, a.filter) for a in atoms]
            for source, expression in filters:
                if expression is not None:
                    members = _members(source, ruleset)
                    yield from _of_filter(expression, members, optional, defines, ruleset, file)


def _loaded(declaration: n.Declaration, ruleset: RuleSet) -> bool:
    match declaration:
        case n.RuleNode():
            return declaration.name.text in ruleset.rules
        case n.SignalNode():
            return declaration.name.text in ruleset.signals
        case n.BaselineNode():
            return declaration.name.text in ruleset.baselines
        case _:
            return False


def _members(name: str, ruleset: RuleSet) -> tuple[Member, ...]:
    if name in ruleset.signals:
        return ruleset.signals[name].source.members
    return (Member(name.replace("_", "."), e.ALWAYS),)


def _optional(kind: str, field: str, ruleset: RuleSet) -> bool:
    """Whether an event of this kind declares the field and may lack it."""
    event = ruleset.events.get(kind)
    declared = (event.fields.get(field) or ENVELOPE.get(field)) if event is not None else None
    return declared is not None and declared.optional


def _optional_step_fields(declaration: n.Declaration, ruleset: RuleSet) -> frozenset[str]:
    """``t.app`` and the like: fields of named steps that may be missing."""
    if not isinstance(declaration, n.RuleNode):
        return frozenset()
    found: set[str] = set()
    for step in all_steps(ruleset.rules[declaration.name.text].pattern):
        source = event_source(step)
        if step.name is None or source is None:
            continue
        for member in source.members:
            fields = ruleset.events[member.kind].fields if member.kind in ruleset.events else {}
            found.update(
                f"{step.name}.{name}"
                for name, field in fields.items()
                if field.optional and not _has_value(member, name, field.type)
            )
    return frozenset(found)


def _has_value(member: Member, name: str, type_: e.Type) -> bool:
    """Whether the member's own condition already makes sure that the field is there."""
    return implies(member.condition, e.Present(e.Field(None, name, type_, True), False))


def _of_filter(
    expression: n.Expression,
    members: tuple[Member, ...],
    optional_steps: frozenset[str],
    defines: Mapping[str, n.DefineNode],
    ruleset: RuleSet,
    file: ParsedFile,
) -> Iterator[Diagnostic]:
    reader = _Reader(defines)
    reader.read(expression, False, None)
    for negative in reader.negatives:
        for path in negative.paths:
            if path in reader.tested:
                continue
            surprising = path in optional_steps or any(
                _optional(m.kind, path, ruleset) and not _known_in(m, path, ruleset) for m in members
            )
            if surprising:
                text = " ".join(file.text[negative.span.start : negative.span.end].split())
                shown = text if len(text) <= 60 else text[:57] + "..."
                yield warning(
                    "TW502",
                    f"events without `{spaced(path) if '.' not in path else path}` never fit `{shown}`",
                    file.file,
                    negative.span,
                    "a negative over a field that may be missing",
                    f"`({path} MISSING OR ...)` lets them fit; `{path} EXISTS AND ...` says that they do not",
                )
                break


def _known_in(member: Member, name: str, ruleset: RuleSet) -> bool:
    field = ruleset.events[member.kind].fields.get(name) or ENVELOPE.get(name)
    return field is not None and _has_value(member, name, field.type)
