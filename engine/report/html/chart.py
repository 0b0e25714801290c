"""Alerts over time: a column for each span of time, its parts by severity."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import msgspec

from dsl.units import format_duration
from engine.alerts import rfc3339
from engine.report.html.collect import SEVERITIES, Outline
from engine.report.html.markup import Markup, join, tag
from engine.report.html.scale import DAY, TimeScale, step_for

COLUMNS = 60
"""Columns at most."""
WIDTH, HEIGHT = 960, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 14, 34
CLOSED = "closed"
PARTS = (*SEVERITIES, CLOSED)
"""From the axis up."""


class Histogram(msgspec.Struct, frozen=True):
    """``bins``: from the beginning of a span to its alerts by part; spans without alerts are left out."""

    first: int
    step: int
    count: int
    bins: dict[int, dict[str, int]]


def histogram(outlines: list[Outline], first: int, last: int) -> Histogram:
    """Count alerts over a time that holds them all."""
    first = min([first, *(outline.time for outline in outlines)])
    last = max([last, *(outline.time for outline in outlines)])
    step = step_for(last - first + 1, COLUMNS)
    begin = first // step * step
    found: dict[int, Counter[str]] = {}
    for outline in outlines:
        part = CLOSED if outline.status == "closed" else outline.severity
        found.setdefault(outline.time // step * step, Counter())[part] += 1
    count = (last - begin) // step + 1
    return Histogram(begin, step, count, {at: dict(found[at]) for at in sorted(found)})


def picture(histogram: Histogram) -> Markup:
    """The columns as SVG. Its numbers stand in :func:`table`, too."""
    most = max((sum(parts.values()) for parts in histogram.bins.values()), default=1)
    every = next(
        step for step in (1, 2, 5, *(k * 10**n for n in range(1, 9) for k in (1, 2, 5))) if step * 4 >= most
    )
    top = -(-most // every) * every
    floor_y = HEIGHT - _BOTTOM
    scale = (floor_y - _TOP) / top
    end = histogram.first + histogram.count * histogram.step
    across = TimeScale(histogram.first, end, _LEFT, WIDTH - _RIGHT)
    parts: list[Markup] = []
    for value in range(0, top + 1, every):
        y = round(floor_y - value * scale, 1)
        parts.append(tag("line", class_="grid", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y))
        parts.append(tag("text", f"{value:,}", class_="mark end", x=_LEFT - 8, y=y + 4))
    for x, words in across.ticks(8):
        parts.append(tag("line", class_="tick", x1=x, x2=x, y1=floor_y, y2=floor_y + 5))
        parts.append(tag("text", words, class_="mark mid", x=x, y=floor_y + 19))
    width = (WIDTH - _RIGHT - _LEFT) / histogram.count
    bar = min(width * 0.8, 14.0)
    for at, counts in histogram.bins.items():
        heights = [counts.get(part, 0) * scale for part in PARTS]
        tops = accumulate(heights)
        columns = [
            tag(
                "rect",
                class_=f"bar s-{part}",
                x=round(across.at(at) + (width - bar) / 2, 1),
                width=round(bar, 1),
                y=round(floor_y - upper, 1),
                height=round(height, 1),
            )
            for part, height, upper in zip(PARTS, heights, tops, strict=True)
            if height
        ]
        said = ", ".join(f"{counts[part]:,} {part}" for part in PARTS if part in counts)
        parts.append(tag("g", tag("title", f"{_span(at, histogram.step)}: {said}"), *columns))
    parts.append(tag("line", class_="axis", x1=_LEFT, x2=WIDTH - _RIGHT, y1=floor_y, y2=floor_y))
    total = sum(sum(counts.values()) for counts in histogram.bins.values())
    return tag(
        "svg",
        *parts,
        class_="chart",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{total:,} alerts over time, in columns of {format_duration(histogram.step)}; "
        "the table below has the numbers",
    )


def legend(histogram: Histogram) -> Markup:
    """Which colour is what, for the parts that occur."""
    used = {part for counts in histogram.bins.values() for part in counts}
    return tag(
        "ul",
        *(tag("li", tag("span", class_=f"key s-{part}"), part) for part in PARTS if part in used),
        class_="legend",
    )


def table(histogram: Histogram) -> Markup:
    """The numbers of the columns."""
    used = [part for part in PARTS if any(part in counts for counts in histogram.bins.values())]
    head = tag(
        "tr", tag("th", "from (UTC)", scope="col"), *(tag("th", p, scope="col", class_="num") for p in used)
    )
    rows = [
        tag(
            "tr",
            tag("th", rfc3339(at)[:16].replace("T", " "), scope="row"),
            *(tag("td", f"{counts.get(part, 0):,}", class_="num") for part in used),
        )
        for at, counts in histogram.bins.items()
    ]
    return tag("table", tag("thead", head), tag("tbody", join(*rows)), class_="plain")


def _span(at: int, step: int) -> str:
    day = rfc3339(at)[:10]
    return day if step >= DAY else f"{day} {rfc3339(at)[11:19]}"
