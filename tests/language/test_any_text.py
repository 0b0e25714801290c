"""Whatever the text, ``load_text`` answers: rules, or diagnostics that can be printed, and soon."""

from __future__ import annotations

import itertools
import json
import sys

import programs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dsl
from engine.matcher import Matcher

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def answer(text: str) -> dsl.RuleSet:
    """Load, and print all that is said. Whatever did not load must have been said to be wrong."""
    rules = dsl.load_text(text)
    for found in itertools.islice(rules.diagnostics, 200):
        assert found.code in dsl.CODES
        assert dsl.render(found, rules.texts[found.file])
        assert json.dumps(dsl.as_record(found, rules.texts[found.file]))
    if rules.broken:
        assert rules.errors
    return rules


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(programs.by_the_grammar())
def test_text_by_the_grammar(text: str) -> None:
    rules = answer(programs.PREAMBLE + "\n" + text.strip() + "\n")
    # What the grammar allows is refused for its meaning or a literal, not for its form. TW101 and
    # TW112 stay possible: words side by side join to one name, a comment hides a bracket.
    assert not {d.code for d in rules.errors} & {"TW103", "TW105"}


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(st.lists(programs.rules(), min_size=1, max_size=4))
def test_programs(declarations: list[str]) -> None:
    rules = answer(programs.PREAMBLE + "".join(declarations))
    assert not {d.code for d in rules.errors if d.code < "TW115"}
    names = [text.split()[1] for text in declarations]
    assert set(rules.rules) | rules.broken >= set(names)
    if not rules.errors:
        assert set(rules.rules) == set(names)


@settings(max_examples=120, deadline=None, suppress_health_check=SLOW)
@given(programs.damaged())
def test_damaged_text(text: str) -> None:
    answer(programs.PREAMBLE + text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    answer(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_text_in_every_string(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "") + '"'
    answer(
        f"EVENT a {quoted} {{ s: string? FROM {quoted} {quoted}  i: ip? }}\n"
        f"LIST l = [{quoted}]\n"
        f"RULE r {quoted} {{ META {{ {quoted}: {quoted} }}  WHEN a [s == {quoted} OR s LIKE {quoted} "
        f"OR s MATCHES {quoted} OR i == {quoted} OR i IN CIDR({quoted})] ALERT {{ title: {quoted} }} }}\n"
        f"TEST {quoted} FOR r {{ AT 0s a {{ {quoted}: {quoted} }} EXPECT ALERT {{ {quoted}: {quoted} }} }}\n"
    )


EVENT = "EVENT ping { host: string? n: int? b: bool? }\n"


def _rule(condition: str) -> str:
    return EVENT + f"RULE r {{ WHEN ping [{condition}] }}\n"


def _chain(first: str, rest: str, count: int, last: str) -> str:
    return EVENT + first + "".join(rest.format(i=i, j=i - 1) for i in range(1, count)) + last


HOSTILE = {
    "brackets": "[" * 1_000_000,
    "parentheses": _rule("(" * 10_000 + "b" + ")" * 10_000),
    "nots": _rule("NOT " * 10_000 + "b"),
    "nots and parentheses": _rule(("NOT " * 31 + "(") * 30 + "b" + ")" * 30),
    "maps": EVENT + "RULE r { META " + "{a: " * 5_000 + "1" + "}" * 5_000 + " WHEN ping }",
    "groups": EVENT + "RULE r { WHEN " + "(" * 2_000 + "ping" + ")" * 2_000 + " }",
    "digits": _rule("n == " + "1" * 5_000),
    "digits of a float": _rule("n == " + "1" * 5_000 + ".5"),
    "digits of a size": _rule("n == " + "1" * 5_000 + ".5KB"),
    "digits of a duration": _rule("n == " + "1" * 5_000 + "d"),
    "digits of a count": EVENT + f"RULE r {{ WHEN AT LEAST {'1' * 5_000} ping IN 5m }}",
    "digits of a bound": EVENT + f"RULE r {{ WHEN ping THEN ping WITHIN {'1' * 5_000}d }}",
    "digits of a param": f"PARAM p = -{'1' * 5_000}\nPARAM q = [{'1' * 5_000}]",
    "operands": _rule("n" + " + n" * 5_000 + " > 3"),
    "alternatives": _rule(" OR ".join(f'host == "{i}"' for i in range(20_000))),
    "list items": _rule("host IN [" + ",".join(f'"{i}"' for i in range(20_000)) + "]"),
    "regex size": _rule('host MATCHES "((a{1000}){1000}){1000}"'),
    "regex depth": _rule('host MATCHES "' + "(" * 900 + '"'),
    "regex steps": _rule('host MATCHES "(a*)*(a*)*(a*)*b"'),
    "regex length": _rule('host MATCHES "' + "a|" * 50_000 + '"'),
    "open strings": '\\"' * 500_000,
    "open string": 'RULE r "' + "a" * 1_000_000,
    "NUL": EVENT + "RULE r { WHEN ping [host == \x00] }\x00",
    "lone surrogates": 'RULE \ud800 { }\nEVENT a { s: string? }\nRULE r { WHEN a [s MATCHES "\udfff"] }',
    "one long name": EVENT + f"RULE r {{ WHEN {'a' * 1_000_000} }}",
    "many words": EVENT + f"RULE r {{ WHEN {'a ' * 100_000} }}",
    "many errors": "RULE\n" * 100_000,
    "a chain of DEFINEs": _chain(
        "DEFINE d0(x) = x > 1\n", "DEFINE d{i}(x) = d{j}(x + 1)\n", 1_500, "RULE r { WHEN ping [d1499(n)] }"
    ),
    "doubling DEFINEs": _chain(
        "DEFINE d0(x) = x > 1\n",
        "DEFINE d{i}(x) = d{j}(x) AND d{j}(x + x)\n",
        80,
        "RULE r { WHEN ping [d79(n)] }",
    ),
    "doubling signals": _chain(
        "SIGNAL s0 = ping\n", "SIGNAL s{i} = s{j} [n > {i}] OR s{j} [n < {i}]\n", 60, "RULE r { WHEN s59 }"
    ),
    "a chain of signals": _chain(
        "SIGNAL s0 = ping\n", "SIGNAL s{i} = s{j}\n", 1_500, "RULE r { WHEN s1499 }"
    ),
    "a chain of rules": _chain("RULE r0 { WHEN ping }\n", "RULE r{i} { WHEN ALERT r{j} }\n", 1, "").replace(
        "RULE r0", "".join(f"RULE r{i} {{ WHEN ALERT r{i - 1} }}\n" for i in range(1_500, 0, -1)) + "RULE r0"
    ),
}
HOSTILE |= {
    "ten megabytes of text": "# " + "x" * 10_000_000,
    "ten megabytes of rules": EVENT + "RULE r { WHEN ping }\n" * 500_000,
    "ten thousand groups": EVENT + "RULE r { WHEN " + "(" * 10_000 + "ping" + ")" * 10_000 + " }",
    "branches": EVENT + f"RULE r {{ WHEN ONE OF ({', '.join(['ping'] * 5_000)}) }}",
    "branches that multiply": EVENT
    + "RULE r { WHEN "
    + " THEN ".join(f"ONE OF (ping AS a{i}, ping AS b{i}, ping AS c{i})" for i in range(19))
    + " WITHIN 5m }",
    "steps": EVENT + "RULE r { WHEN " + "ping THEN " * 3_000 + "ping WITHIN 5m }",
    "alternations that back-tracking would not survive": _rule('host MATCHES "' + "(a|a)*" * 100 + 'b"'),
    "wildcards": _rule('host LIKE "' + "?" * 60_000 + '"'),
    "wildcards of a list": EVENT + 'LIST l = ["' + "?*" * 30_000 + '"]',
}
LEGAL = {
    "branches",
    "branches that multiply",
    "steps",
    "alternations that back-tracking would not survive",
    "list items",
    "regex steps",
    "a chain of signals",
    "a chain of rules",
}
"""Right, as far as the language goes; the engine may refuse what is too large (test_limits.py)."""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_and_nothing_is_raised(name: str) -> None:
    rules = answer(HOSTILE[name])
    assert bool(rules.errors) == (name not in LEGAL)
    Matcher(rules)


def test_what_is_not_read_is_said_and_counted() -> None:
    rules = dsl.load_text("RULE\n" * 3_000)
    assert len(rules.errors) == 1_001
    assert "2,000 more declarations were not read" in rules.errors[-1].message
    large = dsl.load_text(_rule("n == " + "1" * 5_000)).errors
    assert [d.message for d in large] == [
        "`11111111111111111111... (5,000 characters)` is too large: at most 2^63 - 1"
    ]


def test_a_macro_may_stand_in_its_own_argument() -> None:
    assert dsl.load_text(_rule("plus(plus(n)) > 3") + "DEFINE plus(x) = x + 1\n").errors == ()


def test_the_work_grows_with_the_text_and_not_faster() -> None:
    """Counted in calls and not in seconds: a thousand rules cost about ten times a hundred."""

    def calls(count: int) -> int:
        text = EVENT + "".join(
            f'RULE r{i} {{ WHEN ping [n > {i} AND host == "{i}"] AS t THEN ping [host == t.host AND b] '
            f'WITHIN 5m  ALERT {{ title: "{{t.host}}" }} }}\n'
            for i in range(count)
        )
        seen = 0

        def count_calls(frame: object, event: str, argument: object) -> None:
            nonlocal seen
            seen += event == "call"

        dsl.load_text(EVENT)  # the parser is built once
        before = sys.getprofile()
        sys.setprofile(count_calls)
        try:
            rules = dsl.load_text(text)
        finally:
            sys.setprofile(before)
        assert (len(rules.rules), rules.errors) == (count, ())
        return seen

    assert calls(400) < 5 * calls(100)
