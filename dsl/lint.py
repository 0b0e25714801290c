"""Findings about rules that are legal and probably not meant: one function a finding."""

from __future__ import annotations

from dsl.diagnostics import Diagnostic
from dsl.model import RuleSet


def lint(ruleset: RuleSet) -> list[Diagnostic]:
    """All warnings about the rules that loaded."""
    return []
