"""The evidence of a match: its events, what baselines said of them, how they came in."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.alerting.envelope import seen_ms
from engine.alerting.step_name import StepName
from engine.alerting.words import in_time, kind_in_words
from engine.alerts import Deviation, StepEvidence, Timing, printable
from engine.automaton import Match
from engine.baselines import Reading
from engine.elements import Deadline, Group, first_event
from engine.kept import Kept

MAX_EVIDENCE = 64
"""Events of one step that an alert lists; ``count`` is exact."""


def steps(names: tuple[StepName, ...], match: Match) -> tuple[list[str], list[StepEvidence]]:
    """What completed each step in words, and the events of all: none for NO, the newest ones for a step of
    several, which says how many.
    """
    words: list[str] = []
    found: list[StepEvidence] = []
    for step, element in zip(names, match.events, strict=True):
        if type(element) is Kept:
            evidence = step.evidence(element)
            words.append(evidence.summary)
            found.append(evidence)
        elif isinstance(element, Group):
            words.append(_group_in_words(step, element))
            shown = [step.evidence(kept) for kept in element.events[-MAX_EVIDENCE:]]
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
    return printable(f"{group.count} {step.source}{within}{step.details(group.completing)}")


def deviations(
    names: tuple[StepName, ...], match: Match, baselines: tuple[tuple[str, str], ...]
) -> list[Deviation]:
    """What the rule's baselines said of each step's event when it arrived. ``baselines``: each name as it is
    and in words.
    """
    found: list[Deviation] = []
    for step, kept in zip(names, match.events, strict=True):
        if kept.readings is not None:
            found += deviations_of(step.name, kept.readings, baselines)
    return found


def deviations_of(
    step: str, readings: Mapping[str, Reading], baselines: tuple[tuple[str, str], ...]
) -> list[Deviation]:
    """:func:`deviations` of one step."""
    found: list[Deviation] = []
    for baseline, words in baselines:
        reading = readings.get(baseline)
        if reading is None or reading.score is None:
            continue
        centre, low, high = reading.expected, reading.low, reading.high
        # By place: by name it takes half as long again.
        found.append(
            Deviation(
                step,
                words,
                reading.function,
                reading.value,
                round(reading.score, 3),
                reading.scope,
                reading.samples,
                reading.state,
                reading.age_ms,
                None if centre is None else round(centre, 1),
                None if low is None else round(low, 1),
                None if high is None else round(high, 1),
                reading.peer,
                reading.window_ms,
                reading.period,
            )
        )
    return found


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
