"""One alert as a picture: its events on a time axis, the window of the rule, and where guards looked."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from dsl.units import format_duration
from engine.alerting.words import kind_in_words
from engine.alerts import Alert, Excluded, StepEvidence, rfc3339
from engine.events import epoch_ms
from engine.report.html.markup import Markup, tag
from engine.report.html.scale import MINUTE, TimeScale, step_for

WIDTH = 960
_LEFT, _RIGHT = 178, 806
"""The time axis lies between these; names stand to its left, what was found to its right."""
_TOP = 8
_WINDOW, _STEP, _GUARD, _AXIS = 34, 46, 26, 40
_NAME = 18
"""Characters of a name that fit beside the axis; the whole one is its tooltip."""
MAX_MARKS = 64
"""Events of one step that are drawn."""


class Lane(msgspec.Struct, frozen=True):
    """The events of one step, in the order of the alert; ``count`` includes those not shown."""

    name: str
    events: list[StepEvidence]
    count: int


def lanes(alert: Alert) -> list[Lane]:
    """The steps of an alert that have events."""
    found: dict[str, list[StepEvidence]] = {}
    for event in alert.steps:
        found.setdefault(event.name, []).append(event)
    return [Lane(name, events, max(len(events), events[0].count or 0)) for name, events in found.items()]


def timeline(alert: Alert) -> Markup:
    """The picture. All that it shows stands in the text of the alert as well."""
    scale = _scale(alert)
    steps = lanes(alert)
    parts: list[Markup] = []
    floor_y = _TOP + _WINDOW + _STEP * len(steps) + _GUARD * len(alert.excluded) + 8
    for x, words in scale.ticks(6):
        parts.append(tag("line", class_="grid", x1=x, x2=x, y1=_TOP, y2=floor_y))
        parts.append(tag("text", words, class_="mark mid", x=x, y=floor_y + 17))
    parts.append(tag("line", class_="axis", x1=_LEFT, x2=_RIGHT, y1=floor_y, y2=floor_y))
    day = rfc3339(epoch_ms(alert.window.start))[:10]
    parts.append(tag("text", f"{day}, UTC", class_="mark", x=8, y=floor_y + 17))
    top = _TOP
    parts.append(_window(alert, scale, top))
    top += _WINDOW
    parts += _links(steps, scale, top)
    for number, lane in enumerate(steps, 1):
        parts.append(_lane(number, lane, scale, top))
        top += _STEP
    for guard in alert.excluded:
        parts.append(_guard(alert, guard, scale, top))
        top += _GUARD
    return tag(
        "svg",
        *parts,
        class_="timeline",
        viewBox=f"0 0 {WIDTH} {floor_y + _AXIS - 14}",
        role="img",
        aria_label=_in_words(alert, steps),
    )


def _in_words(alert: Alert, steps: list[Lane]) -> str:
    told = "; ".join(f"{lane.name} at {lane.events[-1].time}" for lane in steps)
    return (
        f"Timeline: {told or 'no events'}; {alert.window.elapsed} of {alert.window.limit}; "
        f"{len(alert.excluded)} guards looked for and not found"
    )


def _scale(alert: Alert) -> TimeScale:
    """The match in the middle of attention: the whole window where the match is a fair part of it, and of
    the time before as much as guards that look back a little need. What lies beyond is cut off and marked."""
    first, last = epoch_ms(alert.window.start), epoch_ms(alert.window.end)
    elapsed, limit = last - first, alert.window.limit_ms
    if limit and (not elapsed or limit <= 5 * elapsed):
        inner = limit
    else:
        inner = max(elapsed + elapsed // 3, elapsed + 1) if elapsed else MINUTE
    back = [first - epoch_ms(guard.start) for guard in alert.excluded]
    back = [ms for ms in back if ms > 0]
    shown = max((ms for ms in back if 2 * ms <= 3 * inner), default=0)
    left = first - max(shown, inner * (16 if back else 3) // 100) - inner // 50
    return TimeScale(max(left, 0), first + inner, _LEFT, _RIGHT)


def _name(name: str, y: float, number: int | None = None, small: str = "") -> list[Markup]:
    shown = _short(name, _NAME if number is not None else _NAME + 3)
    x = 8
    parts = []
    if number is not None:
        parts.append(tag("circle", class_="number", cx=16, cy=y - 4, r=9))
        parts.append(tag("text", number, class_="digit mid", x=16, y=y))
        x = 32
    parts.append(tag("text", tag("title", name), shown, class_="name", x=x, y=y))
    if small:
        parts.append(tag("text", small, class_="mark", x=x, y=y + 15))
    return parts


def _window(alert: Alert, scale: TimeScale, top: float) -> Markup:
    """The time that the rule allows, and how much of it the match took."""
    first, last = epoch_ms(alert.window.start), epoch_ms(alert.window.end)
    begin, end = scale.at(first), scale.within(first + alert.window.limit_ms)
    parts = _name("window", top + 17)
    if alert.window.limit_ms:
        parts.append(
            tag("rect", class_="window", x=begin, y=top + 6, width=round(end - begin, 1), height=14, rx=3)
        )
        if scale.at(first + alert.window.limit_ms) > scale.right:
            parts.append(_cut(scale.right, top + 13, 1))
    parts.append(
        tag(
            "rect",
            class_="elapsed",
            x=begin,
            y=top + 6,
            width=max(2.0, round(scale.at(last) - begin, 1)),
            height=14,
            rx=3,
        )
    )
    words = (
        f"{alert.window.elapsed} of {alert.window.limit}" if alert.window.limit_ms else alert.window.elapsed
    )
    parts.append(tag("text", words, class_="found", x=_RIGHT + 12, y=top + 17))
    return tag("g", *parts)


def _lane(number: int, lane: Lane, scale: TimeScale, top: float) -> Markup:
    last = lane.events[-1]
    kinds = list(dict.fromkeys(kind_in_words(event.kind) for event in lane.events))
    y = top + 20
    parts = _name(lane.name, y + 1, number, "" if kinds == [lane.name] else _short(", ".join(kinds)))
    parts.append(tag("line", class_="lane", x1=_LEFT, x2=_RIGHT, y1=y - 3, y2=y - 3))
    for event in lane.events[-MAX_MARKS:]:
        x = scale.within(epoch_ms(event.time))
        if event.start is not None:
            begin = scale.within(epoch_ms(event.start))
            parts.append(tag("line", class_="interval", x1=begin, x2=x, y1=y - 3, y2=y - 3))
        title = tag("title", f"{event.time} {event.summary}")
        parts.append(tag("circle", title, class_="event", cx=x, cy=y - 3, r=6))
    label = f"{lane.count:,} events" if lane.count > 1 else _short(kinds[-1], 16)
    parts.append(tag("text", label, class_="found", x=_RIGHT + 12, y=y - 3))
    parts.append(tag("text", _clock(last.time), class_="mark", x=_RIGHT + 12, y=y + 12))
    return tag("g", *parts)


def _links(steps: list[Lane], scale: TimeScale, top: float) -> list[Markup]:
    """From each step to the next, with the time between the two."""
    parts: list[Markup] = []
    for index, (before, after) in enumerate(pairwise(steps)):
        first, last = epoch_ms(before.events[-1].time), epoch_ms(after.events[-1].time)
        x1, x2 = scale.within(first), scale.within(last)
        y1 = top + index * _STEP + 17
        y2 = y1 + _STEP
        parts.append(tag("path", class_="link", d=f"M {x1} {y1} V {y2} H {x2}"))
        if x2 - x1 >= 60:
            words = f"+{format_duration(last - first)}"
            parts.append(tag("text", words, class_="gap mid", x=round((x1 + x2) / 2, 1), y=y2 - 7))
    return parts


def _guard(alert: Alert, guard: Excluded, scale: TimeScale, top: float) -> Markup:
    """Where one guard looked; poorly seen where a gap of the alert names one of its kinds."""
    start, end = epoch_ms(guard.start), epoch_ms(guard.end)
    begin, stop = scale.within(start), scale.within(end)
    poor = {gap.need for gap in alert.gaps} & set(guard.kinds)
    parts = _name(guard.what, top + 15)
    kind = "guard poor" if poor else "guard"
    width = max(2.0, round(stop - begin, 1))
    parts.append(tag("rect", class_=kind, x=begin, y=top + 5, width=width, height=13, rx=2))
    if scale.at(start) < scale.left:
        parts.append(_cut(scale.left, top + 11.5, -1))
        first = epoch_ms(alert.window.start)
        words = f"{_roughly(first - start)} back"
        parts.append(tag("text", words, class_="inside", x=begin + 12, y=top + 15))
    found = "none found"
    if alert.cause is not None and alert.cause.guard == guard.what:
        found = "found late"
        x = scale.within(epoch_ms(alert.cause.time))
        d = f"M {x - 5} {top + 6.5} l 10 10 M {x + 5} {top + 6.5} l -10 10"
        parts.append(tag("path", tag("title", f"{alert.cause.kind} {alert.cause.time}"), class_="cross", d=d))
    elif poor:
        found = "none, poorly seen"
    parts.append(
        tag(
            "text", found, class_="found late" if found == "found late" else "mark", x=_RIGHT + 12, y=top + 15
        )
    )
    return tag("g", tag("title", f"{guard.what}, {guard.window}: {found}"), *parts)


def _cut(x: float, y: float, direction: int) -> Markup:
    """An arrow: it goes on beyond the picture."""
    return tag("path", class_="cut", d=f"M {x} {y - 5} l {8 * direction} 5 l {-8 * direction} 5 z")


def _roughly(milliseconds: int) -> str:
    """A duration in its largest unit or two."""
    step = step_for(milliseconds, 40)
    return format_duration(milliseconds // step * step or milliseconds)


def _short(name: str, most: int = _NAME) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _clock(time: str) -> str:
    """The time of day, with milliseconds only where there are some."""
    return time[11:23].removesuffix(".000")
