"""What ``thenwire test`` says of a test that does not pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import dsl
from engine.cli import main
from engine.testing import FAILED, PASSED, VACUOUS, Result, run_tests

RULES = """
EVENT flow { app: string? n: int? }
EVENT app exit { app: string? class: string? }
EVENT update { v: int? }
RULE r "flow, then exit" {
  BY device, app
  WHEN flow [n > 5] AS f THEN app exit [class == "x"] AS x WITHIN 10m
  UNLESS update WITHIN 1h BEFORE
  SUPPRESS 1h
  SEVERITY high
}
"""
FLOW = 'AT 0s flow { app: "a" n: 9 }'
EXIT = 'AT 3m app exit { app: "a" class: "x" }'


def result(statements: str) -> Result:
    rules = dsl.load_text(RULES + f'TEST "t" FOR r {{ {statements} }}')
    assert not rules.errors, [d.message for d in rules.errors]
    (found,) = run_tests(rules)
    return found


def test_a_missing_alert_has_its_nearest_miss_and_the_trace() -> None:
    found = result(f'{FLOW} AT 12m app exit {{ app: "a" class: "x" }} EXPECT ALERT @12m')
    assert found.outcome == FAILED
    assert found.lines == (
        "EXPECT ALERT @12m: there was none",
        'nearest miss: step 2 of 2, `app exit [class == "x"]`: '
        "app exit at 12m came 2m after the bound of 10m",
        "what went in, what came of it, and what was expected:",
        "      0s  flow { app: 'a' n: 9 }",
        "     12m  app exit { app: 'a' class: 'x' }   <- EXPECT ALERT @12m",
    )
    assert found.miss is not None
    assert found.miss.missed_by_ms == 120_000


def test_an_alert_that_differs_is_shown_with_the_field() -> None:
    found = result(f'{FLOW} {EXIT} EXPECT ALERT @2m {{ severity: "low" f.n: 9 }}')
    assert found.outcome == FAILED
    assert found.lines[:3] == (
        "EXPECT ALERT @2m: at @3m, not @2m",
        "EXPECT ALERT @2m: `severity` is 'high', not 'low'",
        "the alert: @3m high 'flow, then exit' (f @0s, x @3m)",
    )
    assert found.lines[-1] == "      2m  <- EXPECT ALERT @2m"
    assert found.miss is None


def test_an_alert_that_should_not_be_is_shown() -> None:
    found = result(f"{FLOW} {EXIT} EXPECT NONE")
    assert found.outcome == FAILED
    assert found.lines[:2] == (
        "EXPECT NONE: 'flow, then exit' was published at @3m",
        "the alert: @3m high 'flow, then exit' (f @0s, x @3m)",
    )
    assert found.lines[-2:] == (
        "      3m  app exit { app: 'a' class: 'x' }   -> create high",
        "          <- EXPECT NONE",
    )


def test_an_alert_more_than_expected_is_shown() -> None:
    second = 'AT 2h flow { app: "a" n: 9 } AT 2h1m app exit { app: "a" class: "x" }'
    found = result(f"{FLOW} {EXIT} {second} EXPECT ALERT @3m")
    assert found.lines[0] == "1 more alert(s) than expected: 'flow, then exit' was published at @2h1m"


def test_a_further_alert_that_was_suppressed() -> None:
    second = 'AT 5m flow { app: "a" n: 9 } AT 6m app exit { app: "a" class: "x" }'
    found = result(f"{FLOW} {EXIT} {second} EXPECT ALERT EXPECT ALERT")
    assert found.lines[:2] == (
        "EXPECT ALERT: there was no further one",
        "a further match was suppressed: SUPPRESS 1h",
    )


def test_a_further_alert_that_nearly_was() -> None:
    second = 'AT 2h flow { app: "a" n: 9 } AT 2h1m app exit { app: "a" class: "y" }'
    found = result(f"{FLOW} {EXIT} {second} EXPECT ALERT EXPECT ALERT")
    assert found.lines[1] == (
        'nearest miss: step 2 of 2, `app exit [class == "x"]`: app exit at 2h1m: `class is "x"` was false: '
        'class was "y"'
    )


def test_an_alert_that_should_have_closed() -> None:
    found = result(f"{FLOW} {EXIT} EXPECT ALERT EXPECT CLOSED")
    assert found.lines[0] == "EXPECT CLOSED: the alert at @3m is still open"
    assert result(f"{FLOW} EXPECT CLOSED").lines[0] == "EXPECT CLOSED: there was no alert to close"


def test_what_voided_it() -> None:
    found = result(f'AT 0s update {{}} AT 1m flow {{ app: "a" n: 9 }} {EXIT} EXPECT ALERT @3m')
    assert found.lines[1] == (
        "nearest miss: every step is there, but UNLESS `update` voids it (WITHIN 1h BEFORE): update at 0s"
    )


def test_silence_that_shows_nothing_is_vacuous_and_says_what_failed() -> None:
    found = result(f'AT 0s flow {{ app: "a" n: 3 }} {EXIT} EXPECT NONE')
    assert found.outcome == VACUOUS
    assert found.lines == (
        "no event fits the first step, `flow [n > 5]`",
        "nearest miss: step 1 of 2, `flow [n > 5]`: flow at 0s: `n is more than 5` was false: n was 3",
    )
    assert result(f"{FLOW} EXPECT NONE").outcome == PASSED
    # A guard that voided a run is what the test was about.
    assert result(f"AT 0s update {{}} {FLOW} {EXIT} EXPECT NONE").outcome == PASSED


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    path = tmp_path / "r.rule"
    path.write_text(
        RULES
        + f'TEST "fires" FOR r {{ {FLOW} {EXIT} EXPECT ALERT }}\n'
        + f'TEST "nearly" FOR r {{ {FLOW} EXPECT ALERT }}\n'
        + 'TEST "empty" FOR r { EXPECT NONE }\n'
    )

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["test", str(path), *arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def test_the_command_shows_it_and_counts(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run()
    assert code == 1
    assert "nearest miss: step 2 of 2" in out
    assert out.splitlines()[-1] == "1 passed, 1 failed, 1 vacuous"
    code, out, _ = run("-k", "FIRES")
    assert (code, out.splitlines()[-1]) == (0, "1 passed, 0 failed, 0 vacuous")
    code, out, err = run("-k", "no such")
    assert (code, out) == (2, "")
    assert "no such" in err


def test_the_command_gives_it_to_programs(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run("--json")
    assert code == 1
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["outcome"] for one in found] == ["passed", "failed", "vacuous"]
    assert [one["miss"] and (one["miss"]["step"], one["miss"]["what"]) for one in found] == [
        None,
        (2, "absent"),
        (1, "absent"),
    ]
    assert found[1]["miss"]["passed"] == [{"step": "flow [n > 5]", "time_ms": 1_767_225_600_000}]
