"""The history of a baseline as a picture: its values, the centre and the band that each was held against."""

from __future__ import annotations

from engine.alerts import rfc3339
from engine.explain.history import Point
from engine.report.html.histories import Past
from engine.report.html.markup import Markup, tag
from engine.report.html.scale import LogScale, TimeScale

WIDTH, HEIGHT = 720, 190
_LEFT, _RIGHT, _TOP, _FLOOR = 52, 708, 12, 158


def plot(past: Past, time: int) -> Markup | None:
    """The picture; None where the values are no amounts. ``time``: of the event that is judged."""
    points = [point for point in past.points if isinstance(point.value, float | int)]
    if len(points) < 2:
        return None
    values = [float(point.value) for point in points]
    bounds = [edge for point in points for edge in (point.low, point.high) if edge is not None]
    low, high = min([*values, *bounds]), max([*values, *bounds])
    up = LogScale(max(0.0, low / 2), max(high, 1) * 1.6, _FLOOR, _TOP)
    across = TimeScale(points[0].time_ms, max(points[-1].time_ms, points[0].time_ms + 1), _LEFT, _RIGHT)
    parts: list[Markup] = []
    for y, words in up.ticks():
        parts.append(tag("line", class_="grid", x1=_LEFT, x2=_RIGHT, y1=y, y2=y))
        parts.append(tag("text", words, class_="mark end", x=_LEFT - 7, y=y + 4))
    for x, words in across.ticks(6):
        parts.append(tag("line", class_="tick", x1=x, x2=x, y1=_FLOOR, y2=_FLOOR + 5))
        anchor = "end" if x > _RIGHT - 40 else "mid"
        parts.append(tag("text", words, class_=f"mark {anchor}", x=x, y=_FLOOR + 19))
    parts.append(tag("line", class_="axis", x1=_LEFT, x2=_RIGHT, y1=_FLOOR, y2=_FLOOR))
    parts += _band(points, across, up)
    judged = min(points, key=lambda point: (abs(point.time_ms - time), point.time_ms))
    for point, value in zip(points, values, strict=True):
        kind = "event" if point is judged else "past marked" if point.marked else "past"
        radius = 6 if point is judged else 2.2
        title = tag("title", f"{rfc3339(point.time_ms)[:19]}: {value:,.0f}")
        parts.append(
            tag("circle", title, class_=kind, cx=across.at(point.time_ms), cy=up.at(value), r=radius)
        )
    return tag(
        "svg",
        *parts,
        class_="band",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"History of the baseline: {len(points):,} values, the band that is usual, "
        "and the value judged",
    )


def _band(points: list[Point], across: TimeScale, up: LogScale) -> list[Markup]:
    known = [p for p in points if p.low is not None and p.high is not None and p.centre is not None]
    if len(known) < 2:
        return []
    upper = [f"{across.at(p.time_ms)},{up.at(p.high or 0)}" for p in known]
    lower = [f"{across.at(p.time_ms)},{up.at(p.low or 0)}" for p in reversed(known)]
    middle = [f"{across.at(p.time_ms)},{up.at(p.centre or 0)}" for p in known]
    return [
        tag("polygon", class_="usual", points=" ".join([*upper, *lower])),
        tag("polyline", class_="centre", points=" ".join(middle)),
    ]
