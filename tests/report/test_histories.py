"""The values behind a baseline, read again for the page."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from recordings import BEGIN, MINUTE, event, recording
from test_page import Page

import dsl
from engine.alerts import Alert
from engine.cli import main
from engine.demo import scenario
from engine.matcher import Matcher
from engine.replay import Recording, Replay
from engine.report.html import Collector, Followed
from engine.report.html.histories import AFTER, BEFORE, Past, key_of
from engine.report.html.past import plot

RULES = """
EVENT flow { app: string bytes: int UNIT bytes host: string? }
BASELINE sent = bytes OF flow BY device, app EVERY 5m USING robust WARMUP 30
BASELINE fleet = bytes OF flow USING robust WARMUP 30
RULE much { WHEN flow [deviation(sent) > 6] AS f SEVERITY low ALERT { fields: [f.app] } }
RULE fleet much { WHEN flow [deviation(fleet) > 6] AS f SEVERITY low }
"""


def stream(spike_at: int, count: int) -> list[dict[str, Any]]:
    """A steady flow of two apps on two devices; one of the four once sends a thousand times as much."""
    found = []
    for number in range(count):
        for device in ("d1", "d2"):
            for app in ("a", "b"):
                spike = number == spike_at and (device, app) == ("d1", "a")
                size = 10_000_000 if spike else 10_000 + number % 7 * 100
                found.append(event("flow", device, number * 5 * MINUTE, app=app, bytes=size))
    return found


def read(wires: list[dict[str, Any]]) -> tuple[dict[tuple[str, int], Past], Followed, list[Alert]]:
    ruleset = dsl.load_text(RULES)
    assert not ruleset.errors
    collector = Collector()
    data = recording(wires)
    for alert in Replay(Matcher(ruleset), [Recording(BytesIO(data), "r", "ndjson")]).run():
        collector.take(alert)
    shown = collector.shown()
    followed = Followed(ruleset, shown)
    assert list(Replay(followed, [Recording(BytesIO(data), "r", "ndjson")]).run()) == []
    return followed.past(shown), followed, [one.alert for one in shown]


def test_only_the_keys_of_alerts_are_followed() -> None:
    past, followed, alerts = read(stream(40, 60))
    assert followed.keys == {("sent", ("d1", "a")), ("fleet", ())}
    kept = {(history.baseline, tuple(history.key.values())) for history in followed.histories()}
    assert kept == followed.keys
    own = next(alert for alert in alerts if alert.rule.name == "much")
    found = past[own.id, 0]
    assert found.older == 0
    assert len(found.points) == 60
    assert {point.device for point in found.points} == {"d1"}
    spike = found.points[40]
    assert (spike.time_ms, spike.value, spike.marked) == (BEGIN + 40 * 5 * MINUTE, 10_000_000, True)
    assert spike.score == pytest.approx(own.deviation[0].score, abs=0.001), "it is the value that alerted"
    assert spike.centre == pytest.approx(own.deviation[0].centre, abs=0.06)


def test_a_plot_is_of_the_time_around_the_alert() -> None:
    past, _, alerts = read(stream(400, 500))
    own = next(alert for alert in alerts if alert.rule.name == "much")
    found = past[own.id, 0]
    assert found.older == 401 - BEFORE
    assert len(found.points) == BEFORE + AFTER
    assert found.points[BEFORE - 1].value == 10_000_000


def test_the_picture_has_a_dot_for_each_value_and_one_large_one() -> None:
    past, _, alerts = read(stream(40, 60))
    own = next(alert for alert in alerts if alert.rule.name == "much")
    drawn = plot(past[own.id, 0], BEGIN + 40 * 5 * MINUTE)
    assert drawn is not None
    page = Page(drawn.encode())
    assert page.faults == []
    assert len(page.all("circle", class_="past")) == 59
    [large] = page.all("circle", class_="event")
    highest = min(float(circle["cy"]) for circle in page.all("circle"))
    assert float(large["cy"]) == highest
    assert len(page.all("polygon", class_="usual")) == 1


def test_what_has_no_amounts_has_no_picture() -> None:
    past, _, alerts = read(stream(40, 60))
    found = past[alerts[0].id, 0]
    assert plot(Past(found.points[:1], 0), BEGIN) is None
    words = tuple(msgspec.structs.replace(point, value="host") for point in found.points)
    assert plot(Past(words, 0), BEGIN) is None


def test_a_key_that_the_alert_does_not_tell_is_left_out() -> None:
    """The rule set has changed, or the step's event lacks the field."""
    _, _, alerts = read(stream(40, 60))
    ruleset = dsl.load_text(RULES)
    own = next(alert for alert in alerts if alert.rule.name == "much")
    deviation = own.deviation[0]
    assert key_of(ruleset, own, deviation) == ("sent", ("d1", "a"))
    bare = [msgspec.structs.replace(step, fields={}) for step in own.steps]
    assert key_of(ruleset, msgspec.structs.replace(own, steps=bare), deviation) is None
    assert key_of(ruleset, own, msgspec.structs.replace(deviation, baseline="gone")) is None
    assert key_of(ruleset, own, msgspec.structs.replace(deviation, step="gone")) is None


def test_the_report_of_the_demo_draws_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    events = tmp_path / "demo.ndjson"
    events.write_bytes(b"".join(msgspec.json.encode(wire) + b"\n" for wire in scenario.events()))
    assert main(["replay", str(events), "--rules", "mobile", "--report", str(tmp_path / "out.html")]) == 0
    capfd.readouterr()
    page = Page((tmp_path / "out.html").read_bytes())
    assert page.faults == []
    assert len(page.all("polygon", class_="usual")) == len(scenario.CHAINS)
    assert "The values of app egress around it, and the band that was usual then:" in page.text
