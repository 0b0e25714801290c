"""TW507: a rule without a test that fires, or without one that stays silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsl import nodes as n
from dsl.diagnostics import Diagnostic
from dsl.lints.common import publishes, spaced, warning
from dsl.model import RuleSet
from dsl.parse import ParsedFile


def untested_rules(ruleset: RuleSet, files: Sequence[ParsedFile]) -> Iterator[Diagnostic]:
    """Each rule that publishes wants both. A test with an error of its own counts: it is there."""
    expected: dict[str, set[str]] = {}
    for file in files:
        for node in file.declarations:
            if isinstance(node, n.TestNode):
                found = {s.what for s in node.statements if isinstance(s, n.Expect)}
                expected.setdefault(node.rule.text, set()).update(found)
    for rule in ruleset.rules.values():
        has = expected.get(rule.name, set())
        missing = [what for what in ("alert", "none") if what not in has]
        if not missing or not publishes(rule):
            continue
        wanted = " and ".join(f"EXPECT {what.upper()}" for what in missing)
        if rule.name not in expected:
            message = f"`{spaced(rule.name)}` has no test"
        else:
            message = f"no test of `{spaced(rule.name)}` has {wanted}"
        hint = {
            "alert": "a TEST with EXPECT ALERT shows that the rule fires",
            "none": "a TEST of a harmless look-alike with EXPECT NONE shows that it stays silent",
        }
        yield warning(
            "TW507",
            message,
            rule.file,
            rule.name_span,
            f"{wanted} missing",
            "; ".join(hint[what] for what in missing),
        )
