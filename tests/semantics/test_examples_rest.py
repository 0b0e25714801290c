"""Sentences of LANGUAGE.md sections 3 and 4 about absence, levels, ALL OF, ANY and functions, as cases."""

from __future__ import annotations

import pytest
from sentences import Case, check

ABSENCE: dict[str, Case] = {
    "what follows a silence comes strictly after its deadline": (
        "WHEN a THEN NO g FOR 5ms THEN b WITHIN 20ms",
        "a0, b3, b5, b6, a10, g15, b17, a20, g26, b27",
        "a0 b6, a20 b27",
    ),
    "and its gap counts from the deadline": (
        "WHEN a THEN NO g FOR 5ms THEN WITHIN 3ms b",
        "a0, b9, a20, b28",
        "a20 b28",
    ),
    "a minimum gap counts from the deadline": (
        "WHEN a THEN NO g FOR 5ms THEN AFTER 2ms b WITHIN 20ms",
        "a0, b6, b7",
        "a0 b7",
    ),
    "first in the pattern, NO looks back from the next step": (
        "WHEN NO g FOR 5ms THEN a THEN b WITHIN 4ms",
        "g0, a5, b6, a11, b12",
        "a11 b12",
    ),
    "first in a later group, NO begins at the step before": (
        "WHEN a THEN (NO g FOR 3ms THEN b) WITHIN 9ms",
        "a0, b3, b4",
        "a0 b4",
    ),
    "one alert a silence, from the wait that began first": (
        "WHEN a THEN NO g FOR 5ms",
        "a0, a3, a9, g20, a21, a30",
        "a0, a21",
    ),
    "a voided wait leaves the silence to the next": ("WHEN a THEN NO g FOR 5ms", "a0, g4, a5, a6", "a5"),
    "latest decides among waits that end at the same moment": ("WHEN a THEN NO g FOR 5ms", "a0, a0'", "a0'"),
    "first among waits that end at the same moment": (
        "WHEN a THEN NO g FOR 5ms SELECT FIRST",
        "a0, a0'",
        "a0",
    ),
    "each reports every wait": ("WHEN a THEN NO g FOR 5ms SELECT EACH", "a0, a3, g20", "a0, a3"),
    "waits whose guards read different values": (
        "WHEN a AS s THEN NO g [x == s.x] FOR 5ms",
        "a0 x=1, a1 x=2, a2 x=1",
        "a0, a1",
    ),
    "a deadline is inclusive for the guard": ("WHEN a THEN NO g FOR 5ms", "a0, g5, a10, g16", "a10"),
    "a guard at the time of the step, before it": ("WHEN a THEN NO g FOR 5ms", "g0, a0", "a0"),
    "the overall bound is for positive steps only": (
        "WHEN a THEN b THEN NO g FOR 20ms WITHIN 3ms",
        "a0, b3, g24",
        "a0 b3",
    ),
    "a veto up to the deadline": ("WHEN a THEN NO g FOR 5ms UNLESS c", "a0, c5, a10, c16", "a10"),
    "a veto that reads a step spares another choice of the run": (
        "WHEN AT LEAST 1 a IN 2ms THEN b AS s THEN c WITHIN 9ms UNLESS g [NOT agrees(x, s.x)]",
        "a0, b1 x=1, b2 x=2, g3 x=2, c4",
        "a0 b2 c4",
    ),
    "without for looks back": ("WHEN a THEN b WITHOUT g FOR 3ms WITHIN 9ms", "g0, a0, b3, b4", "a0 b4"),
    "without for on the first step": (
        "WHEN a WITHOUT g FOR 3ms THEN b WITHIN 5ms",
        "g0, a3, b4, a5, b6",
        "a5 b6",
    ),
    "a branch that is only NO": (
        "WHEN a THEN ONE OF (b, NO c FOR 3ms) THEN g WITHIN 9ms",
        "a0, c2, g5, a10, g14",
        "a10 g14",
    ),
    "a branch that ends with NO ends the pattern": (
        "WHEN a THEN ONE OF (b, c THEN NO g FOR 3ms) WITHIN 9ms",
        "a0, c1, b2, a10, c11, g15",
        "a0 b2, a10 c11",
    ),
    "a branch completes before the silence of another": (
        "WHEN a THEN ONE OF (NO g FOR 5ms, b) WITHIN 9ms",
        "a0, b5, a20, b26",
        "a0 b5, a20",
    ),
}

AT_LEAST: dict[str, Case] = {
    "a count window is inclusive": ("WHEN AT LEAST 2 a IN 5ms", "a0, a5, a20, a26", "a0 a5"),
    "the last step alerts on the rising edge only": (
        "WHEN AT LEAST 2 a IN 5ms",
        "a0, a1, a2, a6, a8, a20, a22",
        "a0 a1, a20 a22",
    ),
    "a window left empty ends what held": ("WHEN AT LEAST 1 a IN 5ms", "a0, a5, a11", "a0, a11"),
    "the edge is judged on the part that fits the bounds": (
        "WHEN AT LEAST 2 a IN 9ms WITHIN 3ms",
        "a0, a5, a8, a12, a15",
        "a5 a8, a12 a15",
    ),
    "followed by then, each event at which it holds completes it": (
        "WHEN AT LEAST 2 a IN 5ms THEN b WITHIN 20ms SELECT EACH",
        "a0, a1, a2, b3",
        "a0 a1 b3, a0 a1 a2 b3",
    ),
    "the run begins at the event that completes the level": (
        "WHEN AT LEAST 2 a IN 5ms THEN b WITHIN 20ms",
        "a0, a1, a2, b3",
        "a0 a1 a2 b3",
    ),
    "an old event hides nothing": (
        "WHEN AT LEAST 2 a IN 5ms THEN b WITHIN 5ms",
        "a0, a3, a4, b7",
        "a3 a4 b7",
    ),
    "xs is the part that the bounds leave": (
        "WHEN AT LEAST 2 a IN 5ms AS xs THEN b [xs.count == 2] WITHIN 5ms",
        "a0, a3, a4, b7",
        "a3 a4 b7",
    ),
    "a filter does not shorten the window": (
        "WHEN AT LEAST 2 a IN 5ms AS xs THEN b [xs.count == 2] WITHIN 20ms",
        "a0, a1, a2, b3",
        "a0 a1 b3",
    ),
    "a guard does not shorten the window, and a voided edge is spent": (
        "WHEN AT LEAST 2 a IN 9ms WITHOUT g FOR 3ms",
        "g0, a2, a6, a7",
        "",
    ),
    "without for looks back from the first event of a level": (
        "WHEN AT LEAST 2 a IN 5ms WITHOUT g FOR 3ms",
        "g0, a4, a5, g10, a13, a14",
        "a4 a5",
    ),
    "an edge that a veto voids is spent": ("WHEN AT LEAST 2 a IN 5ms UNLESS g", "a0, g1, a2, a5, a7", ""),
    "the next edge is a new one": (
        "WHEN AT LEAST 2 a IN 5ms UNLESS g",
        "a0, g1, a2, a10, a11",
        "a10 a11",
    ),
    "in the middle it counts what comes after the step before": (
        "WHEN c THEN AT LEAST 2 a IN 5ms THEN b WITHIN 20ms",
        "a0, c1, a2, b3, a4, b5",
        "c1 a2 a4 b5",
    ),
    "a guard of a level that comes last": (
        "WHEN c THEN AT LEAST 2 a IN 5ms WITHOUT g WITHIN 20ms",
        "c0, a1, g2, a3, c10, a11, a12",
        "c10 a11 a12",
    ),
    "events before a minimum gap are passed over": (
        "WHEN c THEN AFTER 3ms AT LEAST 2 a IN 9ms WITHIN 20ms",
        "c0, a1, a4, a5",
        "c0 a4 a5",
    ),
    "the upper bound of a gap holds for its last event": (
        "WHEN c THEN WITHIN 5ms AT LEAST 2 a IN 9ms",
        "c0, a2, a6, c10, a11, a15",
        "c10 a11 a15",
    ),
    "the gap of the next step counts from its last event": (
        "WHEN AT LEAST 2 a IN 9ms THEN WITHIN 2ms b",
        "a0, a5, b8, a9, b11",
        "a0 a5 a9 b11",
    ),
    "distinct shows the newest event of each value; a missing one does not count": (
        "WHEN AT LEAST 2 DISTINCT x OF a IN 5ms",
        "a0 x=1, a1 x=1, a2, a3 x=2",
        "a1 a3",
    ),
    "under distinct the count is that of values": (
        "WHEN AT LEAST 2 DISTINCT x OF a IN 5ms AS xs THEN b [xs.count == 2] WITHIN 9ms",
        "a0 x=1, a1 x=1, a2 x=2, b3",
        "a1 a2 b3",
    ),
    "a sum; a missing value does not count": (
        "WHEN AT LEAST 5 SUM x OF a IN 5ms",
        "a0 x=2, a1, a2 x=2, a3 x=1, a20 x=5",
        "a0 a2 a3, a20",
    ),
    "a filter of a level reads the step before": (
        "WHEN c AS s THEN AT LEAST 2 a [x == s.x] IN 5ms WITHIN 9ms",
        "c0 x=1, a1 x=1, a2 x=2, a3 x=1",
        "c0 a1 a3",
    ),
    "levels of two keys are apart": (
        "BY device, k WHEN AT LEAST 2 a IN 5ms",
        "a0 k=p, a1 k=q, a2, a3 k=p",
        "a0 a3",
    ),
}

TOGETHER: dict[str, Case] = {
    "all of, in any order, inclusive": ("WHEN ALL OF (a, b) WITHIN 5ms", "b0, a5, a20, b26", "b0 a5"),
    "all of alerts on the rising edge": (
        "WHEN ALL OF (a, b) WITHIN 5ms",
        "a0, b1, a2, b3, a20, b21",
        "a0 b1, a20 b21",
    ),
    "each branch by its latest match": ("WHEN ALL OF (a, b) THEN c WITHIN 9ms", "a0, a1, b2, c3", "a1 b2 c3"),
    "branches are patterns": ("WHEN ALL OF (a THEN b, c) WITHIN 9ms", "c0, a1, b2", "c0 a1 b2"),
    "one event may serve several branches": (
        "WHEN ALL OF (a, a [x == 1]) WITHIN 5ms",
        "a0, a1 x=1",
        "a1",
    ),
    "any of": ("WHEN ANY 2 OF (a, b, c) WITHIN 5ms", "a0, g1, b2, c3", "a0 b2"),
    "any shows every branch present": (
        "WHEN ANY 2 OF (a, b, c) THEN g WITHIN 9ms",
        "a0, b2, c3, g4",
        "a0 b2 c3 g4",
    ),
    "a branch that is too old is not present": (
        "WHEN ANY 2 OF (a, b, c) WITHIN 5ms",
        "a0, b8, c9",
        "b8 c9",
    ),
    "branches come after the step before": (
        "WHEN c THEN ALL OF (a, b) WITHIN 9ms",
        "a0, c1, b2, a3",
        "c1 b2 a3",
    ),
    "a later match that began too early does not hide one that fits": (
        "WHEN ALL OF (a AS s THEN b [x == s.x] WITHIN 9ms, c) WITHIN 5ms",
        "a0 x=1, a4 x=2, b5 x=2, b6 x=1, c7",
        "a4 b5 c7",
    ),
    "names of branches that are not present are missing": (
        "WHEN ANY 1 OF (a AS s, b) THEN c [s.x MISSING] WITHIN 9ms",
        "b0, c1, a10 x=1, c11",
        "b0 c1",
    ),
    "a name given to all of is all its events": (
        "WHEN ALL OF (a, b) AS xs THEN c [xs.count == 2 AND x == xs.last.x] WITHIN 9ms",
        "a0 x=1, b1 x=2, c2 x=1, c3 x=2",
        "a0 b1 c3",
    ),
}

EXPRESSIONS: dict[str, Case] = {
    "first and last of a step of several events": (
        "WHEN AT LEAST 2 a IN 5ms AS xs THEN b [x == xs.first.x AND k == xs.last.k] WITHIN 9ms",
        "a0 x=1 k=p, a1 x=2 k=q, b2 x=2 k=q, b3 x=1 k=q",
        "a0 a1 b3",
    ),
    "in a field of a step": (
        "WHEN AT LEAST 2 a IN 5ms AS xs THEN b [x IN xs.x] WITHIN 9ms",
        "a0 x=1, a1 x=2, b2 x=3, b3 x=2",
        "a0 a1 b3",
    ),
    "not in a field of a step": (
        "WHEN AT LEAST 2 a IN 5ms AS xs THEN b [x NOT IN xs.x] WITHIN 9ms",
        "a0 x=1, a1 x=2, b2 x=2, b3, b4 x=3",
        "a0 a1 b4",
    ),
    "not in a field that no event of the step has": (
        "WHEN AT LEAST 2 a IN 5ms AS xs THEN b [x NOT IN xs.x] WITHIN 9ms",
        "a0, a1, b2 x=2",
        "",
    ),
    "a name of one of is the last event of its branch": (
        "WHEN ONE OF (a THEN b, c) AS s THEN g [x == s.x] WITHIN 9ms",
        "a0 x=1, b1 x=2, g2 x=1, g3 x=2",
        "a0 b1 g3",
    ),
    "choose takes the second where its condition reads a missing value": (
        "WHEN a AS s THEN b [choose(s.x == 1, x, 0) == 2] WITHIN 9ms",
        "a0 x=1, b1 x=2, a10, b11 x=2",
        "a0 b1",
    ),
    "a function of a missing value is missing": (
        "WHEN a THEN b [max(x, 1) >= 1 OR min(x, 1) >= 0] WITHIN 9ms",
        "a0, b1, b2 x=0",
        "a0 b2",
    ),
    "functions of text": (
        'WHEN a [lower(k) == "p" AND upper(k) == "P" AND len(k) == 1] THEN b WITHIN 9ms',
        "a0 k=P, b1, a10 k=PP, b11",
        "a0 b1",
    ),
    "functions of numbers": (
        "WHEN a THEN b [abs(x - 3) == 1 AND round(x / 4) == 1] WITHIN 9ms",
        "a0, b1 x=2, b2 x=4",
        "a0 b2",
    ),
    "division by zero is missing": (
        "WHEN a THEN b [4 / x >= 0 OR NOT x / x == 1] WITHIN 9ms",
        "a0, b1 x=0, b2 x=1",
        "a0 b2",
    ),
}

INTERVALS: dict[str, Case] = {
    "a minimum gap shortens the window of a level": (
        "WHEN a THEN AFTER 1ms AT LEAST 2 b IN 5ms WITHIN 9ms",
        "a4, b5, b7 start=3, b8",
        "a4 b5 b8",
    ),
    "an interval that begins before the gap is not in the window": (
        "WHEN a THEN AFTER 1ms AT LEAST 2 b IN 5ms WITHIN 9ms",
        "a4, b5, b7 start=3",
        "",
    ),
    "nor in that of ALL OF": ("WHEN a THEN AFTER 1ms ALL OF (b, c) WITHIN 9ms", "a4, b5, c7 start=3", ""),
    "of a group the gap bounds the first event": (
        "WHEN a THEN AFTER 1ms (b THEN b WITHIN 9ms) WITHIN 9ms",
        "a4, b5, b7 start=3",
        "a4 b5 b7",
    ),
    "of a group that opens with a level the whole window": (
        "WHEN a THEN AFTER 1ms (AT LEAST 2 b IN 5ms THEN c) WITHIN 9ms",
        "a4, b5, b7 start=3, c9",
        "",
    ),
}

CASES = {**ABSENCE, **AT_LEAST, **TOGETHER, **EXPRESSIONS, **INTERVALS}


@pytest.mark.parametrize("name", CASES)
def test_sentence(name: str) -> None:
    check(CASES[name])
