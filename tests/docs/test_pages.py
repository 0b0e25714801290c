"""What the pages show is what happens: rules check, commands print what stands below them, links resolve."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from doc_pages import (
    DOCS,
    ROOT,
    Block,
    anchors,
    blocks,
    blocks_of,
    commands,
    links,
    matches,
    name_of,
    pages,
)

import dsl
from dsl.diagnostics import ERROR
from engine import packs
from engine.cli import common, main
from engine.matcher import Matcher
from engine.testing import PASSED, run_tests

WIDTH = 100
"""Columns of the terminal that the pages show."""
FRAGMENT_WARNINGS = {"TW507", "TW509"}
"""What a rule without tests and filters is told: the short examples of the reference are such."""
PAGES = pages()
NAMES = [name_of(page) for page in PAGES]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of a fixed width without colours, whatever the environment of the tests says."""
    for console in (common.out, common.err):
        monkeypatch.setattr(console, "_width", WIDTH)
        monkeypatch.setattr(console, "_color_system", None)
        monkeypatch.setattr(console, "_force_terminal", False)


def thenwire(arguments: list[str]) -> tuple[int, str]:
    """The command in this process; its exit code and all that it printed."""
    data = io.BytesIO()
    text = io.TextIOWrapper(data, encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        code = main(arguments)
    return code, data.getvalue().decode()


def shell(command: str) -> tuple[int, str]:
    """A command line with a pipe, or another program, in a process of its own."""
    binaries = Path("bin").resolve()
    binaries.mkdir(exist_ok=True)
    for name, what in (("thenwire", "-m engine.cli"), ("python", "")):
        (binaries / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {what} "$@"\n')
        (binaries / name).chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "FORCE_COLOR"},
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": str(WIDTH),
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    return done.returncode, done.stdout


def run(command: str) -> tuple[int, str]:
    words = shlex.split(command)
    if words[0] == "thenwire" and not {"|", ">", "<", "2>"} & set(words):
        return thenwire(words[1:])
    return shell(command)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
@pytest.mark.usefixtures("terminal")
def test_commands_print_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.file is not None:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text, "utf-8")
        if block.language != "console":
            continue
        wanted = next((int(flag[5:]) for flag in block.flags if flag.startswith("exit=")), 0)
        for command in commands(block):
            code, printed = run(command.text)
            lines = tuple(printed.rstrip("\n").split("\n")) if printed.strip() else ()
            assert code == wanted, f"{block.place}: {command.text}: exit code {code}\n{printed}"
            shown = "\n".join(command.output)
            assert not shown or matches(command.output, lines), (
                f"{block.place}: {command.text}\n{shown}\n--- prints\n{printed}"
            )


class Example(msgspec.Struct, frozen=True):
    """A block of rules with the files that it is checked with."""

    block: Block
    path: str
    files: dict[str, str]


def rule_examples() -> Iterator[Example]:
    for page in PAGES:
        preamble = ""
        files: dict[str, str] = {}
        for block in blocks(page):
            if block.language != "thenwire":
                continue
            if block.file is None:
                yield Example(block, "example.rule", {"example.rule": preamble + block.text})
                preamble += block.text if "preamble" in block.flags else ""
            else:
                files[block.file] = block.text
                yield Example(block, block.file, dict(files))


EXAMPLES = list(rule_examples())


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.block.place for example in EXAMPLES])
def test_rules_are_what_the_page_says(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in example.files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, "utf-8")
    flags = set(example.block.flags)
    ruleset = dsl.load([*example.files, *([packs.resolve("mobile")] if "mobile" in flags else [])])
    refused = Matcher(ruleset).diagnostics
    allowed = FRAGMENT_WARNINGS if example.block.file is None else set()
    found = [d for d in ruleset.diagnostics if d.file == example.path and d.code not in allowed]
    shown = "\n".join(dsl.render(d, ruleset.texts[d.file]) for d in (*found, *refused))
    errors = {d.code for d in found if d.severity == ERROR}
    if "bad" in flags:
        assert errors == {flag for flag in flags if flag.startswith("TW")}, shown
        return
    assert not errors, shown
    if "draft" in flags:
        return
    assert not found, shown
    assert not refused, shown
    own = [test for test in ruleset.tests if test.file in example.files]
    assert [result for result in run_tests(ruleset, own) if result.outcome != PASSED] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_resolve(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{name_of(page)}: {link}"
        if anchor:
            assert anchor in anchors(path), f"{name_of(page)}: {link}: no such heading"


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_file() or page.suffix != ".md":
            continue
        reached.add(page)
        targets = [link.partition("#")[0] for link in links(page) if "://" not in link]
        waiting += [(page.parent / target).resolve() for target in targets if target]
    assert [name_of(page) for page in PAGES if DOCS in page.parents and page not in reached] == []


def test_the_extractor_finds_files_flags_and_commands() -> None:
    rules = "Save `a/b.rule` again:\n\n```thenwire bad TW401\nx\n\n```\n\n"
    text = rules + "```console exit=1\n$ one\nout\n...\nend\n$ two\n```\n"
    first, second = blocks_of(text, "page.md")
    assert (first.file, first.language, first.flags, first.text) == (
        "a/b.rule",
        "thenwire",
        ("bad", "TW401"),
        "x\n\n",
    )
    assert second.file is None
    assert [(c.text, c.output) for c in commands(second)] == [("one", ("out", "...", "end")), ("two", ())]


def test_shown_output_has_to_match() -> None:
    assert matches(("a", "...", "z"), ("a", "b", "c", "z"))
    assert matches(("a ",), ("a",))
    assert matches(("one ... three",), ("one two three",))
    assert not matches(("one ... three",), ("one two", "three"))
    assert not matches(("a", "...", "z"), ("a", "b"))
    assert not matches(("a",), ("a", "b"))
    assert not matches(("a.c",), ("abc",))
