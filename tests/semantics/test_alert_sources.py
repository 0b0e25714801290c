"""ALERT sources (item 15): a rule over the alerts of another finds what the definition says when the
matches of that other are put among its events, at their completing time and place.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import sentences
from generate import DECLARATIONS, Case, RuleWriter, event_list
from hypothesis import settings
from oracle import matches
from running import Open, evidence, feed, flat, runnable, standing

import engine

SLICES = 2
BEHIND = 0.5
"""An alert stands just behind the event that completes it."""
OUTER = (
    "WHEN ALERT inner THEN gamma [x EXISTS] WITHIN 9ms",
    "WHEN gamma THEN ALERT inner WITHIN 9ms SELECT EACH",
    "WHEN gamma AS s THEN ALERT inner WITHOUT beta [x == s.x] WITHIN 9ms",
    "WHEN beta THEN gamma WITHIN 9ms UNLESS ALERT inner WITHIN 4ms BEFORE",
    "WHEN gamma THEN beta WITHOUT ALERT inner WITHIN 9ms SELECT FIRST",
    "WHEN ALERT inner AS s THEN NO gamma FOR 3ms",
    "WHEN gamma THEN NO ALERT inner FOR 4ms",
    "WHEN ALL OF (ALERT inner, gamma [x == 1]) WITHIN 6ms",
)
AT_ITS_EVENT = {
    "an alert behind the event that completes it voids a wait": (
        "WHEN c THEN NO ALERT inner FOR 4ms",
        [],
    ),
    "an alert and the event that completes it are two pieces of evidence": (
        "WHEN ALL OF (ALERT inner, c) WITHIN 6ms",
        [(("d1",), ("c2", "a0+c2"))],
    ),
}


def random_case(random: Random) -> Case:
    """Two rules, ``r`` over the alerts of ``inner``."""
    inner = RuleWriter(random, rest=random.randrange(2) == 0).rule().replace("RULE r {", "RULE inner {")
    keyed = "BY device, app WHEN" in inner
    outer = random.choice(OUTER)
    # Item 2: the first step must declare every key.
    by = "BY device, app " if keyed and outer.startswith("WHEN ALERT") else ""
    return Case(f"{DECLARATIONS}{inner}\nRULE r {{ {by}{outer} }}\n", event_list(random, most=10))


def told_apart(case: Case) -> bool:
    """Whether no two alerts of ``inner`` complete at one event: between those no order is defined."""
    moments = [match.moment for match in matches(case.ruleset, case.ruleset.rules["inner"], case.events)]
    return len(set(moments)) == len(moments)


def expected(case: Case) -> list[Open]:
    """The matches of ``r``; an alert in the evidence goes by the events of its own."""
    ruleset = case.ruleset
    inner = ruleset.rules["inner"]
    events: list[tuple[dict[str, Any], float]] = [*case.events]
    for match in matches(ruleset, inner, case.events):
        time, position = match.moment
        wire = {"kind": "alert:inner", "time": time, "id": "+".join(match.evidence)}
        wire |= dict(zip(inner.by, match.key, strict=True))
        events.append((wire, position + BEHIND))
    return sorted((m.key, m.evidence) for m in matches(ruleset, ruleset.rules["r"], events))


def got(case: Case, random: Random) -> list[Open]:
    """What stands of ``r`` after the events in some order."""
    arrival = case.in_order()
    if random.randrange(2):
        random.shuffle(arrival)
    alerts = flat(feed(case.ruleset, arrival))
    of_inner: dict[str, engine.Alert] = {a.id: a for a in alerts if a.rule.name == "inner"}
    named = {id_: "+".join(evidence(alert)) for id_, alert in of_inner.items()}
    stands = standing(alert for alert in alerts if alert.rule.name == "r")
    return sorted((key, tuple(named.get(id_, id_) for id_ in ids)) for key, ids in stands)


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_cases(part: int) -> None:
    count = settings().max_examples // SLICES
    matched = 0
    for number in range(count):
        seed = number * SLICES + part
        random = Random(seed)
        case = random_case(random)
        if not runnable(case.ruleset) or not told_apart(case):
            continue
        try:
            answer = expected(case)
            assert got(case, random) == answer
        except Exception as error:
            raise AssertionError(f"random_case(Random({seed}))") from error
        matched += bool(answer)
    assert count < 100 or matched >= count // 20


@pytest.mark.parametrize("name", AT_ITS_EVENT)
def test_an_alert_stands_behind_the_event_that_completes_it(name: str) -> None:
    rule, answer = AT_ITS_EVENT[name]
    inner = "RULE inner { WHEN a THEN c WITHIN 9ms }"
    text = f"{sentences.DECLARATIONS} {inner} RULE r {{ {rule} }}"
    case = Case(text, [(sentences.wire(word), place) for place, word in enumerate(("a0", "c2"), start=1)])
    assert expected(case) == answer
    assert got(case, Random(0)) == answer


def test_alerts_of_one_time_have_one_edge() -> None:
    inner = "RULE inner { WHEN a THEN a WITHIN 4ms SELECT FIRST }"
    text = f"{sentences.DECLARATIONS} {inner} RULE r {{ WHEN ALL OF (ALERT inner, g) WITHIN 9ms }}"
    words = ("g0", "a3", "a6", "a6'")
    case = Case(text, [(sentences.wire(word), place) for place, word in enumerate(words, start=1)])
    answer = [(("d1",), ("g0", "a3+a6"))]
    assert expected(case) == answer
    assert got(case, Random(0)) == answer
