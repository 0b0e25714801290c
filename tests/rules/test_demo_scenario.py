"""The demo's input: what it promises about itself, and what it fits."""

from collections import Counter, defaultdict
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

import dsl
from engine.demo import scenario
from engine.demo.moved import moved
from engine.demo.real import PHONE, TABLET, real_events
from engine.sources import Record

RULES = Path(__file__).resolve().parents[2] / "rules"
TYPES = {"string": str, "ip": str, "int": int, "bool": bool, "timestamp": int, "float": float}
ENVELOPE = {"kind", "device", "time", "start", "id", "source", "quality", "attribution", "raw_ref"}


@cache
def pack() -> dsl.RuleSet:
    return dsl.load([RULES])


def real() -> list[dict[str, Any]]:
    return [answer.event for answer in real_events() if isinstance(answer, Record)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_traffic() -> None:
    def sent(seed: int) -> list[int | None]:
        return [event.get("bytes_out") for event in scenario.events(seed)]

    assert msgspec.json.encode(scenario.events(3)) == msgspec.json.encode(scenario.events(3))
    assert sent(3) != sent(4)


def test_the_seed_changes_the_usual_traffic_only() -> None:
    def acts(seed: int) -> list[dict[str, Any]]:
        return [event | {"id": ""} for event in scenario.events(seed) if event["time"] >= scenario.ACT]

    assert acts(1) == acts(2) != []


def test_every_synthetic_event_says_so() -> None:
    for event in scenario.events():
        assert event["source"] == "synthetic"
        assert event["device"].startswith(("synthetic-", "lookalike-"))
        assert event["id"].startswith("synthetic-")
        assert event.get("app", "com.example.").startswith("com.example.")
        assert event.get("ip", "203.0.113.7").startswith(("203.0.113.", "198.51.100."))


def test_events_are_in_order_and_have_ids_of_their_own() -> None:
    for events in (scenario.events(), real()):
        assert all(one["time"] <= other["time"] for one, other in pairwise(events))
        assert len({event["id"] for event in events}) == len(events)


def test_every_device_has_one_story() -> None:
    devices = [story.device for story in (*scenario.CHAINS, *scenario.LOOKALIKES)] + list(scenario.QUIET)
    assert len(set(devices)) == len(devices)
    assert {event["device"] for event in scenario.events()} == set(devices)
    assert all(lookalike.why and lookalike.shows for lookalike in scenario.LOOKALIKES)


def test_the_history_is_long_enough_for_the_baseline() -> None:
    rules = pack()
    buckets: dict[tuple[str, str], set[int]] = defaultdict(set)
    for event in scenario.events():
        if event["kind"] == "net.flow" and event["time"] < scenario.ACT:
            buckets[event["device"], event["app"]].add(
                event["time"] // rules.baselines["app_egress"].every_ms
            )
    for story in (*scenario.CHAINS, *scenario.LOOKALIKES):
        for app in story.apps:
            assert len(buckets[story.device, app]) > rules.baselines["app_egress"].warmup


def test_what_the_demo_promises_about_the_rule_is_in_the_rule() -> None:
    rule = pack().rules["an1756_ios"]
    assert rule.pattern.within_ms == 10 * scenario.MINUTE
    assert [guard.before_ms // scenario.MINUTE for guard in rule.unless] == [48 * 60, 72 * 60, 15]


def test_every_event_is_one_of_the_pack() -> None:
    rules = pack()
    kinds = Counter()
    for event in [*scenario.events(), *real()]:
        kinds[event["kind"]] += 1
        declared = {field.wire: field for field in rules.events[event["kind"]].fields.values()}
        assert set(event) <= set(declared) | ENVELOPE
        for name, field in declared.items():
            if name not in event:
                assert field.optional, f"{event['kind']} needs {name}"
                continue
            assert type(event[name]) is TYPES[field.type.name]
            assert not field.type.choices or event[name] in field.type.choices
    assert set(kinds) == {
        "net.flow",
        "app.exit",
        "app.lifecycle",
        "app.access",
        "device.posture",
        "device.config",
        "device.state",
    }


def test_the_real_part() -> None:
    answers = list(real_events())
    assert all(isinstance(answer, Record) for answer in answers)
    kinds = Counter((event["device"], event["kind"]) for event in real())
    assert kinds == {
        (PHONE, "net.flow"): 93,
        (PHONE, "app.access"): 8,
        (TABLET, "net.flow"): 119,
        (TABLET, "app.lifecycle"): 129,
    }
    assert {event["source"] for event in real()} == {"ios.app_privacy", "ios.powerlog"}


def test_every_shipped_file_is_in_the_notice_with_its_licence() -> None:
    data = files("engine.demo").joinpath("data")
    notice = data.joinpath("NOTICE.md").read_text("utf-8")
    assert "Apache License 2.0" in notice
    names = {entry.name for entry in data.iterdir()} - {"NOTICE.md"}
    assert names == {"app_privacy_report.ndjson", "powerlog.ndjson"}
    assert all(f"`{name}`" in notice for name in names)


def test_the_demo_is_small() -> None:
    size = sum(len(entry.read_bytes()) for entry in files("engine.demo").joinpath("data").iterdir())
    assert size < 128 * 1024


@pytest.mark.parametrize("by", [-5, 0, 86_400_000])
def test_moving_an_event_moves_all_its_times_and_nothing_else(by: int) -> None:
    event = {"kind": "net.flow", "device": "d", "time": 100, "start": 40, "duration_ms": 60}
    assert moved(event, by) == event | {"time": 100 + by, "start": 40 + by}
    assert event["time"] == 100
