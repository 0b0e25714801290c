"""Why an alert changed, and what changed: for updates and closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from engine.alerting.envelope import raw_ref, seen_at
from engine.alerting.guards import Guard
from engine.alerting.words import kind_in_words
from engine.alerts import Alert, Cause, Change, Plain, StepEvidence, rfc3339
from engine.automaton import Match
from engine.kept import Kept

_MAX_IDS = 8
"""Events of a step that a change names."""


def cause_of(kept: Kept, activity: str, guards: Sequence[Guard], match: Match) -> Cause:
    """The event that changed an alert; for a close also the guard that it is. ``match``: what was found."""
    guard = None
    if activity == "close":
        guard = next((guard.what for guard in guards if guard.is_met_by(kept, match)), None)
    event = kept.event
    return Cause(
        kept.event_id,
        event.kind,
        rfc3339(kept.time),
        event.source or "unknown",
        guard,
        seen_at(event),
        raw_ref(event),
    )


def explanation(
    activity: Literal["create", "update", "close"], cause: Cause, before: Alert, reopened: bool
) -> str:
    """The last part of the reason: what happened to the alert, and by which event."""
    did = "closed" if activity == "close" else "reopened" if reopened else "updated"
    event = f"{kind_in_words(cause.kind)} {cause.event_id} at {cause.time}"
    if cause.guard is not None:
        return f"{did} by {event}, which came late and explains it: `{cause.guard}` did not see it"
    if any(step.event_id == cause.event_id and step.kind == cause.kind for step in before.steps):
        return f"{did} because {event}, which it rests on, was withdrawn or changed"
    if activity == "close":
        return f"closed because {event} came late: with it the rule matches otherwise, or not at all"
    return f"{did} because {event} came late"


def changes(before: Alert, after: Alert) -> list[Change]:
    """What differs between two revisions, in the order of the alert's keys."""
    found: list[Change] = []

    def note(what: str, old: Plain, new: Plain) -> None:
        if old != new:
            found.append(Change(what, old, new))

    note("status", before.status, after.status)
    note("time", before.time, after.time)
    note("severity", before.severity, after.severity)
    note("risk", before.risk, after.risk)
    note("confidence", before.confidence.level, after.confidence.level)
    note("incomplete", before.incomplete, after.incomplete)
    old, new = _by_step(before.steps), _by_step(after.steps)
    for name in dict.fromkeys([*old, *new]):
        note(f"step {name}", _listed(old.get(name)), _listed(new.get(name)))
    for name, value in after.fields.items():
        note(f"field {name}", before.fields.get(name), value)
    return found


def _by_step(steps: list[StepEvidence]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for step in steps:
        found.setdefault(step.name, []).append(step.event_id)
    return found


def _listed(ids: list[str] | None) -> str | None:
    if ids is None:
        return None
    more = f" and {len(ids) - _MAX_IDS} more" if len(ids) > _MAX_IDS else ""
    return ", ".join(ids[:_MAX_IDS]) + more
