"""Golden tests: each file in cases/ is a program and everything that is said about it.

A line of ``---`` ends the program. Before the program stand the declarations of preamble.rule, as a
file of their own. TW507 (no tests) is left out unless a comment ``# shows TW507`` asks for it: hardly
any case is about tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import dsl
from dsl.bind import bind
from dsl.diagnostics import in_order
from dsl.model import RuleSet
from dsl.parse import parse
from engine.matcher import Matcher

CASES = Path(__file__).parent / "cases"
END = "\n---\n"


def check(program: str) -> RuleSet:
    preamble = parse((CASES / "preamble.rule").read_text("utf-8"), "preamble.rule")
    return bind([preamble, parse(program, "case.rule")])


def said(program: str) -> str:
    rules = check(program)
    shown = [d for d in rules.diagnostics if d.code != "TW507" or "# shows TW507" in program]
    shown = in_order([*shown, *Matcher(rules).diagnostics])
    return "\n\n".join(dsl.render(d, rules.texts[d.file]) for d in shown) + "\n"


@pytest.mark.parametrize("path", sorted(CASES.glob("*.case")), ids=lambda path: path.stem)
def test_case(path: Path, pytestconfig: pytest.Config) -> None:
    program, _, expected = path.read_text("utf-8").partition(END)
    found = said(program)
    if pytestconfig.getoption("--update"):
        path.write_text(program + END + found, "utf-8")
    else:
        assert found == expected


def test_every_code_has_a_case() -> None:
    shown = "".join(path.read_text("utf-8").partition(END)[2] for path in CASES.glob("*.case"))
    assert [code for code in dsl.CODES if f"[{code}]" not in shown] == []


def test_three_bad_rules_do_not_hide_two_good_ones() -> None:
    program, _, _ = (CASES / "three_bad_two_good.case").read_text("utf-8").partition(END)
    rules = check(program)
    assert sorted(rules.rules) == ["good_one", "good_two"]
    assert len({rules.texts[d.file][: d.span.start].count("RULE") for d in rules.errors}) == 3
    assert {"bad_one", "bad_two", "bad_three"} <= rules.broken


def test_the_record_for_editors() -> None:
    text = "EVENT a { x: int? }\nRULE r {\n  WHEN b\n}\n"
    (found,) = dsl.load_text(text, "some.rule").diagnostics
    assert dsl.as_record(found, text) == {
        "code": "TW201",
        "severity": "error",
        "file": "some.rule",
        "line": 3,
        "column": 8,
        "end_line": 3,
        "end_column": 9,
        "message": "no event or signal is called `b`",
        "label": "not declared",
        "hint": "declare it with EVENT or SIGNAL",
        "docs": "reference/diagnostics/TW201.md",
    }


def test_every_diagnostic_points_into_its_file() -> None:
    for path in CASES.glob("*.case"):
        rules = check(path.read_text("utf-8").partition(END)[0])
        for found in rules.diagnostics:
            assert 0 <= found.span.start <= found.span.end <= len(rules.texts[found.file]), path.stem
            assert found.severity == ("warning" if found.code in _WARNINGS else "error"), found.code


_WARNINGS = {*(f"TW50{i}" for i in range(1, 10)), "TW511"}
