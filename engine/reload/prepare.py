"""A new rule set made ready beside the running one: parsed, checked, tested, compiled.

A set is taken whole or not at all. All of this may take seconds and touches nothing that runs, so the
service does it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

import dsl
from dsl import model as m
from dsl.bind_patterns import all_sources
from dsl.diagnostics import Diagnostic, in_order
from dsl.params import Overrides
from engine.matcher import Matcher
from engine.reload.bundle import Bundle, read_bundle
from engine.testing import FAILED, run_tests

_LINES = 12
"""Of a failing test in a refusal."""


class Prepared(msgspec.Struct, frozen=True):
    """A set that may be put in force. ``matcher`` is new and knows nothing yet."""

    bundle: Bundle
    ruleset: m.RuleSet
    matcher: Matcher
    tests: int


class Refused(msgspec.Struct, frozen=True):
    """A set that may not: what is wrong with it, as people read it, and as records for programs."""

    hash: str
    sentence: str
    problems: tuple[str, ...]
    records: tuple[dict[str, object], ...] = ()


def make_matcher(ruleset: m.RuleSet, also: Mapping[str, frozenset[str]] = MappingProxyType({})) -> Matcher:
    """The matcher of a set whose rules may change while it runs. ``also``: fields by kind that it decodes
    where it decodes the kind, though none of its rules reads them.

    It decodes every field that may not be missing, whether a rule reads it or not: so what it keeps serves
    later rules that read more. A field that may be missing, and that no rule read when an event came, is
    missing on that event for the rules that read it later. And every declared baseline learns: it is warm
    when a rule begins to read it, and stays so when none reads it for a while. Every bad event is refused,
    though nobody may ask for what is bad in it.
    """
    always = {
        kind: frozenset(name for name, field in ruleset.events[kind].fields.items() if not field.optional)
        | also.get(kind, frozenset())
        for kind in _kinds_read(ruleset)
        if kind in ruleset.events
    }
    return Matcher(ruleset, also_read=always, also_learn=tuple(ruleset.baselines), strict=True)


def _kinds_read(ruleset: m.RuleSet) -> dict[str, None]:
    found: dict[str, None] = {}
    for rule in ruleset.rules.values():
        for source in [*all_sources(rule.pattern), *(veto.source for veto in rule.unless)]:
            found.update(dict.fromkeys(member.kind for member in source.members))
    return found


def prepare(paths: Iterable[str | Path], overrides: Overrides) -> Prepared | Refused:
    """Make the rule files below some paths ready."""
    try:
        bundle, ruleset = read_bundle(paths, overrides)
    except FileNotFoundError as error:
        return Refused("", f"{error}", ())
    return prepare_loaded(bundle, ruleset)


def prepare_loaded(bundle: Bundle, ruleset: m.RuleSet) -> Prepared | Refused:
    """Make a set ready that has been read."""
    name = bundle.hash
    if not bundle.texts:
        return Refused(name, "there are no .rule files", ())
    if ruleset.errors:
        return _refused(name, ruleset, ruleset.errors)
    failed = [result for result in run_tests(ruleset) if result.outcome == FAILED]
    if failed:
        return Refused(
            name,
            f"{len(failed):,} of its {len(ruleset.tests):,} tests fail",
            tuple(
                "\n".join([f"{r.rule.replace('_', ' ')}: {r.title}", *(f"  {x}" for x in r.lines[:_LINES])])
                for r in failed
            ),
            tuple(
                {"test": r.title, "rule": r.rule, "file": r.file, "lines": list(r.lines[:_LINES])}
                for r in failed
            ),
        )
    matcher = make_matcher(ruleset)
    if matcher.diagnostics:
        return _refused(name, ruleset, matcher.diagnostics)
    if not matcher.rules:
        return Refused(name, "it has no rule", ())
    return Prepared(bundle, ruleset, matcher, len(ruleset.tests))


def _refused(name: str, ruleset: m.RuleSet, found: Iterable[Diagnostic]) -> Refused:
    ordered = in_order(list(found))
    texts = ruleset.texts
    return Refused(
        name,
        f"it has {len(ordered):,} error{'' if len(ordered) == 1 else 's'}",
        tuple(dsl.render(one, texts.get(one.file, "")) for one in ordered),
        tuple(dsl.as_record(one, texts.get(one.file, "")) for one in ordered),
    )
