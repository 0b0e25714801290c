"""Engine, hand-written reference and brute force find the same, on a size that takes a moment."""

import json
from collections.abc import Callable
from datetime import datetime

import msgspec
import pytest

import dsl
from benchmarks import __main__ as command
from benchmarks import report as reports
from benchmarks import works
from benchmarks.brute_force import bursts, latest_pairs
from benchmarks.floor import floor_decoder
from benchmarks.generate import flows, mobile
from benchmarks.measure import CountsDiffer, Timing, in_turn, ratio
from benchmarks.references import w3 as w3_by_hand
from benchmarks.result import Report, Result
from benchmarks.run import alert_cost, feed_all, feed_late, matcher_of, measure
from benchmarks.works import late, mobile_pack, robust, w1, w2, w3
from benchmarks.works.work import CannotRun, Work
from engine.alerts import Alert

EVENTS = 20_000


@pytest.fixture(scope="module")
def stream() -> list[bytes]:
    return list(flows.lines(2 * EVENTS, 2, 400))


@pytest.fixture(scope="module")
def phones() -> list[bytes]:
    return list(mobile.lines(40_000, 2))


def engine_finds(work: Work) -> list[Alert]:
    found: list[Alert] = []
    feed_all(matcher_of(work), work.lines, found)
    return found


def milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def test_w1_is_the_same_three_ways_event_for_event(stream: list[bytes]) -> None:
    work = w1.make(stream)
    right = latest_pairs(stream, [w1.PAIR])
    assert len(right) > 20
    assert max(second - first for _, first, second in right) == flows.WINDOW_MS
    alerts = engine_finds(work)
    assert [(0, *(milliseconds(step.time) for step in alert.steps)) for alert in alerts] == right
    assert work.reference(stream) == len(right)


def test_w3_is_the_same_three_ways_event_for_event(stream: list[bytes]) -> None:
    work = w3.make(stream, 100)
    right = latest_pairs(stream, w3.pairs(100))
    assert len({number for number, _, _ in right}) > 5
    alerts = engine_finds(work)
    found = [
        (int(alert.rule.name.removeprefix("w3_")), *(milliseconds(step.time) for step in alert.steps))
        for alert in alerts
    ]
    assert sorted(found) == sorted(right)
    assert work.reference(stream) == len(right)


def test_w2_is_the_same_three_ways_event_for_event(stream: list[bytes]) -> None:
    work = w2.make(stream)
    right = bursts(stream)
    assert len(right) > 5
    ends = [milliseconds(alert.steps[-1].time) for alert in engine_finds(work)]
    assert ends == [end for _, end in right]
    assert work.reference(stream) == len(right)


@pytest.mark.parametrize("percent", [1, 20])
def test_late_events_end_in_the_same_matches(stream: list[bytes], percent: int) -> None:
    work = late.make(stream, percent)
    assert work.lines != stream
    assert sorted(work.lines) == sorted(stream)
    assert work.brute_force is not None
    right = work.brute_force(work.lines)
    assert right == w1.brute_force(stream) > 20
    assert feed_late(matcher_of(work), work.lines) == work.reference(work.lines) == right
    if percent > 1:
        # Code that knows no late event finds something else.
        assert w1.make([]).reference(work.lines) != right


def test_three_robust_baselines_by_hand_give_what_the_engine_gives() -> None:
    """So long that some levels have learned more than 288 samples and some have shifted."""
    lines = list(mobile.lines(60_000, 3, 8))
    work = robust.make(lines)
    assert work.reference(lines) == len(engine_finds(work)) > 10


def test_one_rule_of_the_pack_gives_what_it_gives_in_the_pack(phones: list[bytes]) -> None:
    alone = mobile_pack.make_one(phones)
    assert matcher_of(alone).rules == ("an1756_ios",)
    assert alone.reference(phones) == len(engine_finds(alone)) > 10


def test_all_works_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(works.EVENTS, "short", 300)
    monkeypatch.setattr(works, "SHORT_OF_MANY", 200)
    monkeypatch.setattr(works, "RULES", (1, 10))
    assert [work.name for work in works.works_of("short", 1, "w1")] == ["w1", "w1-late-1", "w1-late-20"]
    found = [(work.name, len(work.lines)) for work in works.works_of("short", 1)]
    assert found == [
        ("w1", 300), ("w2", 300), ("w3-1", 300), ("w3-10", 200),
        ("w1-late-1", 300), ("w1-late-20", 300), ("mobile", 300), ("mobile-1", 300), ("robust3", 300),
    ]  # fmt: skip


def test_the_rules_of_w3_differ() -> None:
    pairs = w3.pairs(1000)
    assert len({msgspec.json.encode(pair) for pair in pairs}) == 1000
    assert pairs[:10] == w3.pairs(10)


def test_the_mobile_pack_by_hand_gives_what_the_engine_gives(phones: list[bytes]) -> None:
    work = mobile_pack.make(phones)
    alerts = [alert for alert in engine_finds(work) if alert.rule.name in (work.counted or ())]
    assert {"app.exit", "device.posture"} <= {step.kind for alert in alerts for step in alert.steps}
    assert work.reference(phones) == len(alerts) > 10


def test_each_guard_of_the_mobile_pack_has_something_to_do(phones: list[bytes]) -> None:
    """Without what a guard looks for there are more alerts: it is not silence for want of a match."""
    work = mobile_pack.make(phones)
    for kind in ("app.lifecycle", "device.config", "device.state"):
        without = [line for line in phones if json.loads(line)["kind"] != kind]
        assert work.reference(without) > work.reference(phones), kind


def test_at_most_one_event_in_two_hundred_alerts(stream: list[bytes]) -> None:
    real = list(flows.lines(EVENTS, 1))
    for work in (
        w1.make(real),
        w2.make(real),
        w3.make(real, 1000),
        mobile_pack.make(list(mobile.lines(EVENTS, 1))),
    ):
        assert work.reference(work.lines) <= EVENTS / 200
    assert w3_by_hand.count(w3.pairs(1000), real) <= EVENTS / 200


@pytest.mark.parametrize("make", [w1.make, mobile_pack.make_one])
def test_chains_alert_and_those_a_millisecond_too_late_do_not(make: Callable[[list[bytes]], Work]) -> None:
    work = make([])
    assert work.chains is not None
    for alerting, expected in ((True, 7), (False, 0)):
        matcher = matcher_of(work)
        before, lines = work.chains(7, alerting)
        assert feed_all(matcher, before) == 0
        assert feed_all(matcher, lines) == expected
    with pytest.raises(CannotRun, match="give 7 alerts, missing ones 7"):
        alert_cost(work, lambda n, _: work.chains(7, True) if work.chains else ([], []), 1)


def test_the_floor_reads_the_fields_that_rules_read_and_no_other(stream: list[bytes]) -> None:
    decode = floor_decoder(matcher_of(w1.make([])).decoder)
    of_kind = {json.loads(line)["kind"]: line for line in stream}
    flow = json.loads(of_kind["net.flow"])
    decoded = decode(of_kind["net.flow"])
    assert {name: getattr(decoded, name) for name in decoded.__struct_fields__} == {
        "device": flow["device"], "time": flow["time"], "f_app": flow["app"], "f_score": flow["score"],
    }  # fmt: skip
    assert decode(of_kind["app.crash"]).__struct_fields__ == ("device", "time", "f_app")
    assert decode(of_kind["net.dns"]).__struct_fields__ == ()


def test_ways_are_run_in_turn_and_ratios_taken_within_a_round() -> None:
    order: list[str] = []

    def way(name: str) -> int:
        order.append(name)
        return len(name)

    found = in_turn({name: lambda name=name: lambda: way(name) for name in ("a", "bc")}, 3)  # type: ignore[misc]  # bound now
    assert order == ["a", "bc", "bc", "a", "a", "bc"]
    assert [found["a"].count, found["bc"].count] == [1, 2]
    assert ratio(Timing([2.0, 9.0, 8.0], 0), Timing([1.0, 3.0, 4.0], 0)) == 2.0
    numbers = iter(range(3))
    with pytest.raises(CountsDiffer):
        in_turn({"a": lambda: lambda: next(numbers)}, 2)


def test_rules_that_cannot_run_are_refused() -> None:
    broken = msgspec.structs.replace(w1.make([]), ruleset=dsl.load_text("RULE x { WHEN nothing }"))
    with pytest.raises(CannotRun, match="have errors"):
        matcher_of(broken)
    absent = msgspec.structs.replace(w1.make([]), counted=frozenset({"other"}))
    with pytest.raises(CannotRun, match="other"):
        matcher_of(absent)


def test_a_wrong_count_is_said_in_every_form_and_gives_exit_code_1(
    stream: list[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    work = msgspec.structs.replace(w1.make(stream[:500]), chains=None, brute_force=lambda _: 999)
    monkeypatch.setattr(command, "works_of", lambda *_: iter([work]))
    monkeypatch.setattr(reports.write, "__defaults__", (tmp_path,))
    assert command.main(["--short", "--only", "works", "--json"]) == 1
    shown = capsys.readouterr()
    result = msgspec.json.decode(shown.out, type=Report).results[0]
    assert (result.work, result.expected) == ("w1", 999)
    assert "999 are right" in shown.err
    right = msgspec.structs.replace(work, brute_force=w1.brute_force)
    monkeypatch.setattr(command, "works_of", lambda *_: iter([right]))
    assert command.main(["--short", "--only", "works"]) == 0
    assert "written: short.json, short.md, short.svg" in capsys.readouterr().err


def test_the_page_of_results_names_every_work_and_what_is_wrong() -> None:
    result = msgspec.structs.replace(_measured(), expected=3)
    page = reports.markdown(
        Report(form="short", seed=1, python="3", msgspec="0", machine="m", results=[result], nats=[])
    )
    assert "| w1 |" in page
    assert "## Wrong counts" in page
    assert "3 are right" in page


def _measured() -> Result:
    return measure(msgspec.structs.replace(w1.make(list(flows.lines(300, 1))), chains=None), 1)


@pytest.mark.parametrize("percent", [0, 1, 20])
def test_the_code_that_keeps_finds_the_same_also_late(stream: list[bytes], percent: int) -> None:
    lines = late.make(stream, percent).lines if percent else stream
    keeping = w1.make(stream).keeping
    assert keeping is not None
    assert keeping(lines) == len(latest_pairs(stream, [w1.PAIR]))
