"""``thenwire check``: read rule files and say all that is wrong with them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter

import dsl
from dsl.diagnostics import ERROR, in_order
from dsl.params import PARAMS_FILE
from engine.cli.common import load_rules, out, plural, print_diagnostics
from engine.matcher import Matcher


def check(
    *paths: str,
    json: Annotated[bool, Parameter(negative="")] = False,
    strict: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> int:
    """Check rule files: syntax, names, types, lints, and whether this engine can run them.

    Parameters
    ----------
    paths
        Files or folders of .rule files, or the name of a shipped pack.
    json
        One JSON object a finding, for editors.
    strict
        Warnings count as findings, too.
    set_
        PARAM=value, as a deployment would set it.
    """
    ruleset = load_rules(paths, set_ or ())
    found = in_order([*ruleset.diagnostics, *Matcher(ruleset).diagnostics])
    errors = sum(d.severity == ERROR for d in found)
    warnings = len(found) - errors
    files = len(ruleset.texts.keys() - {PARAMS_FILE})
    if json:
        for diagnostic in found:
            record = dsl.as_record(diagnostic, ruleset.texts.get(diagnostic.file, ""))
            print(msgspec.json.encode(record).decode())
    else:
        print_diagnostics(ruleset, found, out)
        loaded = f"{plural(len(ruleset.rules), 'rule')} and {plural(len(ruleset.tests), 'test')} loaded"
        findings = f"{plural(errors, 'error')}, {plural(warnings, 'warning')}"
        out.print(f"{plural(files, 'file')}: {loaded}, {findings}")
    return 1 if errors or (strict and warnings) else 0
