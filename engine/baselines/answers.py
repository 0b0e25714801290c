"""What rules ask of a baseline, as code in place of a call.

A rule asks of nearly every event, and nearly every answer is no: the event did not feed the baseline, the
value was seen before, the number is a usual one. That is told from what ``observe`` gave and from the row, as
the functions of the estimators tell it; tests run both ways side by side (tests/baselines/test_answers.py).
"""

from __future__ import annotations

from math import log1p
from typing import Any

import msgspec

from engine.baselines.estimator import Estimator
from engine.baselines.novelty import PEER_UNSEEN, UNSEEN, Novelty
from engine.baselines.robust import Robust

_NEW = frozenset({UNSEEN, PEER_UNSEEN})


class Answer(msgspec.Struct, frozen=True):
    """Source of an answer.

    Attributes:
        tests: what must hold before ``value`` may be asked for.
        value: the answer; None while the key is cold, unless ``known``.
        known: ``value`` is never None.
        holds: of a function that says yes or no: source that is true where the answer is yes; else empty.
    """

    tests: tuple[str, ...]
    value: str
    known: bool = False
    holds: str = ""


def answer(
    estimator: Estimator, function: str, row: str, seen: str, peer: str, ask: str, names: dict[str, Any]
) -> Answer:
    """The answer of a function.

    Args:
        row, seen, peer: source of what the function is called with.
        ask: name of the function.
        names: globals of the code, to add to.
    """
    call = f"{ask}({row}, {seen}, {peer})"
    observed = f"{seen} is not None"
    if function == "ready":
        return Answer((), f"({observed} and {call})", known=True, holds=f"({observed} and {call})")
    if isinstance(estimator, Robust) and function == "deviation":
        names["log1p"] = log1p
        warm = f"{row}[{estimator.samples_at}] >= {estimator.warmup}"
        centre = estimator.centre_at
        value = f"(log1p({seen}) - {row}[{centre}]) / {row}[{centre + 1}]"
        if estimator.peer is None:
            return Answer((observed, warm), f"({value})", known=True)
        return Answer((observed,), f"({value} if {warm} else {call})")
    if isinstance(estimator, Novelty):
        names["NEW"] = _NEW
        return Answer((observed,), call, holds=f"{seen} in NEW")
    return Answer((observed,), call)
