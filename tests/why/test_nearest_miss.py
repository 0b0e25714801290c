"""The nearest miss: for each thing that can be in the way, a small case and the sentence about it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from generate import random_case

import dsl
from dsl import model as m
from engine.matcher import Matcher
from engine.why import Input, NearestMiss, nearest_miss

DECLARATIONS = """
EVENT flow { app: string? n: int? bytes: int? UNIT bytes }
EVENT app exit { app: string? class: string? }
EVENT os update GRACE 0s LATE 1h { v: int? }
EVENT posture { bad: bool? }
EVENT check in GRACE 1m { b: int? }
LIST bad classes = ["guard", "codesign"]
SIGNAL anomaly = app exit [class IN LIST bad classes] OR posture [bad]
BASELINE usual = bytes OF flow BY device EVERY 5m USING robust
"""
DAMAGE = 'app exit [class == "x"]'


def ruleset(clauses: str) -> m.RuleSet:
    rules = dsl.load_text(DECLARATIONS + "RULE r { " + clauses + " }")
    assert not rules.errors, [d.message for d in rules.errors]
    return rules


def inputs(events: str) -> list[Input]:
    """``60 app.exit class=x; CLOCK 90``: seconds, kind, fields; ``60<9`` comes at 60 and happened at 9."""
    found: list[Input] = []
    for place, text in enumerate(events.split("; "), 1):
        when, kind, *fields = text.split()
        if when == "CLOCK":
            found.append(Input(None, place << 20, int(kind) * 1000))
            continue
        arrives, _, time = when.rpartition("<")
        wire: dict[str, Any] = {"kind": kind, "device": "d1", "time": int(time) * 1000, "id": f"e{place}"}
        for field in fields:
            name, _, value = field.partition("=")
            truths = {"true": True, "false": False}
            wire[name] = truths.get(value, int(value) if value.isdigit() else value)
        found.append(Input(wire, place << 20, int(time) * 1000, int(arrives or time) * 1000))
    return found


def miss_of(clauses: str, events: str) -> NearestMiss | None:
    return nearest_miss(ruleset(clauses), "r", inputs(events), when=lambda ms: f"{ms // 1000}s")


CHAIN = "BY device, app WHEN flow [n > 5] THEN anomaly WITHIN 10m"
RELATED = 'WHEN flow AS t THEN app exit [class == "x" AND app == t.app] WITHIN 10m'

CASES = {
    # one term of a filter
    "a list": (
        CHAIN,
        "0 flow n=9 app=a; 60 app.exit app=a class=watchdog",
        "step 2 of 2, `anomaly`: app exit at 60s: `class is in the list bad classes` was false: "
        'class was "watchdog"',
    ),
    "a number in the first step": (
        CHAIN,
        "0 flow n=3 app=a; 60 app.exit app=a class=guard",
        "step 1 of 2, `flow [n > 5]`: flow at 0s: `n is more than 5` was false: n was 3",
    ),
    "a missing field": (
        CHAIN,
        "0 flow app=a; 60 app.exit app=a class=guard",
        "step 1 of 2, `flow [n > 5]`: flow at 0s: `n is more than 5` was false: n was missing",
    ),
    "a term that reads another step": (
        RELATED,
        "0 flow app=q; 3 app.exit class=x app=z",
        'step 2 of 2, `app exit [class == "x" AND app == t.app]`: app exit at 3s: `app is t.app` was false: '
        'app was "z" and t.app was "q"',
    ),
    "a deviation of a key that is cold": (
        "WHEN flow [deviation(usual) >= 4]",
        "0 flow bytes=5",
        "step 1 of 1, `flow [deviation(usual) >= 4]`: flow at 0s: `the deviation from usual is at least 4` "
        "was false: the deviation from usual was missing",
    ),
    # bounds
    "WITHIN": (
        CHAIN,
        "0 flow n=9 app=a; 720 app.exit app=a class=guard",
        "step 2 of 2, `anomaly`: app exit at 720s came 2m after the bound of 10m",
    ),
    "the nearest of several that are too late": (
        CHAIN,
        "0 flow n=9 app=a; 30 flow n=9 app=a; 720 app.exit app=a class=guard; 800 app.exit app=a class=guard",
        "step 2 of 2, `anomaly`: app exit at 720s came 1m30s after the bound of 10m",
    ),
    "WITHIN over three steps": (
        "WHEN flow THEN posture [bad] THEN app exit WITHIN 10m",
        "0 flow; 300 posture bad=true; 720 app.exit",
        "step 3 of 3, `app exit`: app exit at 720s came 2m after the bound of 10m",
    ),
    "a gap": (
        "WHEN flow THEN WITHIN 5s posture [bad] THEN WITHIN 5s app exit",
        "0 flow; 3 posture bad=true; 15 app.exit",
        "step 3 of 3, `app exit`: app exit at 15s came 7s after the bound of 5s",
    ),
    "a least gap": (
        "WHEN flow THEN AFTER 5s posture [bad] WITHIN 10m",
        "0 flow; 3 posture bad=true",
        "step 2 of 2, `posture [bad]`: posture at 3s came 2s before the least gap of 5s was over",
    ),
    "WITHIN of a group": (
        "WHEN flow THEN (posture [bad] THEN app exit WITHIN 5s) WITHIN 1m",
        "0 flow; 3 posture bad=true; 15 app.exit",
        "step 3 of 3, `app exit`: app exit at 15s came 7s after the bound of 5s",
    ),
    # keys
    "another app": (
        CHAIN,
        "0 flow n=9 app=a; 72 app.exit app=b class=guard",
        'step 2 of 2, `anomaly`: app exit at 72s has another `app`: "b", the run has "a"',
    ),
    "no app": (
        CHAIN,
        "0 flow n=9 app=a; 72 app.exit class=guard",
        "step 2 of 2, `anomaly`: app exit at 72s has no `app`, which is a key of the rule",
    ),
    "another device": (
        CHAIN,
        "0 flow n=9 app=a; 72 app.exit app=a class=guard device=d2",
        'step 2 of 2, `anomaly`: app exit at 72s is of device "d2", the run of "d1"',
    ),
    # guards
    "WITHOUT": (
        "WHEN flow THEN posture [bad] WITHOUT os update WITHIN 10m",
        "0 flow; 100 os.update; 150 posture bad=true",
        "step 2 of 2, `posture [bad]`: guard `os update`: os update at 100s voided it",
    ),
    "WITHOUT .. FOR": (
        "WHEN flow [n > 1] WITHOUT os update FOR 1m THEN posture WITHIN 10m",
        "0 os.update; 40 flow n=2; 60 posture",
        "step 1 of 2, `flow [n > 1]`: guard `os update`: os update at 0s voided it",
    ),
    "UNLESS": (
        "WHEN flow THEN posture [bad] WITHIN 10m UNLESS os update WITHIN 72h BEFORE",
        "0 os.update; 100 flow; 150 posture bad=true",
        "every step is there, but UNLESS `os update` voids it (WITHIN 3d BEFORE): os update at 0s",
    ),
    "NO before": (
        "WHEN NO os update FOR 1h THEN flow [n > 3]",
        "0 os.update; 3 flow n=7",
        "step 2 of 2, `flow [n > 3]`: `NO os update`: os update at 0s voided it",
    ),
    "NO after": (
        "WHEN flow THEN NO check in FOR 30s THEN posture WITHIN 10m",
        "0 flow; 20 check.in; 40 posture",
        "step 2 of 3, `NO check in`: check in at 20s broke the silence",
    ),
    "NO before the clock": (
        "WHEN flow THEN NO check in FOR 30s",
        "0 flow",
        "every step is there, and the silence lasts until 30s, but no clock has passed that yet",
    ),
    # nothing there
    "no such event": (
        CHAIN,
        "0 flow n=9 app=a",
        "step 2 of 2, `anomaly`: there was no `app exit` or `posture` at all",
    ),
    "none after": (
        CHAIN,
        "0 app.exit app=a class=guard; 3 flow n=9 app=a",
        "step 2 of 2, `anomaly`: no `app exit` or `posture` came after `flow [n > 5]` at 3s",
    ),
    # several in the way
    "two terms": (
        RELATED,
        "0 flow app=q; 3 app.exit class=y app=z",
        'step 2 of 2, `app exit [class == "x" AND app == t.app]`: the nearest is app exit at 3s, but '
        '`class is "x"` and `app is t.app` were false',
    ),
    "a term and the time": (
        f"WHEN flow THEN {DAMAGE} WITHIN 10m",
        "0 flow app=q; 800 app.exit class=y",
        f"step 2 of 2, `{DAMAGE}`: the nearest is app exit at 800s, but "
        '`class is "x"` was false and the time does not fit',
    ),
    # steps of several events
    "AT LEAST": (
        "WHEN AT LEAST 5 flow [n > 3] IN 1m",
        "0 flow n=9; 1 flow n=9; 2 flow n=9; 3 flow n=3",
        "step 1 of 1, `AT LEAST 5 flow [n > 3]`: 3 of the 5 events that it wants came together",
    ),
    "AT LEAST, none": (
        "WHEN AT LEAST 5 flow [n > 3] IN 1m",
        "0 flow n=1",
        "step 1 of 1, `AT LEAST 5 flow [n > 3]`: flow at 0s: `n is more than 3` was false: n was 1",
    ),
    "DISTINCT": (
        "WHEN AT LEAST 3 DISTINCT app OF flow IN 1m",
        "0 flow app=a; 1 flow app=a; 2 flow app=b",
        "step 1 of 1, `AT LEAST 3 flow`: 2 of the 3 values of app that it wants came together",
    ),
    "SUM": (
        "WHEN AT LEAST 1_024 SUM n OF flow IN 1m",
        "0 flow n=500; 1 flow n=12",
        "step 1 of 1, `AT LEAST 1,024 flow`: "
        "about 512 of the 1,024 as the sum of n that it wants came together",
    ),
    "a branch of ALL OF": (
        f"WHEN ALL OF (flow [n > 5], {DAMAGE}, posture [bad]) WITHIN 1m",
        "0 flow n=7; 3 posture bad=true; 10 app.exit class=y",
        f"step 1 of 1, `ALL OF`: 2 of 3 branches are there; of the next, `{DAMAGE}`: app exit at 10s: "
        '`class is "x"` was false: class was "y"',
    ),
    "ALL OF, too far apart": (
        f"WHEN ALL OF (flow [n > 5], {DAMAGE}) WITHIN 1m",
        "0 flow n=7; 100 app.exit class=x",
        "step 1 of 1, `ALL OF`: app exit at 100s came 40s after the bound of 1m",
    ),
    "the branch of ONE OF that got furthest": (
        f"WHEN flow THEN ONE OF ({DAMAGE} AS a THEN posture, posture [bad] AS b) "
        "THEN check in [b > 1 AND a.app MISSING] WITHIN 1m",
        "0 flow; 3 app.exit class=x; 5 posture bad=false; 8 check.in b=1",
        "step 4 of 4, `check in [b > 1 AND a.app MISSING]`: check in at 8s: "
        "`b is more than 1` was false: b was 1",
    ),
    "a filter that reads a branch not taken": (
        f"WHEN flow THEN ONE OF ({DAMAGE} AS a, posture [bad]) "
        "THEN check in [b > 1 AND a.app MISSING] WITHIN 1m",
        "0 flow; 5 posture bad=true; 8 check.in b=1",
        "step 3 of 3, `check in [b > 1 AND a.app MISSING]`: check in at 8s: "
        "`b is more than 1` was false: b was 1",
    ),
    # nothing in the way
    "an alert": (CHAIN, "0 flow n=9 app=a; 60 app.exit app=a class=guard", None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_sentence(name: str) -> None:
    clauses, events, sentence = CASES[name]
    found = miss_of(clauses, events)
    assert (None if found is None else found.sentence) == sentence


def test_what_programs_read() -> None:
    found = miss_of(CHAIN, "0 flow n=9 app=a; 720 app.exit app=a class=guard")
    assert found is not None
    assert (found.what, found.step, found.steps, found.name) == ("bound", 2, 2, "anomaly")
    assert (found.kind, found.time_ms, found.missed_by_ms) == ("app.exit", 720_000, 120_000)
    assert [(step.step, step.time_ms) for step in found.passed] == [("flow [n > 5]", 0)]
    found = miss_of(CHAIN, "0 flow n=9 app=a; 72 app.exit app=a class=guards")
    assert found is not None
    assert (found.what, found.condition) == ("filter", "class is in the list bad classes")
    assert found.values == {"class": "guards"}


def test_lateness_is_named() -> None:
    clauses = "WHEN os update [v == 2] THEN flow WITHIN 10m"
    found = miss_of(clauses, "7200 os.update v=1; 7300<100 os.update v=2; 7300<200 flow")
    assert found is not None
    assert found.what == "late"
    assert "os update at 100s came later than LATE" in found.sentence


def test_alerts_of_other_rules_count() -> None:
    rules = dsl.load_text(
        DECLARATIONS
        + "RULE inner { WHEN flow [n > 5] } RULE r { WHEN ALERT inner THEN ALERT inner WITHIN 1m }"
    )
    found = nearest_miss(rules, "r", inputs("0 flow n=9; 90 flow n=9"), when=lambda ms: f"{ms // 1000}s")
    assert found is not None
    assert found.sentence == "step 2 of 2, `ALERT inner`: an alert at 90s came 30s after the bound of 1m"


def test_an_unknown_rule_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        nearest_miss(ruleset(CHAIN), "q", [])


def test_one_branch_may_stand_where_another_is_voided() -> None:
    rule = "WHEN ONE OF (flow [n > 5] THEN posture WITHIN 1m, check in) UNLESS os update"
    assert miss_of(rule, "0 flow n=9; 5 os.update; 10 posture") is not None
    assert miss_of(rule, "0 flow n=9; 5 os.update; 10 posture; 20 check.in") is None


def test_it_knows_of_a_miss_just_where_the_engine_has_no_alert() -> None:
    """Random rules of every construct: there is a miss if and only if nothing stands at the end."""
    outcomes: set[bool] = set()
    for seed in range(60):
        case = random_case(Random(seed))
        rules = case.ruleset
        matcher = Matcher(rules)
        if rules.errors or matcher.diagnostics:
            continue
        standing: set[str] = set()
        for wire, position in case.in_order():
            event = matcher.decoder.convert(wire)
            for alert in [] if event is None else matcher.feed(event, position):
                (standing.discard if alert.activity == "close" else standing.add)(alert.id)
        inputs_ = [Input(wire, position, wire["time"]) for wire, position in case.in_order()]
        found = nearest_miss(rules, "r", inputs_)
        assert (found is None) == bool(standing), (seed, found)
        outcomes.add(found is None)
    assert outcomes == {True, False}


def test_the_work_is_bounded() -> None:
    """Sixty steps that no event fits cost a few hundred questions at most, and an answer comes."""
    steps = " THEN ".join(f'flow [n == {i} AND bytes > {i} AND app != "{i}"]' for i in range(60))
    found = miss_of(f"WHEN {steps} WITHIN 1h", "; ".join(f"{i} flow n={i}" for i in range(50)))
    assert found is not None
    assert found.step == 1
