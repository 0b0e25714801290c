"""How sure the evidence of a match is, apart from how bad it would be."""

from __future__ import annotations

from typing import Literal

from engine.alerting.step_name import StepName
from engine.alerting.words import kind_in_words
from engine.alerts import Confidence, Deviation
from engine.automaton import Match
from engine.elements import flat
from engine.kept import Kept

CAPPED = "capped: choices were dropped before this match"
SURE = Confidence("high", [])
"""Of a match with no weakness."""
NO_LONGER_KEPT = "an event that could have changed it came when its time was no longer kept"


def confidence(
    match: Match,
    events: tuple[Kept, ...],
    names: tuple[StepName, ...],
    keys: tuple[str, ...],
    deviations: list[Deviation],
    history_since: str | None,
    incomplete: bool,
) -> Confidence:
    """High, medium with one weakness, low with more, or with guards that had no history.

    Args:
        match: what was found.
        events: all events of it.
        names: of its steps.
        keys: the rule's BY without the device.
        deviations: what baselines said.
        history_since: since when there is guard history, where that is shorter than a guard looks back.
        incomplete: something that could have changed the match was no longer kept.
    """
    why: list[str] = []
    by_address: str | None = None
    by_device: str | None = None
    bare = first_last = interval = False
    for kept in events:
        event = kept.event
        attribution = event.attribution
        if keys and None in kept.key:
            bare = True
        elif keys and attribution == "device":
            by_device = event.kind
        if attribution == "ip":
            by_address = event.kind
        if event.quality == "first_last":
            first_last = True
        if kept.begin != kept.time:
            interval = True
    if bare:
        steps = " and ".join(f"`{name}`" for name in _bare_steps(names, match))
        why.append(f"{steps} names no {_words(keys)}: joined by the device alone")
    why += _of_baselines(deviations)
    if match.capped:
        why.append(CAPPED)
    elif incomplete:
        why.append(NO_LONGER_KEPT)
    if by_address is not None:
        why.append(f"a `{kind_in_words(by_address)}` is known to be of the device by its address only")
    if by_device is not None:
        why.append(
            f"a `{kind_in_words(by_device)}` is known of the device, not of the {_words(keys)} for sure"
        )
    if first_last:
        why.append("an event is known only by its first or last time")
    if interval:
        why.append("an event is an interval")
    return _level(why, history_since)


def confidence_in_history(deviations: list[Deviation], history_since: str | None) -> Confidence:
    """:func:`confidence` of a match whose events have no weakness of their own."""
    return _level(_of_baselines(deviations), history_since)


def _of_baselines(deviations: list[Deviation]) -> list[str]:
    why: list[str] = []
    for deviation in deviations:
        if deviation.peer:
            why.append(f"`{deviation.baseline}` judged against the fleet: the key itself is too young")
        if deviation.state == "shifted":
            why.append(f"`{deviation.baseline}` has just shifted its level")
    return why


def _level(why: list[str], history_since: str | None) -> Confidence:
    if history_since is not None:
        return Confidence("low", [*why, f"guard history since {history_since}"])
    level: Literal["low", "medium", "high"] = "high" if not why else "medium" if len(why) == 1 else "low"
    return Confidence(level, why)


def _bare_steps(names: tuple[StepName, ...], match: Match) -> list[str]:
    """The steps of which an event lacks a key field."""
    bare = [
        step.name
        for step, element in zip(names, match.events, strict=True)
        if any(None in kept.key for kept in flat((element,)))
    ]
    return list(dict.fromkeys(bare))


def _words(keys: tuple[str, ...]) -> str:
    return " and ".join(key.replace("_", " ") for key in keys)
