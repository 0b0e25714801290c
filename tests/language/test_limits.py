"""Rules that are too large to run beside others: refused fast, with a code, and never by falling over."""

from __future__ import annotations

import pytest

import dsl
from engine.chains import MAX_ALTERNATIVES
from engine.matcher import Matcher
from engine.plan import MAX_SOURCES
from engine.runtime_functions import ListTest

EVENTS = "EVENT a { x: int? s: string? }\nEVENT b { x: int? }\nEVENT g { x: int? }\n"


def codes(pattern: str, rest: str = "") -> list[str]:
    rules = dsl.load_text(EVENTS + f"RULE r {{ WHEN {pattern} {rest} }}\nRULE other {{ WHEN a }}\n")
    if rules.errors:
        return [d.code for d in rules.errors]
    matcher = Matcher(rules)
    assert "other" in matcher.rules
    assert ("r" in matcher.rules) == (not matcher.diagnostics)
    return [d.code for d in matcher.diagnostics]


def forks(count: int, mark: str = "") -> str:
    return " THEN ".join(f"ONE OF (a AS a{mark}{i}, b AS b{mark}{i})" for i in range(count))


def test_the_edges_are_where_the_documentation_says() -> None:
    assert codes("AT LEAST 10_000 a IN 5m") == []
    assert codes("AT LEAST 10_001 a IN 5m") == ["TW902"]
    assert codes("AT LEAST 10_001 DISTINCT s OF a IN 5m") == ["TW902"]
    assert codes("AT LEAST 1_000_000 SUM x OF a IN 5m") == []
    assert (MAX_ALTERNATIVES, MAX_SOURCES) == (2**7, 60)
    assert codes(f"{forks(7)} WITHIN 5m") == []
    assert codes(f"{forks(8)} WITHIN 5m") == ["TW903"]
    steps = " THEN ".join(["a"] * 59)
    assert codes(f"{steps} WITHIN 5m", "UNLESS b") == []
    assert codes(f"{steps} THEN b WITHIN 5m", "UNLESS b") == ["TW904"]


@pytest.mark.parametrize(
    ("pattern", "code"),
    [
        (f"{forks(20)} WITHIN 5m", "TW903"),
        (f"ALL OF ({forks(14, 'p')}, ({forks(14, 'q')})) WITHIN 5m", "TW903"),
        (f"a THEN ONE OF (({forks(14, 'p')}), ({forks(14, 'q')})) WITHIN 5m", "TW903"),
        (" THEN ".join(["a"] * 3_000) + " WITHIN 5m", "TW904"),
        (f"ONE OF ({', '.join(['a'] * 3_000)}) THEN b WITHIN 5m", "TW904"),
        (f"a THEN b {' '.join(['WITHOUT g'] * 3_000)} WITHIN 5m", "TW904"),
    ],
)
def test_far_beyond_the_edge_nothing_is_enumerated(pattern: str, code: str) -> None:
    assert codes(pattern) == [code]


def test_a_rule_over_the_largest_number_of_lines_runs() -> None:
    rules = dsl.load_text(EVENTS + f"RULE r {{ WHEN {forks(7)} WITHIN 5m }}")
    matcher = Matcher(rules)
    wire = b'{"kind": "%s", "device": "d", "time": %d}'
    alerts = [matcher.feed_json(wire % (b"ab"[i % 2 : i % 2 + 1], i)) for i in range(7)]
    assert [len(found) for found in alerts] == [0] * 6 + [1]


WILD = "?" * 2_000


@pytest.mark.parametrize(
    "text",
    [
        f'LIST l = ["fine", "{WILD}"]',
        f'RULE r {{ WHEN a [s LIKE "{WILD}"] }}',
        f'LIST l = ["a"] RULE r {{ WHEN a [s IN LIST l] }} '
        f'TEST "t" FOR r {{ GIVEN LIST l = ["{WILD}"] AT 0s a {{}} EXPECT NONE }}',
    ],
)
def test_wildcards_that_no_engine_could_hold_are_refused(text: str) -> None:
    assert [d.code for d in dsl.load_text(EVENTS + text).errors] == ["TW307"]


def test_the_longest_wildcards_can_be_matched() -> None:
    for pattern in ("?*" * 500, "?" * 1_000, "?é" * 500, "*a" * 500):
        assert ListTest((pattern,)).has("é" * 3_000) in (True, False)


def test_a_list_is_replaced_while_rules_hold_it() -> None:
    rules = dsl.load_text(EVENTS + 'LIST my list = ["a", "b"]\nRULE r { WHEN a [s IN LIST my list] }')
    matcher = Matcher(rules)

    def alerts(value: str, time: int) -> int:
        return len(
            matcher.feed_json(b'{"kind":"a","device":"d","time":%d,"s":"%s"}' % (time, value.encode()))
        )

    assert [alerts("a", 1), alerts("c", 2)] == [1, 0]
    change = matcher.replace_list("my list", ["b", "c*", "10.0.0.0/8", "b"])
    assert (change.added, change.removed) == (2, 1)
    assert [alerts("a", 3), alerts("cc", 4), alerts("10.1.2.3", 5)] == [0, 1, 1]
    with pytest.raises(KeyError, match=r"no list is called `nope`; there are: my_list"):
        matcher.replace_list("nope", [])
