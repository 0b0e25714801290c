"""PARAM values from TEST and from a deployment: for all PARAMs of a name, or for the one inside a rule."""

from __future__ import annotations

import pytest

import dsl
from dsl.format import format_text
from dsl.ruleset import rebind
from engine.testing import run_tests

RULES = """
EVENT a { x: int? }
EVENT b { x: int? }
PARAM least = 3
RULE one { PARAM span = 5m  WHEN a [x > least] THEN b WITHIN span }
RULE two { PARAM span = 5m  WHEN a [x > least] THEN b WITHIN span }
"""
EVENTS = "AT 0s a { x: 5 } AT 9m b {}"


def outcome(given: str, rule: str = "one", **params: int) -> str:
    test = f'TEST "t" FOR {rule} {{ {given} {EVENTS} EXPECT ALERT }}'
    names = {name.replace("__", "."): value for name, value in params.items()}
    rules = dsl.load_text(RULES + test, params=names)
    assert not rules.errors, [d.message for d in rules.errors]
    (result,) = run_tests(rules)
    return result.outcome


@pytest.mark.parametrize(
    ("given", "rule", "expected"),
    [
        ("", "one", "failed"),
        ("GIVEN PARAM span = 10m", "one", "passed"),
        ("GIVEN PARAM one.span = 10m", "one", "passed"),
        ("GIVEN PARAM one.span = 10m", "two", "failed"),
        ("GIVEN PARAM two.span = 10m GIVEN PARAM least = 4", "two", "passed"),
        ("GIVEN PARAM one.span = 10m GIVEN PARAM least = 5", "one", "failed"),
    ],
)
def test_a_test_gives_a_param(given: str, rule: str, expected: str) -> None:
    assert outcome(given, rule) == expected


def test_what_a_deployment_set_stays_where_the_test_gives_something_else() -> None:
    assert outcome("GIVEN PARAM least = 4", one__span=600_000) == "passed"
    assert outcome("GIVEN PARAM least = 4", "two", one__span=600_000) == "failed"
    assert outcome("GIVEN PARAM least = 4", span=600_000) == "passed"


def test_the_test_wins_over_the_deployment() -> None:
    assert outcome("GIVEN PARAM one.span = 1m", one__span=600_000) == "failed"
    assert outcome("GIVEN PARAM span = 1m", one__span=600_000) == "failed"
    assert outcome("GIVEN PARAM one.span = 10m", span=60_000) == "passed"


def test_a_rule_set_that_is_bound_again_keeps_its_values() -> None:
    rules = rebind(dsl.load_text(RULES, params={"one.span": 1_000, "least": 7}), {"two.span": 2_000})
    assert rules.rules["one"].params == {"least": 7, "span": 1_000}
    assert rules.rules["two"].params == {"least": 7, "span": 2_000}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("one.spam = 3m", "TW204"),
        ("three.span = 3m", "TW204"),
        ("one.least = 3", "TW204"),
        ("one.span.x = 3m", "TW204"),
        ("one.span = 3", "TW304"),
        ("one.span = [3m]", "TW304"),
    ],
)
def test_a_param_that_does_not_exist_or_fit_is_an_error(given: str, code: str) -> None:
    test = f'TEST "t" FOR two {{ GIVEN PARAM {given} {EVENTS} EXPECT NONE }}'
    assert [d.code for d in dsl.load_text(RULES + test).errors] == [code]


def test_it_is_laid_out_like_a_path() -> None:
    text = f'TEST "t" FOR one {{ GIVEN PARAM one . span=10m {EVENTS} EXPECT NONE }}\n'
    assert "  GIVEN PARAM one.span = 10m\n" in format_text(RULES + text).text
