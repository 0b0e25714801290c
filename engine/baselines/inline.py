"""The commonest case of each estimator, as code in place of a call of ``observe``.

Common is: the bucket of the event is open, the value is known, the minute is that of the newest event of the
key. What is written here has to leave the row as ``observe`` would, and to give something that the functions
answer the same for; tests run both ways side by side (tests/baselines/test_inline.py).
"""

from __future__ import annotations

from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine.baselines import hours
from engine.baselines.estimator import Estimator
from engine.baselines.fanout import Fanout
from engine.baselines.layout import USED
from engine.baselines.novelty import COUNT, KNOWN, Novelty
from engine.baselines.prevalence import Prevalence
from engine.baselines.robust import BUCKET, Robust
from engine.baselines.ticks import Ticks

_WHOLE = (e.INT, e.DURATION)


class Common(msgspec.Struct, frozen=True):
    """Source of the commonest case.

    Attributes:
        test: whether this is it.
        lines: what to do then.
        before: what the test needs.
        otherwise: what to do else; empty: call ``observe``.
    """

    test: str
    lines: tuple[str, ...]
    before: tuple[str, ...] = ()
    otherwise: str = ""


def commonest(
    baseline: m.Baseline,
    estimator: Estimator,
    row: str,
    peer: str,
    names: dict[str, Any],
    ticks: Ticks,
) -> Common | None:
    """The commonest case of a baseline, or None where there is none.

    Args:
        row, peer: source of the live row, and of the key of PEER as ``Rows.at`` takes it.
        names: globals of the code, to add to.
    """
    match estimator:
        case Fanout():
            return _fanout(estimator, row, ticks)
        case Robust():
            return _robust(baseline, estimator, row, peer, names, ticks)
        case Novelty():
            return _novelty(estimator, row, peer, names, ticks)
        case hours.Hours() if estimator.every_ms is not None and estimator.peer is None:
            bucket = ticks.part(estimator.every_ms, 1, BUCKET)
            test = f"{row}[{estimator.numbers_at + hours.BUCKET}] == {bucket}"
            return Common(test, (f"b_{estimator.name} = time",))
        case Prevalence() if estimator.peer is None:
            return _prevalence(estimator, row, names, ticks)
    return None


def _robust(
    baseline: m.Baseline, estimator: Robust, row: str, peer: str, names: dict[str, Any], ticks: Ticks
) -> Common | None:
    """The bucket is open: add. Whole numbers only, which cannot overflow a sum of floats."""
    if estimator.single or baseline.values[0].type.name not in _WHOLE:
        return None
    name, total = estimator.name, f"{row}[{estimator.doubles_at}]"
    bucket = ticks.part(estimator.every, 1, BUCKET)
    test = f"{row}[{estimator.numbers_at}] == {bucket} and x_{name} >= 0"
    names[f"add_{name}"] = estimator.add
    otherwise = f"b_{name} = add_{name}({row}, {bucket}, x_{name}, {peer}, {ticks.minute})"
    return Common(test, (f"b_{name} = {total} = {total} + x_{name}",), otherwise=otherwise)


def _fanout(estimator: Fanout, row: str, ticks: Ticks) -> Common:
    """The value was counted in this window already."""
    name = estimator.name
    bucket = ticks.part(estimator.every, 1, BUCKET)
    test = f"{row}[{estimator.numbers_at}] == {bucket} and x_{name} in {row}[{estimator.memory_at}]"
    return Common(test, (f"b_{name} = {row}[{estimator.doubles_at}]",))


def _novelty(estimator: Novelty, row: str, peer: str, names: dict[str, Any], ticks: Ticks) -> Common:
    """The value was seen in this step already: there is one more event."""
    name = estimator.name
    step = ticks.part(estimator.step_ms)

    def known(one: Novelty, place: str) -> str:
        return f"{place}[{one.memory_at}].get(x_{name}) == {step} and {place}[{USED}] == {ticks.minute}"

    test = known(estimator, row)
    lines = [f"{row}[{estimator.numbers_at + COUNT}] += 1", f"b_{name} = {KNOWN}"]
    if isinstance(estimator.peer, Novelty):
        place = f"p_{name}"
        estimator.peer.rows.shown_in(names, f"peers_{name}", "get")
        found = f"({place} := peers_{name}({peer})) is not None"
        if estimator.peer.rows.inner:
            # The coarser key has a device and more.
            found = f"({place} := peers_{name}({peer}[0])) is not None"
            found += f" and ({place} := {place}.get({peer}[1])) is not None"
        test = f"{test} and {found} and {known(estimator.peer, place)}"
        lines.insert(0, f"{place}[{estimator.peer.numbers_at + COUNT}] += 1")
    names[f"take_{name}"] = estimator.take
    otherwise = f"b_{name} = take_{name}({row}, {ticks.minute}, {step}, x_{name}, {peer})"
    return Common(test, tuple(lines), otherwise=otherwise)


def _prevalence(estimator: Prevalence, row: str, names: dict[str, Any], ticks: Ticks) -> Common:
    """The device was counted for this value in this half of OVER already. A late event is answered alike."""
    name = estimator.name
    names[f"observe_known_{name}"] = estimator.observe_known
    half = ticks.part(estimator.half_ms)
    seen = f"b_{name}"
    test = f"{seen} is not None and e.device in {seen}[3] and {seen}[0] == {half} == {seen}[2].half"
    before = (f"{seen} = {row}[{estimator.memory_at}].get(x_{name})",)
    return Common(
        test, ("pass",), before, f"{seen} = observe_known_{name}({row}, time, e.device, x_{name}, {seen})"
    )
