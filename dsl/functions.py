"""The functions of the language: what each takes and gives. The engine has one entry for each.

LANGUAGE.md section 3 (functions) and section 6 (baseline functions).
"""

from __future__ import annotations

import msgspec

from dsl.expressions import BOOL, DURATION, FLOAT


class BaselineFunction(msgspec.Struct, frozen=True):
    """A function of a baseline: its result and the estimators that have it."""

    result: str
    estimators: frozenset[str]
    always_known: bool = False


ESTIMATORS = ("robust", "novelty", "prevalence", "cadence", "fanout", "hours")

BASELINE_FUNCTIONS = {
    "deviation": BaselineFunction(FLOAT, frozenset({"robust", "fanout"})),
    "expected": BaselineFunction(FLOAT, frozenset({"robust"})),
    "drift": BaselineFunction(FLOAT, frozenset({"robust"})),
    "unseen": BaselineFunction(BOOL, frozenset({"novelty"})),
    "prevalence": BaselineFunction(FLOAT, frozenset({"prevalence"})),
    "regularity": BaselineFunction(FLOAT, frozenset({"cadence"})),
    "period": BaselineFunction(DURATION, frozenset({"cadence"})),
    "fanout": BaselineFunction(FLOAT, frozenset({"fanout"})),
    "unusual": BaselineFunction(FLOAT, frozenset({"hours"})),
    "ready": BaselineFunction(BOOL, frozenset(ESTIMATORS), always_known=True),
}

# name: fewest and most arguments
VALUE_FUNCTIONS = {
    "lower": (1, 1),
    "upper": (1, 1),
    "len": (1, 1),
    "abs": (1, 1),
    "min": (2, 8),
    "max": (2, 8),
    "round": (1, 2),
    "domain": (1, 1),
    "choose": (3, 3),
}
CONDITION_FUNCTIONS = {"agrees": (2, 2)}

ALL_FUNCTIONS = frozenset(BASELINE_FUNCTIONS) | frozenset(VALUE_FUNCTIONS) | frozenset(CONDITION_FUNCTIONS)
