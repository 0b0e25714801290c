"""The engine, fed in order, finds exactly what the definition says: which alerts, which events."""

from __future__ import annotations

from generate import Case, cases
from hypothesis import event, given
from oracle import matches
from running import evidence, feed, flat, standing

from dsl.diagnostics import ERROR


def check(case: Case) -> None:
    ruleset = case.ruleset
    # The generator writes valid rules; only bounds that exclude each other may slip in.
    errors = {d.code for d in ruleset.diagnostics if d.severity == ERROR}
    assert errors <= {"TW409"}, [d.message for d in ruleset.diagnostics]
    if errors:
        return
    expected = matches(ruleset, ruleset.rules["r"], case.events)
    event("with a match" if expected else "without a match")
    ordered = case.in_order()
    caused = feed(ruleset, ordered)
    assert standing(flat(caused)) == sorted((m.key, m.evidence) for m in expected)
    for (wire, _), alerts in zip(ordered, caused, strict=True):
        for alert in alerts:
            # It is said at once, not at some later event. A veto at the time of the match closes it.
            assert alert.activity != "create" or evidence(alert)[-1] == wire["id"]


@given(cases())
def test_engine_equals_definition(case: Case) -> None:
    check(case)
