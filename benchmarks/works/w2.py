"""W2: five deviations of an app within ten minutes, then a crash, then a change of the security context."""

from __future__ import annotations

import dsl
from benchmarks.brute_force import bursts
from benchmarks.references import w2 as reference
from benchmarks.works.w1 import EVENTS
from benchmarks.works.work import Work

RULES = (
    EVENTS
    + """
RULE w2 "A burst of deviations, then a crash, then another security context" {
  BY device, app
  WHEN AT LEAST 5 net flow [score >= 4] IN 10m AS burst
    THEN app crash
    THEN security context
    WITHIN 30m
}
"""
)


def make(lines: list[bytes]) -> Work:
    """The work over these events."""
    return Work(
        name="w2",
        about="one rule: five deviations of an app within 10 min, then a crash, then another security "
        "context, all within 30 min",
        ruleset=dsl.load_text(RULES),
        lines=lines,
        reference=reference.count,
        brute_force=lambda events: len(bursts(events)),
        budget=1.7,
    )
