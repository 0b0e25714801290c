"""TEST blocks about silence, counts and alerts of other rules: LANGUAGE.md section 5."""

import dsl
from engine.testing import FAILED, PASSED, run_tests

RULES = """
EVENT check in GRACE 1m { battery: int? }
EVENT crash { app: string? }
EVENT upload { host: string? }
RULE dark { WHEN check in THEN NO check in FOR 4h }
RULE burst {
  WHEN AT LEAST 3 crash IN 10m AS xs THEN upload [domain(host) == "evil.example"] WITHIN 1h
  ALERT { title: "{xs.count} {xs.first.app}" fields: [xs.last.app] }
}
RULE many { BY rule  WHEN AT LEAST 2 DISTINCT device OF ALERT burst IN 1d AS ds }
"""
BURST = """
  AT 0s crash { DEVICE app: "p" } AT 1m crash { DEVICE app: "q" } AT 2m crash { DEVICE app: "r" }
  AT 3m upload { DEVICE host: "a.evil.example" }
"""


def outcome(rule: str, body: str) -> tuple[str, str]:
    ruleset = dsl.load_text(f'{RULES} TEST "t" FOR {rule} {{ {body} }}')
    assert not ruleset.errors, [d.message for d in ruleset.errors]
    result = run_tests(ruleset)[0]
    return result.outcome, " ".join(result.lines)


def test_the_clock_makes_silence_certain() -> None:
    assert outcome("dark", "AT 0s check in {} CLOCK 4h EXPECT ALERT @4h") == (PASSED, "")
    assert outcome("dark", "AT 0s check in {} CLOCK 3h EXPECT NONE")[0] == PASSED


def test_a_test_closes_no_clock_at_its_end() -> None:
    assert outcome("dark", "AT 0s check in {} EXPECT ALERT")[0] == FAILED


def test_the_wall_clock_stands_at_each_arrival() -> None:
    assert outcome("dark", "AT 0s check in {} AT 5h crash {} EXPECT ALERT @4h") == (PASSED, "")


def test_a_late_event_closes_a_silence() -> None:
    body = "AT 0s check in {} CLOCK 4h AT 3h ARRIVES 6h check in {} EXPECT ALERT @4h EXPECT CLOSED"
    assert outcome("dark", body) == (PASSED, "")


def test_counts_can_be_expected() -> None:
    events = BURST.replace("DEVICE", "")
    expected = 'EXPECT ALERT @3m { xs.count: 3 title: "3 p" app: "r" }'
    assert outcome("burst", events + expected) == (PASSED, "")
    result, lines = outcome("burst", events + "EXPECT ALERT { xs.count: 4 }")
    assert result == FAILED
    assert "`xs.count` is 3, not 4" in lines


def test_a_rule_is_tested_with_those_it_reads() -> None:
    events = "".join(BURST.replace("DEVICE", f'device: "{name}"') for name in ("d1", "d2"))
    assert outcome("many", events + "EXPECT ALERT @3m { ds.count: 2 }") == (PASSED, "")
