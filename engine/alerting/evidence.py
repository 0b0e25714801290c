"""The evidence of a match: its events, what baselines said of them, how they came in."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from engine.alerting.step_name import StepName
from engine.alerting.words import in_time, kind_in_words
from engine.alerts import Deviation, StepEvidence, Timing, printable, rfc3339
from engine.automaton import Match
from engine.elements import Deadline, Group, first_event
from engine.events import Event, epoch_ms
from engine.kept import Kept

MAX_EVIDENCE = 64
"""Events of one step that an alert lists; ``count`` is exact."""


def seen_ms(event: Event) -> int | None:
    """When an event was seen. It decides nothing, so one that is no time is left out."""
    seen = event.seen
    return _moment(seen) if isinstance(seen, str) else seen


def _seen_at(event: Event) -> str | None:
    seen = seen_ms(event)
    return None if seen is None else rfc3339(seen)


@lru_cache(maxsize=1_024)
def _moment(text: str) -> int | None:
    try:
        return epoch_ms(text)
    except (ValueError, OverflowError):
        return None


def raw_ref(event: Event) -> str | None:
    """Where the raw record is, if the event says so; alerts as events have none."""
    found: str | None = getattr(event, "raw_ref", None)
    return found


def steps(names: tuple[StepName, ...], match: Match) -> tuple[list[str], list[StepEvidence]]:
    """What completed each step in words, and the events of all: none for NO, the newest ones for a step of
    several, which says how many.
    """
    words: list[str] = []
    found: list[StepEvidence] = []
    for step, element in zip(names, match.events, strict=True):
        if type(element) is Kept:
            evidence = _evidence(step, element)
            words.append(evidence.summary)
            found.append(evidence)
        elif isinstance(element, Group):
            words.append(_group_in_words(step, element))
            shown = [_evidence(step, kept) for kept in element.events[-MAX_EVIDENCE:]]
            found.append(msgspec.structs.replace(shown[0], count=element.count))
            found.extend(shown[1:])
        else:
            words.append(printable(f"no {step.source}"))
    return words, found


def _group_in_words(step: StepName, group: Group) -> str:
    """How many events there were, or of which kinds."""
    spread = group.time - group.begin
    within = f" within {in_time(spread)}" if spread else " at once"
    if group.branches:
        kinds = dict.fromkeys(kind_in_words(kept.event.kind) for kept in group.events)
        return printable(f"{', '.join(kinds)} together{within}")
    return printable(f"{group.count} {step.source}{within}{step.details(group.event)}")


def _evidence(step: StepName, kept: Kept) -> StepEvidence:
    event, time, begin = kept.event, kept.time, kept.begin
    seen = event.seen
    fields, summary = step.tell(event)
    return StepEvidence(
        step.name,
        event.id or kept.event_id,
        rfc3339(time),
        event.kind,
        event.source or "unknown",
        summary,
        fields,
        None if begin == time else rfc3339(begin),
        None if seen is None else _seen_at(event),
        event.quality,
        event.attribution,
        getattr(event, "raw_ref", None),
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


def timing(names: tuple[StepName, ...], match: Match, events: tuple[Kept, ...], cause: Kept | None) -> Timing:
    """In which order the evidence came, and how late. ``events``: all of the match; ``cause``: the event that
    came out of order.
    """
    order = "in order"
    last_seen: int | None = None
    late: int | None = None
    note: str | None = None
    for kept in events:
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
    """Whether adjacent events of different sources share a time."""
    before: Kept | None = None
    for element in match.events:
        if type(element) is Deadline:
            continue
        if before is not None:
            first = element if type(element) is Kept else first_event(element)
            if first.time == before.time and first.event.source != before.event.source:
                return True
        before = element
    return False
