"""The demo through the engine: the chains alert, and nothing else does."""

from functools import cache
from pathlib import Path

import msgspec
import pytest

import dsl
from engine.alerts import Alert
from engine.demo import scenario
from engine.demo.real import real_events
from engine.matcher import Matcher
from engine.sources import Record

RULES = Path(__file__).resolve().parents[2] / "rules"


@cache
def run(seed: int, quick: bool = False) -> tuple[Matcher, tuple[Alert, ...]]:
    """Everything of the demo in the order of its times: the real part lies years before the synthetic one."""
    matcher = Matcher(dsl.load([RULES], {"quick.publishes": quick}))
    events = [answer.event for answer in real_events() if isinstance(answer, Record)]
    events += scenario.events(seed)
    alerts = [alert for event in events for alert in matcher.feed_json(msgspec.json.encode(event))]
    return matcher, tuple(alerts)


@pytest.mark.parametrize("seed", range(1, 6))
def test_exactly_the_chains_alert_each_once_and_with_its_severity(seed: int) -> None:
    found = sorted((alert.device, alert.severity) for alert in run(seed)[1])
    assert found == [(chain.device, chain.severity) for chain in scenario.CHAINS]


def test_every_alert_is_of_the_rule_for_the_analytic_and_says_that_it_is_synthetic() -> None:
    for alert in run(1)[1]:
        assert alert.rule.name == "an1756_ios"
        assert alert.activity == "create"
        assert alert.attack == {
            "analytics": ["AN1756"],
            "version": "19.1",
            "strategy": "DET0663",
            "techniques": [],
        }
        assert {step.source for step in alert.steps} == {"synthetic"}
        assert alert.risk is not None
        assert 40 <= alert.risk <= 100
        assert set(alert.response) == {"preserve", "isolate", "isolate_when", "access_review", "do_not"}


def test_each_alert_has_its_reasons_in_numbers() -> None:
    alert = next(alert for alert in run(1)[1] if alert.device == "synthetic-01")
    assert alert.title == "com.example.chat on synthetic-01: app exit 3m32s after abnormal traffic"
    (deviation,) = alert.deviation
    assert deviation.score > 10
    assert deviation.scope == "device"
    assert len(alert.excluded) == 3


def test_no_event_of_the_demo_is_too_late_or_unknown() -> None:
    matcher, _ = run(1)
    assert {kind: count.late for kind, count in matcher.counts.items() if count.late} == {}
    assert matcher.diagnostics == ()


def test_the_guards_are_what_keeps_the_guarded_look_alikes_silent() -> None:
    """Without them they alert, so they do look alike; those without traffic or a sign never do."""
    without_guards = {alert.device for alert in run(1, quick=True)[1] if alert.rule.name == "quick"}
    guarded = {look.device for look in scenario.LOOKALIKES if look.why.startswith("guard: ")}
    assert len(guarded) == 3
    chains = {chain.device for chain in scenario.CHAINS}
    assert without_guards == guarded | chains | {"lookalike-wrong-app"}


def test_the_real_part_alerts_on_nothing() -> None:
    assert not {alert.device for alert in run(1, quick=True)[1]} & {"real-iphone", "real-ipad"}


def test_most_look_alikes_pass_the_first_step() -> None:
    """The rest cannot, by what they show."""
    matcher, _ = run(1)
    never = {"lookalike-crash-only", "lookalike-first-launch", "lookalike-backup"}
    wanted = len(scenario.CHAINS) + len(scenario.LOOKALIKES) - len(never)
    assert matcher.rule_counts()["an1756_ios"].starts == wanted
