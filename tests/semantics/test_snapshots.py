"""Snapshot and restore at any point change nothing: not one byte of what is said afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from generate import Case
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import Input, tell, with_clocks
from running import runnable
from test_deliveries import any_case, suppressing

import dsl
import engine
from dsl import model as m
from engine.baselines.declared import OtherState

SLICES = 2
FEWER = settings(max_examples=max(1, settings().max_examples // 3))


def said(ruleset: m.RuleSet, items: Sequence[Input], stops: frozenset[int] = frozenset()) -> list[bytes]:
    """What is said; before the items of these numbers the matcher is replaced by one restored."""
    matcher = engine.Matcher(ruleset)
    out: list[bytes] = []
    for number, item in enumerate(items):
        if number in stops:
            state = matcher.snapshot()
            matcher = engine.Matcher(ruleset)
            matcher.restore(state)
            assert matcher.snapshot() == state
        out += [engine.encode(alert) for alert in tell(matcher, item)]
    if len(items) in stops:
        state = matcher.snapshot()
        matcher = engine.Matcher(ruleset)
        matcher.restore(state)
    out += [engine.encode(alert) for alert in matcher.close()]
    counts = {name: repr(count) for name, count in matcher.rule_counts().items()}
    return [*out, repr(counts).encode(), repr(matcher.counts).encode()]


def check(case: Case, random: Random) -> int:
    """Gives how many alerts there were."""
    if not runnable(case.ruleset):
        return 0
    arrival = case.in_order()
    if random.randrange(3):
        random.shuffle(arrival)
    items = with_clocks(random, arrival)
    whole = said(case.ruleset, items)
    once = frozenset({random.randint(0, len(items))})
    assert said(case.ruleset, items, once) == whole
    everywhere = frozenset(range(len(items) + 1))
    assert said(case.ruleset, items, everywhere) == whole
    return len(whole) - 2


@FEWER
@given(st.randoms(use_true_random=False))
def test_generated_cases(random: Random) -> None:
    check(any_case(random), random)


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_cases(part: int) -> None:
    alerts = 0
    count = settings().max_examples // SLICES
    for number in range(count):
        seed = number * SLICES + part
        random = Random(seed)
        case = any_case(random)
        try:
            alerts += check(case, random)
            alerts += check(suppressing(case, random), random)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert count < 50 or alerts > count


RULES = """
EVENT flow { app: string?  bytes_out: int?  host: string? }
EVENT crash { app: string? }
BASELINE egress = bytes_out OF flow BY device, app EVERY 1s USING robust WARMUP 3 PEER app
BASELINE hosts = host OF flow BY device USING novelty
RULE odd { BY device, app  WHEN flow [deviation(egress) >= 2 OR unseen(hosts)] THEN crash WITHIN 20s }
RULE fleet { BY severity  WHEN AT LEAST 2 DISTINCT device OF ALERT odd IN 1m }
"""


def test_baselines_and_alerts_of_alerts_go_on() -> None:
    ruleset = dsl.load_text(RULES)
    random = Random(5)
    events: list[Input] = []
    for number in range(400):
        event = {
            "kind": "flow" if random.randrange(5) else "crash",
            "device": f"d{random.randrange(3)}",
            "time": 1_000_000 + number * 300 - random.choice([0, 0, 0, 5_000]),
            "id": f"e{number}",
            "app": random.choice("ab"),
        }
        if event["kind"] == "flow":
            event |= {"bytes_out": random.choice([10, 12, 11, 5_000]), "host": f"h{random.randrange(40)}"}
        events.append((event, number + 1))
    whole = said(ruleset, events)
    assert len(whole) > 20
    assert said(ruleset, events, frozenset(range(0, 400, 7))) == whole


def test_the_state_of_other_rules_is_refused() -> None:
    one, other = dsl.load_text(RULES), dsl.load_text(RULES.replace("20s", "21s"))
    state = engine.Matcher(one).snapshot()
    with pytest.raises(OtherState, match="other rules"):
        engine.Matcher(other).restore(state)
    with pytest.raises(OtherState, match="damaged"):
        engine.Matcher(one).restore(state[: len(state) // 2])
    with pytest.raises(OtherState, match="damaged"):
        engine.Matcher(one).restore(b"nonsense")


def test_a_change_of_title_keeps_the_state() -> None:
    one = dsl.load_text(RULES)
    other = dsl.load_text(RULES.replace("RULE odd {", 'RULE odd "Another title" {'))
    engine.Matcher(other).restore(engine.Matcher(one).snapshot())
