"""TW507 and TW511: a rule without a test that fires, or without one whose silence shows something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsl import nodes as n
from dsl.bind_patterns import first_sources
from dsl.diagnostics import Diagnostic
from dsl.lints.common import publishes, spaced, warning
from dsl.model import RuleSet, RuleTest, TestEvent
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


def silence_without_cause(ruleset: RuleSet) -> Iterator[Diagnostic]:
    """Rules whose every test of silence is vacuous for certain: nothing of the first step's kind goes in.

    Whether an event fits the first step is known only when the tests run; they say it then.
    """
    silent: dict[str, list[RuleTest]] = {}
    for test in ruleset.tests:
        if any(expectation.what == "none" for expectation in test.expectations):
            silent.setdefault(test.rule, []).append(test)
    for name, tests in silent.items():
        sources = first_sources(ruleset.rules[name].pattern)
        if any(source.alert_rule is not None for source in sources):
            continue  # what goes in is for the rule whose alerts it reads
        kinds = {member.kind for source in sources for member in source.members}
        given = {item.kind for test in tests for item in test.inputs if isinstance(item, TestEvent)}
        if not kinds & given:
            wanted = " or ".join(f"`{spaced(kind.replace('.', '_'))}`" for kind in sorted(kinds))
            yield warning(
                "TW511",
                f"no test of silence begins a run of `{spaced(name)}`",
                tests[0].file,
                tests[0].span,
                f"there is no {wanted} in it",
                "put in an event that fits the first step, and let the test fail at one thing only",
            )
