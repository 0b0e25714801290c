"""The reference leaves nothing out: commands, options, words of the language, dependencies."""

from __future__ import annotations

import re
import tomllib

import pytest
from doc_pages import DOCS, ROOT

from dsl.functions import ALL_FUNCTIONS, ESTIMATORS
from dsl.split import keywords
from engine.cli import app, main

COMMANDS = sorted(name for name in app if not name.startswith("-"))


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_described(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    sections = re.split(r"^## ", page("reference/command-line.md"), flags=re.MULTILINE)
    section = next((text for text in sections if text.startswith(f"{command}\n")), None)
    assert section is not None, "the command has no section"
    main([command, "--help"])
    options = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out)) - {"--help", "-h"}
    assert {option for option in options if option not in section} == set()


def test_there_are_commands() -> None:
    assert {"check", "test", "replay", "run", "demo", "version"} <= set(COMMANDS)


def test_every_word_of_the_language_is_in_its_reference() -> None:
    text = page("reference/language.md")
    names = {*keywords(), *ALL_FUNCTIONS, *ESTIMATORS}
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(p for extra in project["optional-dependencies"].values() for p in extra),
    ]
    names = {match[0] for text in wanted if (match := re.match(r"[A-Za-z0-9_-]+", text))}
    text = page("explanation/dependencies.md")
    assert {name for name in names if f"`{name}`" not in text} == set()
