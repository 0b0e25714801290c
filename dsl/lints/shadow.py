"""TW503: a guard that every event of its step fits too, so that the step never counts."""

from __future__ import annotations

from collections.abc import Iterator

from dsl.diagnostics import Diagnostic
from dsl.lints.common import all_steps, event_source, required_steps, warning
from dsl.lints.logic import fits_all
from dsl.model import RuleSet


def shadowing_guards(ruleset: RuleSet) -> Iterator[Diagnostic]:
    """WITHOUT and UNLESS include the event itself: one that is step and guard voids its own match."""
    for rule in ruleset.rules.values():
        for step in all_steps(rule.pattern):
            source = event_source(step)
            for guard in step.guards:
                # With FOR the guard looks back from the step and does not see the step's own event.
                if source is not None and guard.lookback_ms is None and fits_all(source, guard.source):
                    yield warning(
                        "TW503",
                        f"every `{source.text}` is a `{guard.source.text}` too, and voids itself",
                        rule.file,
                        guard.span,
                        "shadows its step",
                        "an event that is both is a guard: narrow the guard, or look back with FOR",
                    )
        for unless in rule.unless:
            for step in required_steps(rule.pattern):
                source = event_source(step)
                if source is not None and fits_all(source, unless.source):
                    yield warning(
                        "TW503",
                        f"every `{source.text}` is a `{unless.source.text}` too, and voids its own match",
                        rule.file,
                        unless.span,
                        "shadows a step of the rule",
                        "UNLESS counts the events of the match too: narrow it",
                    )
                    break
