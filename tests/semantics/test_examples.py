"""Sentences of LANGUAGE.md as cases, and every case in which the engine once differed.

Chains and their guards; absence, levels and functions are in ``test_examples_rest.py``, and
``sentences.py`` says how a case is written.
"""

from __future__ import annotations

import pytest
from running import feed, flat, standing
from sentences import DECLARATIONS, Case, check, wire

import dsl

CASES: dict[str, Case] = {
    "a decoy hides no chain": ("WHEN a THEN b THEN WITHIN 5ms c WITHIN 1m", "a0, b1, b10, c12", "a0 b10 c12"),
    "a used-up run is that run only": ("WHEN a THEN a WITHIN 9ms", "a1, a2, a3", "a1 a2, a2 a3"),
    "one event serves one step": ("WHEN a THEN a WITHIN 9ms", "a1", ""),
    "within is inclusive": ("WHEN a THEN b WITHIN 5ms", "a0, b5", "a0 b5"),
    "within ends there": ("WHEN a THEN b WITHIN 5ms", "a0, b6", ""),
    "a gap is inclusive": ("WHEN a THEN WITHIN 5ms b", "a0, b5", "a0 b5"),
    "a gap ends there": ("WHEN a THEN WITHIN 5ms b", "a0, b6", ""),
    "after is inclusive": ("WHEN a THEN AFTER 3ms b WITHIN 9ms", "a0, b3", "a0 b3"),
    "before a minimum gap is passed over": ("WHEN a THEN AFTER 3ms b WITHIN 9ms", "a0, b2, b4", "a0 b4"),
    "between": ("WHEN a THEN BETWEEN 2ms AND 4ms b", "a0, b1, b2, a10, b14, a20, b25", "a0 b2, a10 b14"),
    "the lower bound of a gap holds for the first event of a group": (
        "WHEN a THEN AFTER 3ms (b THEN c) WITHIN 9ms",
        "a0, b2, c4, b5, c6",
        "a0 b5 c6",
    ),
    "the upper bound of a gap holds for the last event of a group": (
        "WHEN a THEN WITHIN 5ms (b THEN c) WITHIN 20ms",
        "a0, b2, c6, a10, b12, c15",
        "a10 b12 c15",
    ),
    "bounds inside a group": (
        "WHEN (a THEN b WITHIN 2ms) THEN c WITHIN 9ms",
        "a0, b3, c4, a5, b7, c8",
        "a5 b7 c8",
    ),
    "a tie goes by position": ("WHEN a THEN b WITHIN 5ms", "b1, a1", ""),
    "a tie in order": ("WHEN a THEN b WITHIN 5ms", "a1, b1", "a1 b1"),
    "latest is the default": ("WHEN a THEN b WITHIN 9ms", "a0, a1, b2", "a1 b2"),
    "first": ("WHEN a THEN b WITHIN 9ms SELECT FIRST", "a0, a1, b2", "a0 b2"),
    "each": ("WHEN a THEN b WITHIN 9ms SELECT EACH", "a0, a1, b2", "a0 b2, a1 b2"),
    "runs that complete together are all used up": ("WHEN a THEN b WITHIN 9ms", "a0, a1, b2, b3", "a1 b2"),
    "the earliest choice is the evidence": ("WHEN a THEN b THEN c WITHIN 9ms", "a0, b1, b2, c3", "a0 b1 c3"),
    "a guard voids": ("WHEN a THEN b WITHOUT g WITHIN 9ms", "a0, g1, b2", ""),
    "a guard before the start does not": ("WHEN a THEN b WITHOUT g WITHIN 9ms", "g0, a0, b2", "a0 b2"),
    "a guard after the step does not": ("WHEN a THEN b WITHOUT g WITHIN 9ms", "a0, b2, g2", "a0 b2"),
    "a guard covers its gap only": (
        "WHEN a THEN b WITHOUT g THEN c WITHIN 9ms",
        "a0, b1, g2, c3",
        "a0 b1 c3",
    ),
    "guard and step at once is a guard": (
        "WHEN a THEN b WITHOUT b [x == 1] WITHIN 9ms",
        "a0, b1 x=1, b2",
        "",
    ),
    "guards act before selection": (
        "WHEN a AS s THEN b WITHOUT g [x == s.x] WITHIN 9ms",
        "a0 x=1, a1 x=2, g2 x=2, b3",
        "a0 b3",
    ),
    "a veto at both ends of its window": (
        "WHEN a THEN b WITHIN 5ms UNLESS g WITHIN 3ms BEFORE",
        "g7, a10, b11, g26, a30, b31, a40, b45, g45",
        "a30 b31",
    ),
    "a veto at the time of the match, behind it": ("WHEN a THEN b WITHIN 5ms UNLESS g", "a0, b1, g1", ""),
    "a veto after the match": ("WHEN a THEN b WITHIN 5ms UNLESS g", "a0, b1, g2", "a0 b1"),
    "a veto at the time of the start, before it": ("WHEN a THEN b WITHIN 5ms UNLESS g", "g0, a0, b1", ""),
    "an event of the match is a veto": ("WHEN a THEN b WITHIN 5ms UNLESS b [x == 1]", "a0, b1 x=1", ""),
    "an interval fits only whole": (
        "WHEN a THEN b WITHIN 5ms",
        "a10 start=4, b10, a30, b32 start=26, a50, b53 start=48",
        "a50 b53",
    ),
    "an interval after a minimum gap": (
        "WHEN a THEN AFTER 2ms b WITHIN 9ms",
        "a0, b4 start=1, a10, b14 start=12",
        "a10 b14",
    ),
    "a missing key field makes an event unused": (
        "BY device, k WHEN a THEN b WITHIN 5ms",
        "a0, b1 k=p, a2 k=p, b3, b4 k=q, b5 k=p",
        "a2 b5",
    ),
    "a type without the key reaches every run": (
        "BY device, k WHEN a THEN c WITHIN 5ms",
        "a0 k=p, a1 k=q, c2, a3 k=p d=d2",
        "a0 c2, a1 c2",
    ),
    "devices are apart": ("WHEN a THEN b WITHIN 5ms", "a0, b1 d=d2", ""),
    "a guard without the key voids every run": (
        "BY device, k WHEN a THEN b WITHOUT g WITHIN 5ms",
        "a0 k=p, a1 k=q, g2, b3 k=p, b4 k=q",
        "",
    ),
    "not over missing is false": ("WHEN a THEN b [NOT x == 1] WITHIN 5ms", "a0, b1, b2 x=2", "a0 b2"),
    "a comparison with a missing step field is false": (
        "WHEN a AS s THEN b [x != s.x] WITHIN 5ms",
        "a0, b1 x=1, a2 x=3, b3 x=1",
        "a2 b3",
    ),
    # Differences that this oracle found in the engine, each smallest.
    "a name of a branch not taken is missing": (
        "WHEN ONE OF (a [x == 1], a [x == 2] AS s) THEN b [s.x MISSING] WITHIN 5ms",
        "a0 x=1, b1, a10 x=2, b11",
        "a0 b1",
    ),
    "a veto reads the branch that was taken": (
        "WHEN a THEN ONE OF (b AS s, c THEN b) WITHIN 9ms UNLESS g [x == s.x]",
        "g0 x=1, a0, b1 x=1, c2 x=1, b3 x=1",
        "a0 c2 b3",
    ),
    "the branch that completes first counts": (
        "WHEN a THEN ONE OF (b THEN b, c) THEN g WITHIN 9ms",
        "a0, b1, c2, b3, g4",
        "a0 c2 g4",
    ),
    "of branches that complete together the first listed counts": (
        "WHEN a THEN ONE OF (c, b THEN c) WITHIN 9ms",
        "a0, b1, c2",
        "a0 c2",
    ),
    "and so the other way round": ("WHEN a THEN ONE OF (b THEN c, c) WITHIN 9ms", "a0, b1, c2", "a0 b1 c2"),
    "a choice that a veto would spare is kept": (
        "WHEN a THEN b AS s THEN c WITHIN 9ms UNLESS g [x == s.x]",
        "a0, g1 x=1, b2 x=1, b3 x=2, c4",
        "a0 b3 c4",
    ),
    "earlier in its first differing step is earlier": (
        "WHEN a THEN b AS s THEN c [x == s.x] THEN g WITHIN 9ms",
        "a0, b1 x=1, b2 x=2, c3 x=2, c4 x=1, g5",
        "a0 b1 c4 g5",
    ),
    "an interval in the middle does not displace earlier evidence": (
        "WHEN a THEN b THEN c WITHIN 9ms",
        "a5, b6 start=4, b7, c8",
        "a5 b6 c8",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_sentence(name: str) -> None:
    check(CASES[name])


def test_each_keeps_every_alert_when_starts_come_late() -> None:
    """Under EACH several alerts complete at one event; a late start must not take over the id of another."""
    ruleset = dsl.load_text(f"{DECLARATIONS} RULE r {{ WHEN a THEN b WITHIN 9ms SELECT EACH }}")
    placed = [(wire(text), place) for place, text in enumerate(["a0", "a1", "b2"], start=1)]
    alerts = flat(feed(ruleset, placed[::-1]))
    assert [alert.activity for alert in alerts] == ["create", "create"]
    assert len({alert.id for alert in alerts}) == 2
    assert [ids for _, ids in standing(alerts)] == [("a0", "b2"), ("a1", "b2")]


def test_late_is_inclusive_and_counts_from_the_clock() -> None:
    """Items 8 and 9: the clock of a type is the greatest time seen less GRACE; LATE counts from there."""
    text = "EVENT a GRACE 2ms LATE 10ms {} EVENT b {} RULE r { WHEN a THEN b WITHIN 9ms }"
    ruleset = dsl.load_text(text)
    just, over = [
        [(wire(word), place) for place, word in enumerate(["a100", late, "b95"], start=1)]
        for late in ("a88", "a87")
    ]
    assert [ids for _, ids in standing(flat(feed(ruleset, just)))] == [("a88", "b95")]
    assert flat(feed(ruleset, over)) == []
