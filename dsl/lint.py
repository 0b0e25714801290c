"""Findings about rules that are legal and probably not meant: one function a finding, in dsl/lints/."""

from __future__ import annotations

from collections.abc import Sequence

from dsl.diagnostics import Diagnostic
from dsl.lints.inclusion import included_rules
from dsl.lints.lateness import late_absences
from dsl.lints.negatives import negatives_over_missing
from dsl.lints.never import never_firing
from dsl.lints.relation import unrelated_apps
from dsl.lints.shadow import shadowing_guards
from dsl.lints.state import state_over_budget, without_local_part
from dsl.lints.untested import silence_without_cause, untested_rules
from dsl.model import RuleSet
from dsl.parse import ParsedFile


def lint(ruleset: RuleSet, files: Sequence[ParsedFile]) -> list[Diagnostic]:
    """All warnings about the rules that loaded. ``files`` are what the author wrote, parsed."""
    return [
        *unrelated_apps(ruleset),
        *negatives_over_missing(ruleset, files),
        *shadowing_guards(ruleset),
        *never_firing(ruleset),
        *late_absences(ruleset),
        *included_rules(ruleset),
        *untested_rules(ruleset, files),
        *silence_without_cause(ruleset),
        *state_over_budget(ruleset),
        *without_local_part(ruleset),
    ]
