"""Two rule sets on one recording: what appears, vanishes and changes, and what is paired with what."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import RULES, event, events, recording

import dsl
from engine.alerts import Alert, Change
from engine.matcher import Matcher
from engine.replay import Recording, Replay
from engine.report.compare import Comparison, Held, Side, compare, paired, renames, side
from engine.report.side_by_side import BothMatchers

EVENTS = "EVENT a { x: int k: string? } EVENT b { x: int k: string? } EVENT g { k: string? }\n"
RULE = "RULE r { WHEN a AS one THEN b AS two WITHIN 10s SEVERITY low }\n"


def compared(
    before: str, after: str, wires: list[dict[str, Any]] | None = None, most: int = 100, head: str = EVENTS
) -> Comparison:
    """The comparison of two rule sets over a recording, and that each side says what it says alone."""
    sets = [dsl.load_text(head + text) for text in (before, after)]
    for ruleset in sets:
        assert not ruleset.errors, [d.message for d in ruleset.errors]
    matchers = [Matcher(ruleset) for ruleset in sets]
    held = [Held(most), Held(most)]
    both = BothMatchers(matchers[0], matchers[1], held[0], held[1])
    data = recording(wires)
    replay = Replay(both, [Recording(BytesIO(data), "r", "ndjson")])
    assert list(replay.run()) == []
    for ruleset, one in zip(sets, held, strict=True):
        alone = Replay(Matcher(ruleset), [Recording(BytesIO(data), "r", "ndjson")])
        last = {alert.id: side(alert) for alert in alone.run()}
        for rule in ruleset.rules:
            found = one.all_of(rule)
            if found is not None:
                assert {a.id: a for a in found} == {k: a for k, a in last.items() if a.rule == rule}
    return compare(sets[0], sets[1], held[0], held[1])


def told(found: Comparison) -> list[tuple[str, str]]:
    return [(d.what, d.side.completed[1]) for d in found.differences]


STREAM = [
    event("a", "d1", 0, x=1, k="p"),
    event("b", "d1", 4_000, x=1, k="p"),
    event("a", "d1", 60_000, x=2, k="q"),
    event("b", "d1", 68_000, x=2, k="q"),
]


def test_the_same_rules_make_no_difference() -> None:
    found = compared(RULES, RULES, list(events()), head="")
    assert found.same
    assert found.differences == []
    assert {rule.rule: (rule.before, rule.after) for rule in found.rules}["any_panic"] == (12, 12)
    assert sum(rule.before for rule in found.rules) == 16


def test_a_narrower_window_makes_alerts_vanish() -> None:
    found = compared(RULE, RULE.replace("10s", "5s"), STREAM)
    assert told(found) == [("vanishes", "b-d1-68000")]
    assert found.differences[0].after is None
    assert [(r.before, r.after, r.vanishes, r.appears) for r in found.rules] == [(2, 1, 1, 0)]
    assert not found.same


def test_a_wider_filter_makes_alerts_appear() -> None:
    found = compared(RULE.replace("WHEN a", "WHEN a [x == 1]"), RULE, STREAM)
    assert told(found) == [("appears", "b-d1-68000")]
    assert found.differences[0].before is None


def test_a_severity_changes() -> None:
    found = compared(RULE, RULE.replace("low", "choose(two.x == 2, high, low)"), STREAM)
    assert [(d.what, d.changes) for d in found.differences] == [
        ("changes", [Change("severity", "low", "high")])
    ]


def test_a_risk_and_other_evidence_change() -> None:
    wires = [event("a", "d1", 0, x=1), event("a", "d1", 1_000, x=1), event("b", "d1", 2_000, x=1)]
    after = RULE.replace("SEVERITY low", "SELECT FIRST SEVERITY low RISK 5")
    found = compared(RULE, after, wires)
    assert [d.changes for d in found.differences] == [
        [Change("risk", None, 5.0), Change("evidence", "a-d1-1000, b-d1-2000", "a-d1-0, b-d1-2000")]
    ]


def test_an_alert_that_a_guard_closes_changes_its_status() -> None:
    """The guard is late: without it the alert stays open, with it there is one that was closed."""
    wires = [*STREAM[:2], event("g", "d1", 1_000)]
    found = compared(RULE, RULE.replace("SEVERITY", "UNLESS g SEVERITY"), wires)
    assert [(d.what, d.changes[0]) for d in found.differences] == [
        ("changes", Change("status", "open", "closed"))
    ]


def test_an_alert_that_completes_at_another_event_is_the_same_alert() -> None:
    """They share an event; the later step now wants another one."""
    wires = [event("a", "d1", 0, x=1), event("b", "d1", 1_000, x=1), event("b", "d1", 2_000, x=2)]
    found = compared(RULE, RULE.replace("b AS two", "b [x == 2] AS two"), wires)
    assert [d.what for d in found.differences] == ["changes"]
    assert [change.what for change in found.differences[0].changes] == ["time", "evidence"]


def test_a_change_of_by_is_a_change_of_key() -> None:
    found = compared(RULE, RULE.replace("WHEN", "BY device, k WHEN"), STREAM)
    assert [(d.what, d.changes) for d in found.differences] == [
        ("changes", [Change("key", "device d1", "device d1, k p")]),
        ("changes", [Change("key", "device d1", "device d1, k q")]),
    ]


@pytest.mark.parametrize(("gone", "left"), ["pq", "qp"])
def test_alerts_of_one_event_are_paired_by_their_key(gone: str, left: str) -> None:
    """One event of the device completes a match for each of its keys."""
    head = "EVENT a { k: string } EVENT c { x: int }\n"
    rule = "RULE r { BY device, k WHEN a THEN c WITHIN 10s SEVERITY low }\n"
    wires = [event("a", "d1", n, k=k) for n, k in enumerate((gone, left, gone, left))]
    wires.append(event("c", "d1", 5_000, x=1))
    after = rule.replace("WHEN a", f'SELECT FIRST WHEN a [k == "{left}"]')
    found = compared(rule, after, wires, head=head)
    assert {(d.what, dict(d.side.key)["k"]) for d in found.differences} == {
        ("vanishes", gone),
        ("changes", left),
    }


def test_alerts_that_share_an_event_are_paired_by_their_key() -> None:
    """An event of the device stands in the matches of both keys, and all of them complete elsewhere now."""
    head = "EVENT a { k: string } EVENT b { k: string x: int } EVENT c { x: int }\n"
    rule = "RULE r { BY device, k WHEN a THEN c THEN b WITHIN 1m SEVERITY low }\n"
    wires = [event("a", "d1", 0, k="p"), event("a", "d1", 1, k="q"), event("c", "d1", 2, x=1)]
    for after, key, x in ((9, "q", 1), (10, "p", 1), (19, "p", 2), (20, "q", 2)):
        wires.append(event("b", "d1", after * 1_000, k=key, x=x))
    found = compared(rule, rule.replace("THEN b", "THEN b [x == 2]"), wires, head=head)
    assert [(d.what, [change.what for change in d.changes]) for d in found.differences] == [
        ("changes", ["time", "evidence"]),
        ("changes", ["time", "evidence"]),
    ]


def test_names_of_steps_and_wording_are_no_difference() -> None:
    after = RULE.replace("AS one", "AS first").replace("r {", 'r "Other words" {')
    assert compared(RULE, after, STREAM).same


def test_a_renamed_rule_is_the_same_rule() -> None:
    found = compared(RULE, RULE.replace("RULE r", "RULE other name"), STREAM)
    assert found.same
    assert [(r.rule, r.was, r.removed) for r in found.rules] == [("other_name", "r", False)]


def test_a_rule_that_is_renamed_and_changed_is_another_rule() -> None:
    found = compared(RULE, RULE.replace("RULE r", "RULE q").replace("10s", "9s"), STREAM)
    assert [(d.what, d.rule) for d in found.differences] == [
        ("appears", "q"),
        ("vanishes", "r"),
        ("appears", "q"),
        ("vanishes", "r"),
    ]
    assert [(r.rule, r.was, r.removed) for r in found.rules] == [("q", "", False), ("r", "r", True)]


def test_two_rules_with_one_meaning_are_not_guessed_at() -> None:
    twice = RULE + RULE.replace("RULE r", "RULE s")
    one, other = (dsl.load_text(EVENTS + text) for text in (RULE, twice.replace("RULE r", "RULE t")))
    assert renames(one, other) == {}


def test_silences_are_paired_by_their_deadline() -> None:
    rule = "RULE r { WHEN a AS one THEN NO b FOR 5s SEVERITY low }\n"
    wires = [event("a", "d1", 0, x=1), event("a", "d1", 60_000, x=1)]
    assert compared(rule, rule, wires).same
    found = compared(rule, rule.replace("5s", "6s"), wires)
    assert [(d.what, [c.what for c in d.changes]) for d in found.differences] == [("changes", ["time"])]


def test_events_beyond_those_listed_are_counted() -> None:
    rule = "RULE r { WHEN AT LEAST 70 a IN 100s AS xs THEN b WITHIN 200s }\n"
    wires = [event("a", "d1", n * 1_000, x=n) for n in range(80)] + [event("b", "d1", 90_000, x=1)]
    found = compared(rule, rule.replace("a IN", "a [x != 3] IN"), wires)
    assert [d.changes for d in found.differences] == [[Change("events", 81, 80)]]


def test_a_rule_with_too_many_alerts_is_counted_only() -> None:
    wires = [event("a", "d1", n * 1_000, x=1) for n in range(30)]
    many = "RULE many { WHEN a SEVERITY low }\nRULE few { WHEN a [x == 2] }\n"
    found = compared(many, many, wires, most=20)
    assert [(r.rule, r.counted_only, r.before, r.after) for r in found.rules] == [
        ("few", False, 0, 0),
        ("many", True, 30, 30),
    ]
    assert found.differences == []
    assert not found.same, "what was not compared is not the same"


def test_each_side_reads_its_own_kinds_and_fields() -> None:
    """The declarations differ: a kind that one side does not know, a field that it refuses."""
    before = "EVENT a { x: int }\nRULE r { WHEN a SEVERITY low }\n"
    after = "EVENT a { x: string }\nEVENT c { y: int }\nRULE r { WHEN a [EXISTS x] }\nRULE s { WHEN c }\n"
    sets = [dsl.load_text(text) for text in (before.replace("WHEN a", "WHEN a [x > 0]"), after)]
    matchers = [Matcher(ruleset) for ruleset in sets]
    held = [Held(), Held()]
    both = BothMatchers(matchers[0], matchers[1], held[0], held[1])
    wires = [event("a", "d1", 0, x=1), event("a", "d1", 1, x="t"), event("c", "d1", 2, y=1)]
    wires += [event("a", "d1", 3, x=[]), event("z", "d1", 4)]
    replay = Replay(both, [Recording(BytesIO(recording(wires)), "r", "ndjson")])
    assert list(replay.run()) == []
    assert dict(both.decoder.refused) == {("before", "wrong_type"): 1, ("after", "wrong_type"): 1}
    assert (held[0].count("r"), held[1].count("r"), held[1].count("s")) == (1, 1, 1)
    assert replay.tally.events == 3
    assert replay.tally.refused == {"malformed_json": 1, "wrong_type": 1}
    assert replay.tally.unknown == {"unheard.of": 1, "z": 1}


def _side(number: int, key: str, completed: str, evidence: tuple[str, ...]) -> Side:
    return Side(
        id=f"id-{number}",
        rule="r",
        device="d",
        key=(("k", key),),
        time=f"2026-03-02T08:00:{number:02d}.000Z",
        status="open",
        severity="low",
        risk=None,
        confidence="high",
        title="t",
        completed=("b", completed),
        evidence=tuple(("s", "b", e) for e in (*evidence, completed)),
        count=1,
    )


names = st.sampled_from("abcd")
sides = st.lists(st.tuples(names, names, st.lists(names, max_size=2).map(tuple)), max_size=12)


@given(sides, sides)
@settings(max_examples=300, deadline=None)
def test_every_alert_is_told_once(
    before: list[tuple[str, str, tuple[str, ...]]], after: list[tuple[str, str, tuple[str, ...]]]
) -> None:
    old = [_side(n, *values) for n, values in enumerate(before)]
    new = [_side(n, *values) for n, values in enumerate(after)]
    pairs = list(paired(old, new))
    assert sorted(a.id for a, _ in pairs if a) == sorted(a.id for a in old)
    assert sorted(b.id for _, b in pairs if b) == sorted(b.id for b in new)
    for one, other in pairs:
        if one is not None and other is not None:
            assert one.completed == other.completed or one.events & other.events
    left = [
        (a, b) for a, _ in pairs if a for _, b in pairs if b and (a, None) in pairs and (None, b) in pairs
    ]
    assert not any(a.events & b.events for a, b in left), "what shares an event is a pair"


@given(sides)
def test_an_alert_is_paired_with_itself(given_sides: list[tuple[str, str, tuple[str, ...]]]) -> None:
    old = [_side(n, *values) for n, values in enumerate(given_sides)]
    for one, other in paired(old, list(old)):
        assert one is not None
        assert other is not None
        assert (one.key, one.completed, one.evidence) == (other.key, other.completed, other.evidence)


@pytest.mark.parametrize("field", ["title", "texts", "meta"])
def test_words_are_not_compared(field: str) -> None:
    ruleset = dsl.load_text(EVENTS + RULE)
    matcher = Matcher(ruleset)
    alerts: list[Alert] = []
    for wire in STREAM[:2]:
        alerts += matcher.feed_json(msgspec.json.encode(wire))
    held = [Held(), Held()]
    held[0].take(alerts[0])
    held[1].take(msgspec.structs.replace(alerts[0], **{field: "other" if field == "title" else {"x": "y"}}))
    assert compare(ruleset, ruleset, held[0], held[1]).same
