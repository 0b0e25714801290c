"""The parts of a coverage report: sketch, observer, catalogue, ATT&CK table, Markdown."""

from __future__ import annotations

import importlib.util
import io
import json
import random
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

import dsl
from engine import packs
from engine.report.coverage import WatchingMatcher, coverage_of
from engine.report.coverage.attack import analytic, claim_of, notice, platform_of
from engine.report.coverage.catalogue import FEEDS, base_of
from engine.report.coverage.markdown import to_markdown
from engine.report.coverage.observer import MAX_FEEDS, OTHER_GROUPS, OTHERS, Listed, Observer
from engine.report.coverage.sketch import LONGEST_MS, Durations
from engine.report.coverage.statements import statements_for
from engine.sources import EVENTS, Refusal, read

ROOT = Path(__file__).resolve().parents[2]
MOBILE = dsl.load([packs.rules_folder() / "mobile"])
MAP = ROOT.parent / "shared" / "data" / "attack" / "mobile_attack_v18.1_detection_map.json"


# --- sketch


def test_quantiles_are_right_to_two_per_cent_and_add_up() -> None:
    random_ = random.Random(7)
    values = [int(random_.lognormvariate(9, 3)) for _ in range(5_000)]
    whole, one, two = Durations(), Durations(), Durations()
    for at, value in enumerate(values):
        whole.add(value)
        (one if at % 2 else two).add(value)
    one.merge(two)
    values.sort()
    for share in (0.01, 0.5, 0.95, 1.0):
        exact = values[max(0, -(-int(share * 100) * len(values) // 100) - 1)]
        assert whole.quantile(share) == pytest.approx(exact, rel=0.021, abs=1)
        assert one.quantile(share) == whole.quantile(share)
    limit = values[4_000]
    assert whole.share_above(limit * 2) == pytest.approx(sum(v > limit * 2 for v in values) / 5_000, abs=0.01)


def test_a_sketch_is_bounded_and_knows_zero() -> None:
    sketch = Durations()
    assert sketch.quantile(0.5) == 0
    for exponent in range(200):
        sketch.add(2**exponent)
    assert sketch.quantile(1.0) == pytest.approx(LONGEST_MS, rel=0.02)
    sketch = Durations()
    for value in (0, 0, 0, 1_000):
        sketch.add(value)
    assert (sketch.quantile(0.5), sketch.share_above(0)) == (0, 0.25)


# --- observer


def decoded(matcher: WatchingMatcher, **wire: Any) -> Any:
    event = matcher.decoder.convert({"kind": "app.exit", "device": "d", "time": 1, "class": "abort"} | wire)
    assert event is not None
    return event


def test_devices_beyond_the_cap_are_counted_and_said() -> None:
    matcher = WatchingMatcher(MOBILE)
    seen = Observer({}, max_devices=2)
    for number in range(5):
        seen.see(decoded(matcher, device=f"d{number}"))
    assert (len(seen.devices), seen.uncounted, seen.events) == (2, 3, 5)


def test_made_up_sources_and_groups_do_not_fill_the_memory() -> None:
    matcher = WatchingMatcher(MOBILE)
    seen = Observer({}, [Listed(f"d{n}", f"g{n}") for n in range(100)])
    for number in range(MAX_FEEDS + 50):
        seen.see(decoded(matcher, source=f"s{number}"))
    assert len(seen.feeds) == MAX_FEEDS + 1
    assert seen.seen[OTHERS, "app.exit"].popitem()[1].events == 50
    assert seen.devices["d99"].group == OTHER_GROUPS


def test_every_event_is_seen_also_of_kinds_that_no_rule_reads() -> None:
    matcher = WatchingMatcher(MOBILE)
    wire = {"kind": "sensor.health", "device": "d", "time": 1, "sensor": "s", "status": "ok"}
    event = matcher.decoder.convert(wire)
    assert event is not None
    assert matcher.feed(event) == []
    assert list(matcher.observer.devices) == ["d"]


@pytest.mark.parametrize(
    ("said", "platform"), [("iOS 18.6", "ios"), ("Android", "android"), ("Windows", None)]
)
def test_a_posture_says_the_platform(said: str, platform: str | None) -> None:
    matcher = WatchingMatcher(MOBILE)
    event = matcher.decoder.convert({"kind": "device.posture", "device": "d", "time": 1, "os": said})
    assert event is not None
    matcher.feed(event)
    assert matcher.observer.devices["d"].platform == platform


def test_a_seen_that_is_no_time_is_passed_over() -> None:
    matcher = WatchingMatcher(MOBILE)
    seen = Observer({})
    for text in ("soon", "2026-03-02T09:00:00Z"):
        seen.see(decoded(matcher, seen=text, time=1_772_442_000_000 - 5_000))
    (feed,) = seen.seen["", "app.exit"].values()
    assert (feed.from_order, feed.from_seen) == (1, 1)


# --- catalogue


def samples() -> dict[str, bytes]:
    path = ROOT / "tests" / "sources" / "samples.py"
    spec = importlib.util.spec_from_file_location("thenwire_source_samples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, bytes] = module.GOOD
    return found


ENVELOPE = {"kind", "device", "time", "source", "id", "raw_ref", "quality", "attribution", "start"}
KNOWN = {(feed.source, feed.kind): feed for feed in FEEDS}


@pytest.mark.parametrize("name", samples())
def test_the_catalogue_has_all_that_a_source_gives(name: str) -> None:
    for item in read(io.BytesIO(samples()[name]), "f", None, "d", UTC):
        if isinstance(item, Refusal) or "source" not in item.event:
            continue
        event = item.event
        feed = KNOWN[base_of(event["source"]), event["kind"]]
        assert set(event) - ENVELOPE <= feed.fields
        for field, values in feed.values.items():
            assert event.get(field) in {None, *values}


def test_the_catalogue_has_the_kinds_of_every_source_once() -> None:
    kinds: dict[str, set[str]] = {}
    for feed in FEEDS:
        kinds.setdefault(feed.source, set()).add(feed.kind)
    assert kinds == {source: set(of) for source, of in EVENTS.items()}
    assert len(KNOWN) == len(FEEDS)


@pytest.mark.parametrize("feed", FEEDS, ids=[f"{f.source} {f.kind}" for f in FEEDS])
def test_the_catalogue_speaks_of_fields_and_values_that_the_pack_declares(feed: Any) -> None:
    declared = MOBILE.events[feed.kind].fields
    # Leases need the client's addresses also of kinds that do not declare them.
    assert feed.fields - {"client_ip", "client_mac"} <= set(declared)
    for field, values in feed.values.items():
        assert values <= set(declared[field].type.choices)


# --- statements


def said(*arguments: Any) -> str:
    return " ".join(one.what for one in statements_for(*arguments))


def test_what_cannot_be_observed_depends_on_where_events_come_from() -> None:
    assert "cellular" in said(["net.flow"], "ios", {"net.flow": ["zeek.conn"]})
    assert "cellular" not in said(["net.flow"], "ios", {"net.flow": ["zeek.conn", "agent"]})
    assert "Private Relay" in said(["net.flow"], None, {"net.flow": ["agent"]})
    assert "Private Relay" not in said(["net.flow"], "android", {"net.flow": ["agent"]})
    assert "unified log" in said(["app.exit"], "ios", {"app.exit": ["ios.ips"]})
    assert said(["sensor.health"], "ios", {}) == ""


# --- ATT&CK


def test_techniques_come_through_the_strategy_or_from_the_author() -> None:
    head, pattern = "EVENT ping { host: string? } RULE r { META", "WHEN ping THEN ping WITHIN 1m }"
    (rule,) = dsl.load_text(f'{head} {{ attack: [AN1756] techniques: ["T1404"] }} {pattern}').rules.values()
    claim = claim_of(rule)
    assert claim.techniques == {"T1404": "META", "T1428": "DET0663"}
    assert (claim.strategy, platform_of(rule)) == ("DET0663", "ios")
    (unknown,) = dsl.load_text(f"{head} {{ attack: [AN9999] }} {pattern}").rules.values()
    assert claim_of(unknown).techniques == {}


@pytest.mark.skipif(
    not MAP.exists(), reason="the map of ATT&CK's mobile detections is not beside the checkout"
)
def test_the_table_is_that_of_attack() -> None:
    data = json.loads(MAP.read_text("utf-8"))
    assert notice() == data["notice"]
    for strategy in data["strategies"]:
        for one in strategy["analytics"]:
            found = analytic(one["id"])
            assert found is not None
            assert (found.strategy, found.technique) == (
                strategy["detection_strategy"],
                strategy["technique"],
            )
            assert list(found.platforms) == one["platforms"]


# --- Markdown


def test_the_page_has_every_rule_and_no_markup_of_a_sender() -> None:
    matcher = WatchingMatcher(MOBILE, [Listed("d", "<b>|x")])
    matcher.feed(decoded(matcher, source="[a](http://x)|b", app="a"))
    page = to_markdown(coverage_of(MOBILE, matcher, recorded=True))
    assert "## an1756 ios, ios, &lt;b>\\|x: BLIND" in page
    assert "\\[a](http://x)\\|b (1)" in page
    assert "<b>" not in page.replace("&lt;b>", "")
    assert "via DET0663" in page
    rows = [line for line in page.splitlines() if line.startswith(("| step", "| guard"))]
    assert {line.replace("\\|", "").count("|") for line in rows} == {11}
