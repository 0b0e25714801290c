"""``thenwire explain``: what a rule means, what it costs, and what it reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from dsl.diagnostics import did_you_mean
from engine.cli.common import UsageError, err, load_rules, print_diagnostics
from engine.explain import as_text, mermaid, svg
from engine.explain import explain as explained


def explain(
    *rule: str,
    rules: Annotated[list[str], Parameter(negative="", consume_multiple=True)],
    code: Annotated[bool, Parameter(negative="")] = False,
    mermaid_: Annotated[bool, Parameter(name="--mermaid", negative="")] = False,
    svg_: Annotated[Path | None, Parameter(name="--svg")] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> int:
    """Explain a rule: in words, step by step, what it keeps and for how long, what it reads.

    Parameters
    ----------
    rule
        The name of the rule, with spaces or underscores.
    rules
        Files or folders of .rule files, or the name of a shipped pack.
    code
        Add the code that is generated for the rule.
    mermaid_
        Print a Mermaid state diagram instead.
    svg_
        Write the diagram to this file, too.
    json
        One JSON object with everything instead.
    set_
        PARAM=value, as a deployment would set it.
    """
    if json and mermaid_:
        raise UsageError("choose one of --json and --mermaid")
    name = "_".join(" ".join(rule).split())
    if not name:
        raise UsageError("name a rule")
    ruleset = load_rules(rules, set_ or ())
    if name not in ruleset.rules:
        shown = name.replace("_", " ")
        if name in ruleset.broken:
            print_diagnostics(ruleset, ruleset.errors, err)
            raise UsageError(f"the rule `{shown}` has errors and did not load")
        known = ", ".join(f"`{known.replace('_', ' ')}`" for known in list(ruleset.rules)[:10])
        otherwise = f"the rules are {known}" if known else "no rule is loaded"
        raise UsageError(f"there is no rule `{shown}`; {did_you_mean(name, ruleset.rules, otherwise)}")
    found = explained(ruleset, name)
    picture = mermaid(found.diagram)
    if svg_ is not None:
        try:
            svg_.write_text(svg(found.diagram, f"{found.rule}: {found.title}"), "utf-8")
        except OSError as error:
            raise UsageError(
                f"`{svg_}` cannot be written: {(error.strerror or 'no reason').lower()}"
            ) from None
    if json:
        record = {**msgspec.to_builtins(found), "mermaid": picture}
        sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
    elif mermaid_:
        sys.stdout.write(picture)
    else:
        sys.stdout.write(as_text(found, code))
    return 0
