"""Findings about rules that are legal and probably not meant: one function a finding."""

from __future__ import annotations

from collections.abc import Sequence

from dsl.diagnostics import Diagnostic
from dsl.model import RuleSet
from dsl.parse import ParsedFile


def lint(ruleset: RuleSet, files: Sequence[ParsedFile]) -> list[Diagnostic]:
    """All warnings about the rules that loaded."""
    return []
