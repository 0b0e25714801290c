"""The TEST blocks of the shipped rules: all pass, none is vacuous, and each part of a rule is held by one."""

import shutil
from pathlib import Path

import pytest

import dsl
from engine.testing import PASSED, run_test, run_tests

RULES = Path(__file__).resolve().parents[2] / "rules"

BREAKS = [
    ("an1756.rule", "BY device, app", "BY device"),
    ("an1756.rule", "WITHIN crash_window", "WITHIN 9m"),
    ("an1756.rule", "WITHIN crash_window", "WITHIN 11m"),
    ("an1756.rule", "UNLESS app update WITHIN app_update_grace BEFORE", ""),
    ("an1756.rule", "WITHIN app_update_grace BEFORE", ""),
    ("an1756.rule", "UNLESS os update WITHIN os_update_grace BEFORE", ""),
    ("an1756.rule", "UNLESS vpn change WITHIN vpn_change_grace BEFORE", ""),
    ("an1756.rule", "choose(sign.app == traffic.app, high, medium)", "high"),
    ("an1756.rule", "SUPPRESS 1h PER device, traffic.app", ""),
    ("an1756.rule", "5 * deviation", "6 * deviation"),
    ("params.rule", "= 4.0", "= 3.9"),
    ("params.rule", "= 4.0", "= 4.1"),
    ("params.rule", "= 20KB", "= 19KB"),
    ("params.rule", "= 48h", "= 47h"),
    ("params.rule", "= 48h", "= 49h"),
    ("params.rule", "= 72h", "= 71h"),
    ("params.rule", "= 72h", "= 73h"),
    ("params.rule", "= 15m", "= 14m"),
    ("params.rule", "= 15m", "= 16m"),
    ("baselines.rule", "WARMUP 30", "WARMUP 301"),
    ("signals.rule", "AND bytes_out >= traffic deviation floor", ""),
    ("signals.rule", "deviation(app egress) >= traffic deviation threshold AND ", ""),
    ("signals.rule", "AND process IN LIST parser processes", ""),
    ("signals.rule", "[compromised]", "[compromised OR NOT compliant]"),
    ("signals.rule", '["install", "update"]', '["install"]'),
    ("signals.rule", '["install", "update"]', '["update"]'),
    ("signals.rule", ' [item == "os_version"]', ""),
    ("signals.rule", ' [item == "vpn"]', ""),
    *[("lists.rule", f'"{name}", ', "") for name in ("memory_violation", "guard", "sandbox")],
    ("lists.rule", ', "panic"', ""),
    ("lists.rule", '"codesign", ', ""),
    ("lists.rule", '"bad_instruction", ', ""),
    ("lists.rule", ', "abort"', ""),
    *[
        ("lists.rule", '"panic"', f'"{name}"')
        for name in ("watchdog", "resource", "user_reset", "not_an_exit")
    ],
    ("quick.rule", "= FALSE", "= TRUE"),
    ("quick.rule", "WITHIN 10m", "WITHIN 9m"),
    ("quick.rule", "WITHIN 10m", "WITHIN 11m"),
]
"""File, text, what it is replaced by: at least one test must notice."""


def test_every_test_of_the_pack_passes_and_none_is_vacuous() -> None:
    assert [found for found in run_tests(dsl.load([RULES])) if found.outcome != PASSED] == []


@pytest.mark.parametrize(("file", "text", "instead"), BREAKS)
def test_a_broken_rule_fails_its_tests(tmp_path: Path, file: str, text: str, instead: str) -> None:
    shutil.copytree(RULES, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "mobile" / file
    before = path.read_text("utf-8")
    assert text in before
    path.write_text(before.replace(text, instead, 1), "utf-8")
    rules = dsl.load([tmp_path])
    assert not rules.errors
    assert any(run_test(rules, test).outcome != PASSED for test in rules.tests)
