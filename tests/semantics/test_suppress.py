"""SUPPRESS: what is published, what is only counted, and what follows a close."""

from __future__ import annotations

from random import Random

from generate import Case, random_case
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import Match, matches
from running import evidence, feed, flat, runnable, standing
from suppression import published

import dsl

FEWER = settings(max_examples=max(1, settings().max_examples // 3))

DECLARATIONS = """
EVENT a { x: int? }
EVENT b { x: int? }
EVENT g { x: int? }
"""


def placed(*words: str) -> list[tuple[dict[str, object], int]]:
    return [
        ({"kind": word[0], "device": "d1", "time": int(word[1:]), "id": word}, place)
        for place, word in enumerate(words, start=1)
    ]


@st.composite
def suppressing(draw: st.DrawFn) -> tuple[Case, int, bool]:
    """A case whose rule suppresses, for how long, and whether PER device instead of by the keys."""
    random: Random = draw(st.randoms(use_true_random=False))
    # When a silence is published depends on the clocks, not on its deadline alone.
    case = random_case(random, most=12, rest=False)
    duration, per_device = random.randint(1, 6), random.randrange(2) == 1
    body = "\n".join(line for line in case.text.splitlines() if not line.startswith("  UNLESS"))
    clause = f"  SUPPRESS {duration}ms{' PER device' if per_device else ''}\n}}"
    assert body.endswith("}")
    return Case(body[:-1] + clause, case.events), duration, per_device


@FEWER
@given(suppressing())
def test_suppressed_matches_are_counted_not_published(drawn: tuple[Case, int, bool]) -> None:
    case, duration, per_device = drawn
    ruleset = case.ruleset
    if not runnable(ruleset):
        return
    ordered = case.in_order()
    starts = {wire["id"]: place for place, (wire, _) in enumerate(ordered)}
    # At one event the alerts are published in the order in which their runs began.
    found = matches(ruleset, ruleset.rules["r"], case.events)
    found.sort(key=lambda match: (match.moment, starts[match.evidence[0]]))
    device = {wire["id"]: str(wire["device"]) for wire, _ in ordered}

    def group_of(match: Match) -> tuple[str, ...]:
        return (device[match.evidence[0]],) if per_device else match.key

    moments = [(match.moment, group_of(match)) for match in found]
    # Where two keys complete at one event and share a group, no order between them is defined.
    assume(ruleset.rules["r"].by == ("device",) or not per_device or len(set(moments)) == len(moments))
    expected = published(found, duration, group_of)
    alerts = flat(feed(ruleset, ordered))
    assert [alert.activity for alert in alerts] == ["create"] * len(expected)
    got = sorted((evidence(alert), alert.dedup.suppressed) for alert in alerts)
    assert got == sorted((match.evidence, count) for match, count in expected)


def test_the_time_is_inclusive_and_the_next_alert_carries_the_count() -> None:
    ruleset = dsl.load_text(f"{DECLARATIONS} RULE r {{ WHEN a THEN b WITHIN 2ms SUPPRESS 10ms }}")
    alerts = flat(feed(ruleset, placed("a0", "b1", "a4", "b5", "a10", "b11", "a11", "b12")))
    assert [(evidence(a), a.dedup.suppressed) for a in alerts] == [(("a0", "b1"), 0), (("a11", "b12"), 2)]


def test_closing_an_alert_publishes_the_first_match_it_suppressed() -> None:
    ruleset = dsl.load_text(f"{DECLARATIONS} RULE r {{ WHEN a THEN b WITHOUT g WITHIN 4ms SUPPRESS 10ms }}")
    events = placed("a0", "g1", "b2", "a4", "b5", "a6", "b7")
    in_order, late = [e for e in events if e[0]["id"] != "g1"], events[1]
    alerts = flat(feed(ruleset, [*in_order, late]))
    assert [(a.activity, evidence(a)) for a in alerts] == [
        ("create", ("a0", "b2")),
        ("close", ("a0", "b2")),
        ("create", ("a4", "b5")),
    ]


def test_what_falls_under_the_alert_handed_over_to_is_counted_once() -> None:
    """Of three matches the second takes over; the third was counted under the first, now under it."""
    ruleset = dsl.load_text(f"{DECLARATIONS} RULE r {{ WHEN a THEN b WITHOUT g WITHIN 5ms SUPPRESS 60ms }}")
    words = ("a10", "b12", "a30", "b32", "a40", "b42", "g11", "a150", "b151")
    alerts = flat(feed(ruleset, placed(*words)))
    created = [(evidence(a), a.dedup.suppressed) for a in alerts if a.activity == "create"]
    assert created == [(("a10", "b12"), 0), (("a30", "b32"), 0), (("a150", "b151"), 1)]


def test_a_published_alert_is_not_closed_by_suppression() -> None:
    """A match that comes to light earlier than a published one is itself the suppressed one."""
    ruleset = dsl.load_text(f"{DECLARATIONS} RULE r {{ WHEN a THEN b WITHIN 2ms SUPPRESS 10ms }}")
    alerts = flat(feed(ruleset, placed("a6", "b7", "a0", "b1")))
    assert standing(alerts) == [(("d1",), ("a6", "b7"))]
    assert len(alerts) == 1
