"""The TEST blocks of the shipped rules: all pass, none is vacuous, and each part of a rule is held by one."""

import re
import shutil
from collections.abc import Iterator
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


SCENARIOS = sorted(
    path
    for path in (RULES / "mobile").glob("*.rule")
    if "\nRULE " in path.read_text("utf-8") and path.stem not in ("an1756", "quick")
    if not path.stem.endswith("_tests")
)
_GUARD = re.compile(r"\n  UNLESS (?:[^\n\[]*\[[^\]]*\][^\n]*|[^\n]*)")
_WINDOW = re.compile(r"PARAM (\w+) = (\d+)(h|m|s|d)\b")


def _scenario_breaks() -> Iterator[tuple[str, str, str]]:
    """Each guard of each scenario left out, and each window one shorter and one longer."""
    for path in SCENARIOS:
        text = path.read_text("utf-8")
        for guard in _GUARD.findall(text):
            if text.count(guard) == 1:
                yield path.name, guard, ""
        for name, number, unit in _WINDOW.findall(text):
            if text.count(f"PARAM {name} =") == 1:
                for other in (int(number) - 1, int(number) + 1):
                    yield path.name, f"PARAM {name} = {number}{unit}", f"PARAM {name} = {other}{unit}"


MORE_BREAKS = sorted(set(_scenario_breaks()))


def test_every_test_of_the_pack_passes_and_none_is_vacuous() -> None:
    assert [found for found in run_tests(dsl.load([RULES])) if found.outcome != PASSED] == []


def test_the_scenarios_are_there() -> None:
    assert len(SCENARIOS) == 11
    assert len(MORE_BREAKS) > 50


def _broken(folder: Path, file: str, text: str, instead: str, *rules: str) -> dsl.RuleSet:
    """A part of the pack with something else in it. Not all of it, since there are many breaks."""
    shutil.copytree(RULES / "mobile" / "lists", folder / "lists")
    for name in ("events", "lists", "params", "baselines", "signals", *rules):
        shutil.copy(RULES / "mobile" / f"{name}.rule", folder)
    path = folder / file
    before = path.read_text("utf-8")
    assert text in before
    path.write_text(before.replace(text, instead, 1), "utf-8")
    found = dsl.load([folder])
    assert not found.errors
    return found


@pytest.mark.parametrize(("file", "text", "instead"), BREAKS)
def test_a_broken_rule_fails_its_tests(tmp_path: Path, file: str, text: str, instead: str) -> None:
    rules = _broken(tmp_path, file, text, instead, "an1756", "an1756_tests", "quick")
    assert any(run_test(rules, test).outcome != PASSED for test in rules.tests)


@pytest.mark.parametrize(("file", "text", "instead"), MORE_BREAKS)
def test_a_broken_scenario_fails_its_own_tests(tmp_path: Path, file: str, text: str, instead: str) -> None:
    stem = file.removesuffix(".rule")
    rules = _broken(tmp_path, file, text, instead, stem, f"{stem}_tests")
    assert any(run_test(rules, test).outcome != PASSED for test in rules.tests)
