"""docs/reference/diagnostics: a page for each code, and examples that do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dsl.bind import bind
from dsl.diagnostics import CODES
from dsl.parse import parse
from engine.matcher import Matcher

PAGES = Path(__file__).parents[2] / "docs" / "reference" / "diagnostics"
WITHOUT_EXAMPLE = {"TW904"}
"""A rule that would fill the page."""
EXAMPLE = re.compile(r"^```rule\n(.*?)^```", re.DOTALL | re.MULTILINE)


def examples(page: str) -> list[str]:
    return EXAMPLE.findall((PAGES / f"{page}.md").read_text("utf-8"))


def codes_of(example: str) -> set[str]:
    (preamble,) = examples("index")
    rules = bind([parse(preamble, "preamble.rule"), parse(example, "example.rule")])
    found = (*rules.diagnostics, *Matcher(rules).diagnostics)
    assert not [d for d in found if d.file == "preamble.rule"]
    return {d.code for d in found}


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert {p.stem for p in PAGES.glob("*.md")} == {*CODES, "index"}


def test_the_index_names_every_code_with_its_meaning() -> None:
    index = (PAGES / "index.md").read_text("utf-8")
    rows = re.findall(r"^\| \[(TW\d+)\]\(\1\.md\) \| (.*) \|$", index, re.MULTILINE)
    assert dict(rows) == CODES


@pytest.mark.parametrize("code", CODES)
def test_the_page_is_headed_by_code_and_meaning(code: str) -> None:
    first = (PAGES / f"{code}.md").read_text("utf-8").splitlines()[0]
    assert first == f"# {code}: {CODES[code]}"


@pytest.mark.parametrize("code", sorted(set(CODES) - WITHOUT_EXAMPLE))
def test_the_bad_example_is_reported_and_the_good_one_is_not(code: str) -> None:
    bad, good = examples(code)
    assert code in codes_of(bad)
    after = codes_of(good)
    assert code not in after
    assert all(other.startswith("TW5") for other in after), "the good example has an error of its own"
