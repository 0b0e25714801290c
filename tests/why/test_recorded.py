"""Asking a recording why a rule did not alert: engine/why/recorded.py and ``thenwire why``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import dsl
from engine.alerts import Alert
from engine.cli import main
from engine.replay import Recording, Replay, Takes
from engine.why.recorded import MAX_EVENTS, Answer, TooManyEvents, why

MINUTE = 60_000
RULES = """
EVENT net flow { app: string  bytes_out: int }
EVENT app exit { app: string  class: string }
BASELINE egress = bytes_out OF net flow BY device, app EVERY 5m USING robust WARMUP 5
RULE odd then crash {
  BY device, app
  WHEN net flow [deviation(egress) >= 4] THEN app exit [class == "memory_violation"] WITHIN 10m
}
"""


def flow(device: str, minute: float, bytes_out: int) -> dict[str, Any]:
    time = int(minute * MINUTE)
    return {"kind": "net.flow", "device": device, "time": time, "app": "a", "bytes_out": bytes_out}


def crash(device: str, minute: float, class_: str = "memory_violation") -> dict[str, Any]:
    time = int(minute * MINUTE)
    return {"kind": "app.exit", "device": device, "time": time, "app": "a", "class": class_}


def usual(device: str) -> list[dict[str, Any]]:
    """Forty buckets of five minutes with a thousand bytes each."""
    return [flow(device, 5 * number, 1_000 + number) for number in range(40)]


def asked(events: list[dict[str, Any]], device: str = "d1", at: float | None = None) -> Answer:
    lines = "\n".join(map(json.dumps, sorted(events, key=lambda event: event["time"]))).encode()

    def read(takes: Takes) -> Iterable[Alert]:
        return Replay(takes, [Recording(BytesIO(lines), "events", "ndjson")]).run()

    at_ms = None if at is None else int(at * MINUTE)
    return why(dsl.load_text(RULES), "odd_then_crash", device, read, at_ms)


def test_the_baseline_is_as_it_stood_then() -> None:
    """The spike deviates only from what was learned long before the events that are looked at."""
    answer = asked([*usual("d1"), flow("d1", 205, 9_000_000), crash("d1", 217)])
    assert answer.alerts == []
    assert answer.miss is not None
    assert (answer.miss.what, answer.miss.step, answer.miss.missed_by_ms) == ("bound", 2, 2 * MINUTE)
    assert answer.around_ms == 205 * MINUTE
    assert answer.events < 10


def test_a_deviation_that_was_too_small_is_said_with_its_number() -> None:
    answer = asked([*usual("d1"), flow("d1", 205, 1_900)])
    assert answer.miss is not None
    assert (answer.miss.what, answer.miss.step, answer.miss.time_ms) == ("filter", 1, 205 * MINUTE)
    (score,) = answer.miss.values.values()
    assert 2 < score < 3
    assert f"the deviation from egress was {score:.3f}"[:-1] in answer.miss.sentence


def test_other_devices_are_not_looked_at() -> None:
    events = [*usual("d1"), *usual("d2"), flow("d2", 205, 9_000_000), crash("d2", 206)]
    assert len(asked(events, "d2").alerts) == 1
    answer = asked(events, "d1")
    assert answer.alerts == []
    assert answer.miss is not None
    assert answer.miss.step == 1


def test_a_rule_that_did_alert_says_so_and_is_asked_about_another_time() -> None:
    events = [*usual("d1"), flow("d1", 205, 9_000_000), crash("d1", 206), crash("d1", 400, "watchdog")]
    assert [alert.device for alert in asked(events).alerts] == ["d1"]
    assert asked(events).miss is None
    later = asked(events, at=400)
    assert later.miss is not None
    assert (later.miss.step, later.miss.steps) == (1, 2)


def test_a_device_that_sent_nothing() -> None:
    answer = asked(usual("d1"), "d9")
    assert (answer.alerts, answer.around_ms, answer.miss) == ([], None, None)


def test_too_many_events_are_refused() -> None:
    with pytest.raises(TooManyEvents):
        asked([flow("d1", number / 1_000, 1) for number in range(MAX_EVENTS + 1)])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules, events = tmp_path / "r.rule", tmp_path / "e.ndjson"
    rules.write_text(RULES)
    events.write_text(
        "\n".join(map(json.dumps, [*usual("d1"), flow("d1", 205, 9_000_000), crash("d1", 206, "x")]))
    )
    asking = ["why", str(events), "--rules", str(rules), "--rule", "odd then crash", "--device", "d1"]
    assert main(asking) == 0
    said = capsys.readouterr().out
    assert 'class was "x"' in said
    assert "step 2 of 2" in said
    assert main([*asking, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["miss"]["values"] == {"class": "x"}
    assert answer["rule"] == "odd_then_crash"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--rule", "odd than crash"], "there is no rule `odd than crash`"),
        (["--at", "yesterday"], "--at takes a time"),
        ([], "read twice"),
    ],
)
def test_wrong_usage_is_a_sentence(
    change: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, events = tmp_path / "r.rule", tmp_path / "e.ndjson"
    rules.write_text(RULES)
    events.write_text(json.dumps(flow("d1", 1, 1)))
    asking = ["why", str(events), "--device", "d1", "--rules", str(rules)]
    if "--rule" not in change:
        asking += ["--rule", "odd then crash"]
    asking = [*asking, *change] if change else ["why", *asking[2:]]
    assert main(asking) == 2
    assert said in capsys.readouterr().err
