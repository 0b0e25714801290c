"""The evidence of a match: its events, what baselines said of them, how they came in."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec

from engine.alerting.words import event_in_words, fields_of, in_time, kind_in_words
from engine.alerts import Deviation, StepEvidence, Timing, rfc3339
from engine.automaton import Match
from engine.elements import Deadline, Group, first_event, flat
from engine.events import Event, epoch_ms
from engine.kept import Kept

MAX_EVIDENCE = 64
"""Events of one step that an alert lists; ``count`` is exact."""


class StepName(msgspec.Struct, frozen=True):
    """What an alert calls a step, and the event, signal or rule that it looks for, in words."""

    name: str
    source: str


def seen_ms(event: Event) -> int | None:
    """When an event was seen. It decides nothing, so one that is no time is left out."""
    seen = event.seen
    if isinstance(seen, str):
        try:
            return epoch_ms(seen)
        except (ValueError, OverflowError):
            return None
    return seen


def raw_ref(event: Event) -> str | None:
    """Where the raw record is, if the event says so; alerts as events have none."""
    found: str | None = getattr(event, "raw_ref", None)
    return found


def steps(
    names: tuple[StepName, ...], match: Match, fields: list[dict[str, Any]], words: list[str]
) -> list[StepEvidence]:
    """The events of each step: none for NO, the newest ones for a step of several, which says how many.

    ``fields`` are those of each step's last event, ``words`` what completed each step.
    """
    found: list[StepEvidence] = []
    for step, element, known, text in zip(names, match.events, fields, words, strict=True):
        if isinstance(element, Deadline):
            continue
        if not isinstance(element, Group):
            found.append(_evidence(step, element, known, text))
            continue
        shown: list[StepEvidence] = []
        for kept in element.events[-MAX_EVIDENCE:]:
            known = fields_of(kept)
            shown.append(_evidence(step, kept, known, event_in_words(step.source, kept, known)))
        found.append(msgspec.structs.replace(shown[0], count=element.count))
        found.extend(shown[1:])
    return found


def _evidence(step: StepName, kept: Kept, fields: dict[str, Any], summary: str) -> StepEvidence:
    event = kept.event
    seen = None if event.seen is None else seen_ms(event)
    return StepEvidence(
        step.name,
        kept.event_id,
        rfc3339(kept.time),
        event.kind,
        event.source or "unknown",
        summary,
        fields,
        None if kept.begin == kept.time else rfc3339(kept.begin),
        None if seen is None else rfc3339(seen),
        event.quality,
        event.attribution,
        raw_ref(event),
    )


def deviations(names: tuple[StepName, ...], match: Match, baselines: tuple[str, ...]) -> list[Deviation]:
    """What the rule's baselines said of each step's event when it arrived."""
    found: list[Deviation] = []
    for step, kept in zip(names, match.events, strict=True):
        if kept.readings is None:
            continue
        for baseline in baselines:
            reading = kept.readings.get(baseline)
            if reading is None or reading.score is None:
                continue
            found.append(
                Deviation(
                    step=step.name,
                    baseline=baseline.replace("_", " "),
                    function=reading.function,
                    value=reading.value,
                    score=round(reading.score, 3),
                    scope=reading.scope,
                    samples=reading.samples,
                    state=reading.state,
                    age_ms=reading.age_ms,
                    centre=_rounded(reading.expected),
                    expected_low=_rounded(reading.low),
                    expected_high=_rounded(reading.high),
                    peer=reading.peer,
                    window_ms=reading.window_ms,
                    period_ms=reading.period,
                )
            )
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def timing(names: tuple[StepName, ...], match: Match, cause: Kept | None) -> Timing:
    """In which order the evidence came, and how late. ``cause``: the event that came out of order."""
    order = "in order"
    last_seen: int | None = None
    late: int | None = None
    note: str | None = None
    for kept in flat(match.events):
        if kept.event.seen is None:
            continue
        seen = seen_ms(kept.event)
        if seen is None:
            continue
        if last_seen is None or seen > last_seen:
            last_seen, late = seen, seen - kept.time
        if seen < kept.time and note is None:
            ahead = in_time(kept.time - seen)
            note = (
                f"`{kind_in_words(kept.event.kind)}` {kept.event_id} is dated {ahead} after it was seen: "
                f"the clock of {kept.event.source or 'its source'} or that of its receiver is wrong"
            )
    if cause is not None:
        order = f"`{kind_in_words(cause.event.kind)}` {cause.event_id} came late"
    elif last_seen is not None:
        order = _order_seen(names, match) or order
    return Timing(order, _tie(match), None if late is None else max(0, late) / 1000, note)


def _order_seen(names: tuple[StepName, ...], match: Match) -> str | None:
    """The first step that was seen before one that happened earlier, as the sensors say."""
    before: tuple[str, int] | None = None
    for step, element in zip(names, match.events, strict=True):
        if isinstance(element, Deadline):
            continue
        seen = seen_ms(element.event)
        if seen is None:
            continue
        if before is not None and seen < before[1]:
            return f"`{step.name}` was seen before `{before[0]}`"
        before = (step.name, seen)
    return None


def _tie(match: Match) -> bool:
    if len(match.events) == 1:
        return False
    elements = [x for x in match.events if not isinstance(x, Deadline)]
    pairs = [(a, first_event(b)) for a, b in pairwise(elements)]
    return any(a.time == b.time and a.event.source != b.event.source for a, b in pairs)
