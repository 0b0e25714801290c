"""Verdicts: what makes a rule EVALUABLE, DEGRADED or BLIND, by the catalogue and by what arrives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import dsl
from dsl.model import RuleSet
from dsl.ruleset import rebind
from engine import packs
from engine.demo import scenario
from engine.report.coverage import BLIND, DEGRADED, EVALUABLE, WatchingMatcher, coverage_of
from engine.report.coverage.model import Coverage, RowCoverage
from engine.report.coverage.observer import Listed
from engine.testing import _inputs, _prepare
from engine.why import rules_with_read

MOBILE = dsl.load([packs.rules_folder() / "mobile"])
ANALYTICS = dsl.load([packs.rules_folder() / "mobile", packs.rules_folder().parent / "tests" / "analytics"])
EVENTS = """
EVENT net flow GRACE 5m LATE 1h { app: string? bytes_out: int? UNIT bytes host: string? }
EVENT app exit GRACE 5m LATE 1h { app: string? class: string? }
EVENT device posture GRACE 5m LATE 1h { compromised: bool? os: string? group_name: string? }
EVENT app lifecycle GRACE 5m LATE 1h { app: string phase: string }
"""
CRASH = """
RULE crash { META { platform: ios } BY device, app WHEN net flow [bytes_out > 5] THEN app exit WITHIN 10m }
"""
HOUR = 3_600_000


def event(
    kind: str, time: int, device: str = "d1", source: str | None = "agent", **fields: Any
) -> dict[str, Any]:
    said = {} if source is None else {"source": source}
    return {"kind": kind, "device": device, "time": time, **said, **fields}


def flow(time: int, device: str = "d1", **fields: Any) -> dict[str, Any]:
    return event("net.flow", time, device, **{"app": "a", "bytes_out": 9} | fields)


def crash(time: int, device: str = "d1", **fields: Any) -> dict[str, Any]:
    return event("app.exit", time, device, **{"app": "a", "class": "guard"} | fields)


def fed(
    ruleset: RuleSet,
    events: list[dict[str, Any]],
    listed: tuple[Listed, ...] = (),
    group: str | None = None,
    retention_ms: int | None = None,
) -> Coverage:
    matcher = WatchingMatcher(ruleset, listed, group)
    for wire in events:
        decoded = matcher.decoder.convert(wire)
        assert decoded is not None
        matcher.feed(decoded)
    matcher.close()
    return coverage_of(ruleset, matcher, recorded=True, retention_ms=retention_ms)


def rules(text: str) -> RuleSet:
    ruleset = dsl.load_text(EVENTS + text)
    assert not ruleset.errors, ruleset.errors
    return ruleset


def only(found: Coverage) -> RowCoverage:
    (row,) = found.rules
    return row


def row_of(found: Coverage, rule: str, group: str = "all") -> RowCoverage:
    return next(row for row in found.rules if (row.rule, row.group) == (rule, group))


# --- the demo


def demo(*without: str) -> RowCoverage:
    events = [e for e in scenario.events() if e["kind"] not in without]
    return row_of(fed(MOBILE, events), "an1756_ios")


def test_the_demo_has_all_that_the_rule_needs() -> None:
    row = demo()
    assert row.verdict == EVALUABLE
    assert row.devices is not None
    assert (row.devices.evaluable, row.devices.blind) == (20, 0)
    assert row.alerts == 3
    assert row.reasons == ()
    step, sign = row.looks[:2]
    assert (step.what, step.role, step.members[0].reporting) == (
        "traffic_deviation",
        "step",
        {"synthetic": 1169},
    )
    assert sign.matched == 12
    assert (row.baselines[0].keys, row.baselines[0].answered) == (25, 24)


def test_the_demo_without_a_step_is_blind() -> None:
    row = demo("app.exit", "device.posture")
    assert row.verdict == BLIND
    assert "no device sends app.exit; no device sends device.posture" in row.reasons[0]


def test_the_demo_without_one_kind_of_a_step_is_degraded() -> None:
    row = demo("app.exit")
    assert row.verdict == DEGRADED
    assert row.reasons[0] == "step `anomaly` is seen in part: no device sends app.exit"


def test_the_demo_without_a_guard_is_degraded() -> None:
    row = demo("device.state")
    assert row.verdict == DEGRADED
    assert "guard `vpn change` cannot be seen" in row.reasons[0]


# --- the static half


def static(ruleset: RuleSet) -> Coverage:
    return coverage_of(ruleset, WatchingMatcher(ruleset), recorded=False)


def test_a_guard_that_no_source_of_ours_can_feed_degrades_the_rule() -> None:
    row = row_of(static(MOBILE), "an1756_ios")
    assert row.verdict == DEGRADED
    assert row.devices is None
    assert row.reasons == (
        "guard `vpn change` cannot be seen, so it explains nothing away: "
        "no source of ours gives device.state for ios; only canonical events can",
    )
    # Zeek counts bytes but knows no app, and the rule is BY app.
    assert row.looks[0].members[0].able == ("ios.powerlog", "ios.netusage", "mvt.timeline")


def test_a_step_that_reads_a_field_which_no_source_sets_is_blind() -> None:
    row = row_of(static(ANALYTICS), "an1793_android")
    assert row.verdict == BLIND
    assert "no source of ours sets `locked` and `regular` in net.flow" in row.reasons[0]


def test_a_value_that_the_only_source_never_gives_makes_blind() -> None:
    ruleset = dsl.load_text(
        "EVENT app exit { app: string? class: string? }\n"
        'RULE r { META { platform: android } WHEN app exit [class == "codesign"] THEN app exit WITHIN 1m }'
    )
    row = only(static(ruleset))
    assert row.verdict == BLIND
    assert "as it is asked for" in row.reasons[0]


def test_an_optional_field_that_no_source_sets_makes_nobody_blind() -> None:
    ruleset = dsl.load_text(
        "EVENT net flow { bytes_out: int? locked: bool? }\n"
        "RULE r { WHEN net flow [bytes_out > 1 AND (locked MISSING OR locked)] THEN net flow WITHIN 1m }"
    )
    assert only(static(ruleset)).verdict == EVALUABLE


# --- the live half


def test_steps_on_different_devices_are_blind() -> None:
    row = only(fed(rules(CRASH), [flow(1, "10.0.0.7"), crash(2, "phone", source="ios.ips")]))
    assert row.verdict == BLIND
    assert row.reasons[0] == "no device sends all that the rule needs"


def test_a_device_whose_source_reports_need_not_have_crashed_yet() -> None:
    both = [flow(1), crash(2)]
    assert only(fed(rules(CRASH), [*both, flow(3, "d2")])).devices.evaluable == 2  # type: ignore[union-attr]
    # What names no source shows only what the device itself sent.
    unnamed = [{k: v for k, v in e.items() if k != "source"} for e in [*both, flow(3, "d2")]]
    assert only(fed(rules(CRASH), unnamed)).devices.evaluable == 1  # type: ignore[union-attr]


def test_a_group_counts_on_what_its_source_sends_elsewhere() -> None:
    listed = (Listed("d1", "x"), Listed("d2", "y"))
    assert (
        row_of(fed(rules(CRASH), [flow(1), crash(2), flow(3, "d2")], listed), "crash", "y").verdict
        == EVALUABLE
    )
    other = [flow(1), crash(2), flow(3, "d2", source="vpn")]
    assert row_of(fed(rules(CRASH), other, listed), "crash", "y").verdict == BLIND


def test_too_few_devices_with_everything_degrade() -> None:
    others = [event("device.posture", n, f"d{n}", source="mdm", compromised=False) for n in range(5, 9)]
    row = only(fed(rules(CRASH), [flow(1), crash(2), *others]))
    assert row.verdict == DEGRADED
    assert row.reasons[0] == "it can be judged in full on 1 of 5 devices"


def late_crashes(hours: int, count: int) -> list[dict[str, Any]]:
    return [crash(n * HOUR, seen=(n + hours) * HOUR) for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("hours", "count", "verdict"), [(1, 30, EVALUABLE), (3, 30, BLIND), (3, 19, DEGRADED)]
)
def test_a_later_step_that_comes_later_than_late_is_blind(hours: int, count: int, verdict: str) -> None:
    row = only(fed(rules(CRASH), [flow(n * HOUR) for n in range(1, 40)] + late_crashes(hours, count)))
    assert row.verdict == verdict
    found = row.looks[1].members[0].lateness
    assert found is not None
    assert found.budget_ms == HOUR + 300_000
    assert found.p95_ms == pytest.approx(hours * HOUR, rel=0.02)
    assert found.basis == "seen"
    if verdict == BLIND:
        assert "app.exit arrives too late: p95 " in row.reasons[0]


def test_a_first_step_that_comes_late_degrades() -> None:
    flows = [flow(n * HOUR, seen=(n + 3) * HOUR) for n in range(1, 40)]
    assert only(fed(rules(CRASH), [*flows, crash(HOUR)])).verdict == DEGRADED


def test_without_seen_lateness_is_behind_the_newest_of_the_kind() -> None:
    flows = [flow(time) for n in range(30) for time in (n * HOUR + 2 * HOUR, n * HOUR)]
    found = only(fed(rules(CRASH), [*flows, crash(HOUR)])).looks[0].members[0].lateness
    assert found is not None
    assert found.basis == "order"
    assert found.p95_ms == pytest.approx(2 * HOUR, rel=0.02)


def test_a_key_that_is_mostly_missing_degrades() -> None:
    nameless = [{k: v for k, v in flow(n).items() if k != "app"} for n in range(3, 9)]
    row = only(fed(rules(CRASH), [flow(1), crash(2), *nameless]))
    assert row.verdict == DEGRADED
    assert "only 14% of net.flow has `app`" in row.reasons[0]
    shares = {field.name: field.share for field in row.looks[0].members[0].fields}
    assert shares == {"app": pytest.approx(1 / 7, abs=1e-4), "bytes_out": 1.0}


def test_events_without_a_needed_field_are_blind() -> None:
    bare = [{k: v for k, v in flow(n).items() if k != "bytes_out"} for n in range(3, 9)]
    row = only(fed(rules(CRASH), [*bare, crash(9)]))
    assert row.verdict == BLIND
    assert "net.flow comes without `bytes_out`" in row.reasons[0]


def test_addresses_in_place_of_devices_degrade() -> None:
    row = only(fed(rules(CRASH), [flow(n, attribution="ip") for n in (1, 2)] + [crash(3)]))
    assert row.verdict == DEGRADED
    assert "100% of net.flow names an address" in row.reasons[0]


def test_intervals_longer_than_the_window_are_blind() -> None:
    long = [flow(n * HOUR, start=(n - 1) * HOUR) for n in range(1, 5)]
    row = only(fed(rules(CRASH), [*long, crash(HOUR)]))
    assert row.verdict == BLIND
    assert "intervals longer than 10m" in row.reasons[0]


COLD = """
BASELINE egress = bytes_out OF net flow BY device, app EVERY 5m USING robust
RULE cold { WHEN net flow [deviation(egress) > 4] THEN app exit WITHIN 10m }
"""


def test_a_baseline_without_history_is_blind() -> None:
    row = only(fed(rules(COLD), [flow(1), crash(2)]))
    assert row.verdict == BLIND
    assert "baseline egress: none of 1 keys has enough history" in row.reasons[0]
    assert row.baselines[0].verdict == BLIND


def test_a_baseline_with_history_is_no_reason() -> None:
    row = only(fed(rules(COLD), [*(flow(n * 300_000) for n in range(40)), crash(40 * 300_000)]))
    assert row.verdict == EVALUABLE
    assert (row.baselines[0].keys, row.baselines[0].ready) == (1, 1)


def test_a_silence_of_what_is_never_heard_degrades() -> None:
    text = "RULE dark { WHEN net flow THEN NO app lifecycle FOR 1h }"
    row = only(fed(rules(text), [flow(1)]))
    assert (row.verdict, row.alerts) == (DEGRADED, 1)
    assert "so its silence proves nothing: no device sends app.lifecycle" in row.reasons[0]
    heard = [flow(1), event("app.lifecycle", 2, app="a", phase="update")]
    assert only(fed(rules(text), heard)).verdict == EVALUABLE


@pytest.mark.parametrize(("needed", "verdict"), [(1, DEGRADED), (2, BLIND)])
def test_any_needs_so_many_branches(needed: int, verdict: str) -> None:
    text = f"RULE some {{ WHEN ANY {needed} OF (net flow, app exit) WITHIN 5m THEN net flow WITHIN 5m }}"
    assert only(fed(rules(text.replace("WITHIN 5m THEN", "THEN")), [flow(1)])).verdict == verdict


def test_who_reads_the_alerts_of_a_blind_rule_is_blind() -> None:
    text = f"{CRASH} RULE twice {{ WHEN ALERT crash THEN ALERT crash WITHIN 1d }}"
    assert row_of(fed(rules(text), [flow(1), crash(2)]), "twice").verdict == EVALUABLE
    found = row_of(fed(rules(text), [flow(1)]), "twice")
    assert (found.verdict, "rule crash, whose alerts it reads, is BLIND" in found.reasons[-1]) == (
        BLIND,
        True,
    )


def test_a_quiet_kind_of_a_source_that_reports_is_not_proven() -> None:
    text = """RULE worse {
      WHEN net flow THEN device posture [compromised] WITHIN 1h UNLESS app lifecycle WITHIN 1h BEFORE
    }"""
    # The catalogue says that management can send postures and updates; neither is frequent.
    reporting = event("app.lifecycle", 2, source="mdm.acme", app="a", phase="update")
    row = only(fed(rules(text), [flow(1), reporting]))
    assert row.verdict == DEGRADED
    assert row.reasons[0].endswith("no device.posture has come yet; `mdm`, which reports, can send it")
    posture = event("device.posture", 2, source="mdm", compromised=True)
    assert only(fed(rules(text), [flow(1), posture])).verdict == EVALUABLE


def test_an_alert_that_is_closed_again_counts_once() -> None:
    text = CRASH.replace("WITHIN 10m }", "WITHIN 10m UNLESS app lifecycle WITHIN 1h BEFORE }")
    update = event("app.lifecycle", 1, app="a", phase="update")
    assert only(fed(rules(text), [flow(2), crash(3), update])).alerts == 1


def test_a_retention_shorter_than_a_match_degrades() -> None:
    found = only(fed(rules(CRASH), [flow(1), crash(2)], retention_ms=300_000))
    assert found.verdict == DEGRADED
    assert found.reasons[0] == "the input is kept for 5m, and a match can look back 10m"
    assert only(fed(rules(CRASH), [flow(1), crash(2)], retention_ms=HOUR)).verdict == EVALUABLE


def test_a_rule_that_does_not_run_is_blind() -> None:
    many = "RULE many { WHEN AT LEAST 20_000 net flow IN 1m }"
    row = only(fed(rules(many), [flow(1)]))
    assert row.verdict == BLIND
    assert "TW902" in row.reasons[0]


# --- groups and platforms


def test_devices_of_another_platform_do_not_count() -> None:
    android = [flow(3, "a1", source="android.agent")]
    found = only(fed(rules(CRASH), [flow(1), crash(2), *android]))
    assert found.platform == "ios"
    assert found.devices is not None
    assert found.devices.all == 1


def test_an_inventory_says_who_is_silent_and_in_which_group() -> None:
    listed = (Listed("d1", "sales"), Listed("d2", "board"), Listed("d3", "board", "android"))
    found = fed(rules(CRASH), [flow(1), crash(2), flow(3, "stranger")], listed)
    sales = row_of(found, "crash", "sales")
    assert (sales.verdict, sales.alerts, sales.looks[0].matched) == (EVALUABLE, 1, 1)
    board = row_of(found, "crash", "board")
    assert (board.verdict, board.devices.all, board.devices.seen) == (BLIND, 1, 0)  # type: ignore[union-attr]
    assert (board.alerts, board.looks[0].matched, board.looks[0].last_match) == (0, 0, None)
    assert row_of(found, "crash", "(not listed)").devices.all == 1  # type: ignore[union-attr]


def test_a_field_says_the_group() -> None:
    said = [
        event("device.posture", 0, device, source="mdm", compromised=False, group_name=group)
        for device, group in (("d1", "x"), ("d2", "y"))
    ]
    found = fed(rules(CRASH), [*said, flow(1), crash(2), flow(3, "d2", source="vpn")], group="group_name")
    assert {row.group: row.verdict for row in found.rules} == {"x": EVALUABLE, "y": BLIND}


# --- no rule that has alerted is blind


CASES = [t for t in ANALYTICS.tests if any(x.what == "alert" for x in t.expectations)]


@pytest.mark.parametrize("case", CASES, ids=[f"{t.rule}: {t.title}" for t in CASES])
def test_a_rule_that_has_just_alerted_is_not_blind(case: Any) -> None:
    bound = rebind(ANALYTICS, case.params) if case.params else ANALYTICS
    alone = msgspec.structs.replace(bound, rules=rules_with_read(bound, case.rule))
    matcher = WatchingMatcher(alone)
    assert _prepare(matcher, case) is None
    for item in _inputs(case):
        if item.wire is None:
            matcher.close(item.time_ms)
        else:
            decoded = matcher.decoder.convert(item.wire)
            if decoded is not None:
                matcher.feed(decoded, item.position)
    matcher.close()
    assert case.rule in matcher.alerted
    row = row_of(coverage_of(alone, matcher, recorded=True), case.rule)
    assert row.verdict != BLIND, row.reasons
