"""The mobile analytics of ATT&CK as rules: they load, they run, their tests pass and hold their parts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import dsl
from dsl.model import Rule, RuleTest
from engine import Matcher
from engine.testing import PASSED, run_test

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDERS = [ROOT / "rules" / "mobile", HERE]
ALL = dsl.load(FOLDERS)
FILES = sorted(HERE.glob("an*.rule"))
RULES = {name: rule for name, rule in ALL.rules.items() if Path(rule.file).parent == HERE}
TESTS = [test for test in ALL.tests if test.rule in RULES]
MAP = ROOT.parent / "shared" / "data" / "attack" / "mobile_attack_v18.1_detection_map.json"

CONSTRUCTS = {
    "AT LEAST": r"\bAT LEAST\b",
    "DISTINCT": r"\bDISTINCT\b",
    "ALL OF": r"\bALL OF\b",
    "ANY": r"\bANY \w+ OF\b",
    "ONE OF": r"\bONE OF \(",
    "THEN": r"\bTHEN\b",
    "gap": r"\bTHEN (WITHIN|AFTER|BETWEEN)\b",
    "group": r"(WHEN|THEN) \(",
    "NO": r"\bTHEN NO\b",
    "WITHOUT": r"\bWITHOUT (?![^\n]*\bFOR\b)",
    "WITHOUT FOR": r"\bWITHOUT [^\n]*\bFOR\b",
    "UNLESS": r"\bUNLESS\b",
    "ALERT": r"\bALERT \w",
    "other step": r"(==|\bIN) [a-z]\w*\.\w+",
    "baseline": r"\bdeviation\(",
    "enrichment": r"\b(first_seen|rare|regular)\b",
    "SUPPRESS": r"\bSUPPRESS\b",
}
"""What the third column of the README's table may say, and what stands in a rule that has it."""


def rule_text(path: Path) -> str:
    """The rules of a file, without comments and tests."""
    text = path.read_text("utf-8").partition("\nTEST ")[0]
    return re.sub(r"#[^\n]*|\"[^\"\n]*\"", "", text)


def outcomes(params: dict[str, str | int | float | bool], rule: str) -> set[str]:
    rules = dsl.load(FOLDERS, params)
    return {run_test(rules, test).outcome for test in rules.tests if test.rule == rule}


def test_all_check_without_errors() -> None:
    assert [found.message for found in ALL.errors] == []


def test_the_engine_runs_them_all() -> None:
    matcher = Matcher(ALL)
    assert [found.message for found in matcher.diagnostics] == []
    assert set(RULES) <= set(matcher.rules)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: f"{test.rule}: {test.title}")
def test_a_rule_passes_its_tests(test: RuleTest) -> None:
    result = run_test(ALL, test)
    assert result.outcome == PASSED, result.lines


@pytest.mark.parametrize(
    "rule", [r for r in RULES.values() if not r.name.endswith("_pair")], ids=lambda r: r.name
)
def test_a_rule_fires_and_has_a_look_alike(rule: Rule) -> None:
    wanted = {expected.what for test in TESTS if test.rule == rule.name for expected in test.expectations}
    assert {"alert", "none"} <= wanted


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_rule_says_which_analytic_it_is(rule: Rule) -> None:
    stem = Path(rule.file).stem
    assert rule.meta["attack"] == [stem.upper()]
    assert rule.name.startswith(stem)
    assert re.fullmatch(r"DET\d{4}", rule.meta["strategy"])
    assert (rule.meta["attack_version"], rule.meta["platform"] in ("ios", "android")) == ("19.1", True)
    assert "techniques" not in rule.meta


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_param_says_whose_it_is(path: Path) -> None:
    texts = re.findall(r'PARAM \w+ = \S+\s+"([^"]*)"', path.read_text("utf-8"))
    assert len(texts) == path.read_text("utf-8").count("\n  PARAM ")
    assert all(re.match(r"ATT&CK mutable element [A-Z]\w+\b|ours", text) for text in texts)
    named = re.findall(r"ATT&CK mutable element (\w+)", " ".join(texts))
    head = re.match(r"(#[^\n]*\n)*", path.read_text("utf-8"))
    assert head is not None
    assert all(name in head[0] for name in named)


def test_strategies_are_those_of_attack() -> None:
    if not MAP.exists():
        pytest.skip("the map of ATT&CK's detections is not beside this checkout")
    text = json.dumps(json.loads(MAP.read_text("utf-8")))
    for rule in RULES.values():
        strategy, analytic = rule.meta["strategy"], rule.meta["attack"][0]
        before = text.rindex('"DET', 0, text.index(f'"{analytic}"'))
        assert text[before + 1 :].startswith(strategy), f"{analytic} is not of {strategy}"


CHANGES = [(rule, name) for rule in RULES for name in RULES[rule].params if name not in ALL.params]
"""Each PARAM of a rule itself; those of the pack are held by the pack's tests."""


@pytest.mark.parametrize(("rule", "name"), CHANGES, ids=lambda part: part)
def test_a_param_is_held_by_a_test(rule: str, name: str) -> None:
    """A tenth more or less, or the other truth, fails a test: no bound is written and never tried."""
    value = RULES[rule].params[name]
    if isinstance(value, bool):
        others: list[int | float | bool] = [not value]
    else:
        assert not isinstance(value, str)
        others = [type(value)(value * 0.9) - (value < 10), type(value)(value * 1.1) + (value < 10)]
    # The tests of a rule that publishes nothing are those of its reader.
    tested = rule.replace("_pair", "_ios")
    assert any(outcomes({f"{rule}.{name}": other}, tested) != {PASSED} for other in others)


GUARDS = [
    (path, line)
    for path in FILES
    for line in re.findall(r"\n +((?:UNLESS|WITHOUT) [^\n]*)", path.read_text("utf-8"))
]


@pytest.mark.parametrize(("path", "line"), GUARDS, ids=lambda part: getattr(part, "stem", part))
def test_a_guard_is_held_by_a_test(path: Path, line: str, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_text(path.read_text("utf-8").replace(f"{line}\n", "\n", 1), "utf-8")
    others = [other for other in HERE.glob("*.rule") if other != path]
    rules = dsl.load([FOLDERS[0], *others, copy])
    assert not rules.errors
    of_file = [test for test in rules.tests if test.file == str(copy)]
    assert any(run_test(rules, test).outcome != PASSED for test in of_file)


def test_the_table_says_what_stands_in_the_rules() -> None:
    rows = re.findall(r"^\| (AN\d{4}) \| (DET\d{4}) \| `(\w+\.rule)` \| ([^|]*) \|", readme(), re.M)
    assert [file for _, _, file, _ in rows] == [path.name for path in FILES]
    for analytic, strategy, file, constructs in rows:
        text = rule_text(HERE / file)
        assert f"attack: [{analytic}] strategy: {strategy}" in text
        assert constructs.split(", ") == [
            name for name, found in CONSTRUCTS.items() if re.search(found, text)
        ]


def readme() -> str:
    return (HERE / "README.md").read_text("utf-8")
