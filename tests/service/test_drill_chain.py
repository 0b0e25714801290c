"""Which chain a drill injects, and when it says that there is none."""

from __future__ import annotations

from itertools import pairwise
from math import expm1

import pytest

import dsl
from engine import packs
from engine.service.drill_chain import Chain, NotDrillable, chain_for

NOW = 1_800_000_000_000
MINUTE = 60_000
EVENTS = """
EVENT net flow GRACE 5m LATE 24h { app: string bytes_out: int UNIT bytes }
EVENT app exit GRACE 5m LATE 24h { app: string class: string? }
LIST odd = ["x"]
PARAM limit = 1MB "ours"
BASELINE egress = bytes_out OF net flow BY device, app EVERY 5m USING robust WARMUP 10 PEER app
BASELINE hosts = app OF net flow BY device USING novelty
RULE r { BY device, app WHEN net flow [bytes_out > limit] THEN app exit WITHIN 10m }
RULE slow { WHEN net flow [bytes_out > 1MB] THEN NO app exit FOR 10m }
RULE odd one { WHEN net flow [app IN LIST odd] THEN app exit WITHIN 10m }
RULE new one { WHEN net flow [unseen(hosts)] THEN app exit WITHIN 10m }
RULE spike { BY device, app WHEN net flow [deviation(egress) > 4] THEN app exit WITHIN 10m }
RULE fleet { BY app WHEN AT LEAST 2 DISTINCT device OF ALERT r IN 1d }
"""
FIRES = """
TEST "fires" FOR r {
  AT 0s net flow { app: "a" bytes_out: 2_000_000 }
  AT 3m net flow { device: "other" app: "a" bytes_out: 5 }
  AT 5m app exit { app: "a" }
  EXPECT ALERT @5m
}
"""


def rules(text: str) -> dsl.RuleSet:
    ruleset = dsl.load_text(EVENTS + text)
    assert not ruleset.errors, ruleset.errors
    return ruleset


def chain(text: str, rule: str = "r") -> Chain:
    return chain_for(rules(text), rule, "canary-1", NOW)


def test_the_last_event_is_now_and_the_device_is_the_canary() -> None:
    found = chain(FIRES)
    assert [(e["device"], NOW - e["time"]) for e in found.events] == [
        ("canary-1", 5 * MINUTE),
        ("canary-1-other", 2 * MINUTE),
        ("canary-1", 0),
    ]
    assert {e["source"] for e in found.events} == {"thenwire.drill"}
    assert len({e["id"] for e in found.events}) == 3
    assert (found.training, found.test, found.kinds) == ((), "fires", ("net.flow", "app.exit"))


def test_a_late_event_is_published_last() -> None:
    late = FIRES.replace("AT 0s net flow", "AT 0s ARRIVES 6h net flow")
    assert [e["kind"] for e in chain(late).events] == ["net.flow", "app.exit", "net.flow"]


def test_a_test_without_a_baseline_goes_first() -> None:
    rule = """
    RULE both { WHEN net flow [bytes_out > 1MB OR deviation(egress) > 4] THEN app exit WITHIN 10m }
    TEST "with" FOR both { GIVEN egress FOR ("d1", "a") = { center: 10.0 spread: 0.4 n: 99 }
      AT 0s net flow { app: "a" bytes_out: 9_000_000 } AT 1m app exit { app: "a" } EXPECT ALERT @1m }
    TEST "without" FOR both {
      AT 0s net flow { app: "a" bytes_out: 9_000_000 } AT 1m app exit { app: "a" } EXPECT ALERT @1m }
    """
    found = chain(rule, "both")
    assert (found.test, found.training) == ("without", ())


def test_a_baseline_is_trained_to_what_the_test_gives() -> None:
    spike = """
    TEST "with" FOR spike { GIVEN egress FOR ("d1", "a") = { center: 10.0 spread: 0.4 n: 99 }
      AT 0s net flow { app: "a" bytes_out: 9_000_000 } AT 1m app exit { app: "a" } EXPECT ALERT @1m }
    """
    found = chain(spike, "spike")
    assert len(found.training) == 12
    assert {e["bytes_out"] for e in found.training} == {round(expm1(10.0))}
    times = [e["time"] for e in found.training]
    assert {b - a for a, b in pairwise(times)} == {5 * MINUTE}
    assert times[-1] < found.events[0]["time"]


def test_what_is_given_for_the_fleet_is_trained_on_the_canary() -> None:
    peer = """
    TEST "peer" FOR spike { GIVEN egress FOR "a" = { center: 10.0 spread: 0.4 n: 99 }
      AT 0s net flow { app: "a" bytes_out: 9_000_000 } AT 1m app exit { app: "a" } EXPECT ALERT @1m }
    """
    assert {e["device"] for e in chain(peer, "spike").training} == {"canary-1"}


def test_the_shipped_rule_can_be_drilled() -> None:
    mobile = dsl.load([packs.rules_folder() / "mobile"])
    found = chain_for(mobile, "an1756 ios", "canary-1", NOW)
    assert (found.severity, len(found.training), found.kinds) == ("high", 32, ("net.flow", "app.exit"))


def test_params_as_the_service_has_them_are_no_obstacle() -> None:
    given = FIRES.replace("{\n", "{\n GIVEN PARAM limit = 3KB\n", 1)
    with pytest.raises(NotDrillable, match="other values than the service was given"):
        chain(given)
    set_ = dsl.load([packs.rules_folder() / "mobile"], {"quick.publishes": True})
    assert chain_for(set_, "quick", "canary-1", NOW).severity == "low"


@pytest.mark.parametrize(
    ("text", "rule", "why"),
    [
        ("", "nothing", "no rule `nothing`; there are: r, slow"),
        ("", "r", "no TEST that expects an alert"),
        (FIRES.replace("EXPECT ALERT @5m", "EXPECT NONE"), "r", "no TEST that expects an alert"),
        ("", "fleet", "about no device in particular"),
        (
            'TEST "t" FOR slow { AT 0s net flow { app: "a" bytes_out: 2_000_000 } CLOCK 20m '
            "EXPECT ALERT @10m }",
            "slow",
            "it sets the clock",
        ),
        (
            'TEST "t" FOR odd one { GIVEN LIST odd = ["a"] AT 0s net flow { app: "a" bytes_out: 1 } '
            'AT 1m app exit { app: "a" } EXPECT ALERT @1m }',
            "odd one",
            "it sets LISTs",
        ),
        (
            'TEST "t" FOR new one { GIVEN hosts FOR "d1" = { seen: ["b"] } '
            'AT 0s net flow { app: "a" bytes_out: 1 } AT 1m app exit { app: "a" } EXPECT ALERT @1m }',
            "new one",
            "USING novelty.*blind to a drill",
        ),
        (
            FIRES.replace("AT 5m app exit", "AT 48h app exit"),
            "r",
            "reaches back 2d, and net.flow is waited for",
        ),
        (FIRES.replace("AT 5m app exit", "AT 11m app exit"), "r", "raises no alert"),
    ],
)
def test_no_chain_is_said_with_its_reason(text: str, rule: str, why: str) -> None:
    with pytest.raises(NotDrillable, match=why):
        chain(text, rule)
