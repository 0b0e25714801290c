"""What the commands share: consoles, loading rules, PARAMs from the command line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

import dsl
from dsl.params import PARAMS_FILE, parse_override
from engine import packs
from engine.alerts import printable

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class UsageError(Exception):
    """Wrong usage or unusable input; the message is one sentence and the exit code 2."""


def complain(sentence: str) -> None:
    """One sentence on standard error."""
    # It may quote a file, a server or an event.
    err.print(Text.assemble(("thenwire: ", "bold red"), printable(sentence)))


def overrides(settings: Sequence[str]) -> dict[str, str | int | float | bool]:
    """``--set name=value`` as values. Raises UsageError for another form."""
    found: dict[str, str | int | float | bool] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set takes name=value, not `{setting}`")
        found[name.strip().replace(" ", "_")] = parse_override(text.strip())
    return found


def load_rules(paths: Sequence[str], settings: Sequence[str] = ()) -> dsl.RuleSet:
    """The rule set below the paths; a shipped pack may be given by its name."""
    if not paths:
        raise UsageError("no rules are given; name files, folders or a shipped pack such as `mobile`")
    try:
        ruleset = dsl.load([packs.resolve(path) for path in paths], overrides(settings))
    except FileNotFoundError as error:
        raise UsageError(str(error)) from None
    if not ruleset.texts.keys() - {PARAMS_FILE}:
        # Nothing wrong in no files: a mistyped folder must not pass a check in a pipeline.
        raise UsageError(f"there are no .rule files in {', '.join(f'`{path}`' for path in paths)}")
    return ruleset


def print_diagnostics(ruleset: dsl.RuleSet, found: Sequence[dsl.Diagnostic], console: Console) -> None:
    """Each diagnostic with its source line, in colour where there is a terminal."""
    for diagnostic in found:
        rendered = dsl.render(diagnostic, ruleset.texts.get(diagnostic.file, ""))
        # A file may have any name.
        text = "\n".join(printable(line) for line in rendered.split("\n"))
        head, _, rest = text.partition("\n")
        style = "bold red" if diagnostic.severity == "error" else "bold yellow"
        console.print(Text(head, style))
        console.print(Text(rest))
        console.print()


def plural(count: int, word: str) -> str:
    """``1 rule``, ``2 rules``."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
