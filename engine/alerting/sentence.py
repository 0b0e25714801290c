"""The reason of an alert: one sentence with numbers."""

from __future__ import annotations

from engine.alerting.step_name import StepName
from engine.alerting.words import in_time
from engine.alerts import Deviation, number, printable, rfc3339
from engine.automaton import Match
from engine.elements import Deadline


def reason(
    where: str,
    match: Match,
    names: tuple[StepName, ...],
    words: list[str],
    deviations: list[Deviation],
    took: str,
    explanation: str,
) -> str:
    """What happened, when, how far from normal, in how much of the time allowed.

    Args:
        where: what it is about: ``On d1``.
        match: what was found.
        names: of its steps.
        words: what completed each step; these are printable already.
        deviations: what baselines said of the events.
        took: the time from first to last and what is allowed, empty for a single event.
        explanation: what happened to the alert since, or empty.
    """
    by_step = {d.step: d for d in reversed(deviations)} if deviations else {}
    parts: list[str] = []
    previous: int | None = None
    for step, kept, text in zip(names, match.events, words, strict=True):
        if by_step and step.name in by_step:
            text += f", {printable(judged(by_step[step.name]))}"
        time = kept.time
        if isinstance(kept, Deadline):
            parts.append(f"then {text} for {in_time(kept.duration_ms)}")
        elif previous is None:
            parts.append(f"{text} at {rfc3339(time)}")
        elif time == previous:
            parts.append(f"then {text} at the same time")
        else:
            parts.append(f"then {text} {in_time(time - previous)} later")
        previous = time
    if took:
        parts.append(took)
    if explanation:
        parts.append(printable(explanation))
    return f"{printable(where)}: {'; '.join(parts)}."


def judged(deviation: Deviation) -> str:
    """What a baseline said, in words."""
    value = deviation.value
    what = f"{deviation.baseline} {value if isinstance(value, str) else number(value)}"
    match deviation.function:
        case "deviation":
            if deviation.expected_low is None or deviation.expected_high is None:
                return f"{what} ({number(deviation.score)} spreads)"
            usual = f"{number(deviation.expected_low)} to {number(deviation.expected_high)}"
            return f"{what} where {usual} is usual ({number(deviation.score)} spreads)"
        case "unseen":
            window = "" if deviation.window_ms is None else f" in {in_time(deviation.window_ms)}"
            return f"{what} {'not seen' if deviation.score else 'seen'}{window}"
        case "prevalence":
            return f"{what} on {number(100 * deviation.score)} % of {number(deviation.samples)} devices"
        case "regularity":
            every = "" if deviation.period_ms is None else f" every {in_time(deviation.period_ms)}"
            return f"{deviation.baseline} regular{every} ({number(deviation.score)} of 1)"
        case "unusual":
            return f"{what} unusual ({number(deviation.score)} of 1)"
        case function:
            return f"{what}, {function} {number(deviation.score)}"
