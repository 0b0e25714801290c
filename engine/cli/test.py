"""``thenwire test``: run the TEST blocks of rule files."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.text import Text

from engine.cli.common import UsageError, err, load_rules, out, plural, print_diagnostics
from engine.testing import FAILED, PASSED, VACUOUS, Result, run_test

_STYLES = {PASSED: "green", FAILED: "bold red", VACUOUS: "yellow"}


def test(
    *paths: str,
    k: Annotated[str, Parameter(name="-k")] = "",
    json: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> int:
    """Run the TEST blocks of rule files.

    Parameters
    ----------
    paths
        Files or folders of .rule files, or the name of a shipped pack.
    k
        Only tests whose rule or title contains this text.
    json
        One JSON object a test.
    set_
        PARAM=value, as a deployment would set it.
    """
    ruleset = load_rules(paths, set_ or ())
    chosen = [t for t in ruleset.tests if k.lower() in f"{t.rule.replace('_', ' ')} {t.title}".lower()]
    if not chosen and k:
        raise UsageError(f"no test has `{k}` in its rule or title")
    counts = {PASSED: 0, FAILED: 0, VACUOUS: 0}
    for planned in chosen:
        result = run_test(ruleset, planned)
        counts[result.outcome] += 1
        if json:
            print(msgspec.json.encode(result).decode())
        else:
            _show(result)
    errors = ruleset.errors
    if errors and not json:
        print_diagnostics(ruleset, errors, err)
    summary = f"{counts[PASSED]} passed, {counts[FAILED]} failed, {counts[VACUOUS]} vacuous"
    if errors:
        summary += f"; {plural(len(errors), 'error')} in the rule files"
    (err if json else out).print(summary)
    return 1 if counts[FAILED] or counts[VACUOUS] or errors else 0


def _show(result: Result) -> None:
    name = result.rule.replace("_", " ")
    out.print(Text.assemble((f"{result.outcome:8}", _STYLES[result.outcome]), f" {name}: {result.title}"))
    for line in result.lines:
        out.print(Text(f"           {line}"))
