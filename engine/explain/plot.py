"""The history of a baseline as a picture of characters: values, centre, band, and what deviated."""

from __future__ import annotations

from collections.abc import Sequence
from math import expm1, log1p

import msgspec

from engine.alerts import number
from engine.explain.history import History, Point

WIDTH = 72
HEIGHT = 12
VALUE, MARKED, CENTRE, BAND = "o", "#", "-", "."
LEGEND = f"{VALUE} value   {MARKED} deviates   {CENTRE} centre   {BAND} two spreads around it"
SCORE_LEGEND = f"{VALUE} score   {MARKED} deviates"


class Scale(msgspec.Struct, frozen=True):
    """Of the vertical axis. Amounts grow by factors, so they are drawn as ln(1 + x), as baselines do."""

    low: float
    high: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """0 at the bottom, 1 at the top."""
        height = log1p(max(0.0, value)) if self.logarithmic else value
        return (height - self.low) / (self.high - self.low)

    def value(self, share: float) -> float:
        """The value at a share of the height."""
        height = self.low + share * (self.high - self.low)
        return expm1(height) if self.logarithmic else height


def is_amount(history: History) -> bool:
    """Whether values are drawn, with a band, and not scores."""
    return history.using in ("robust", "fanout")


def scale_of(history: History) -> Scale:
    """A scale on which every point, and every band, has its place."""
    amount = is_amount(history)
    heights = [drawn for point in history.points if (drawn := _drawn(history, point)) is not None]
    if amount:
        heights += [x for p in history.points for x in (p.low, p.high) if x is not None]
    low, high = min(heights, default=0.0), max(heights, default=1.0)
    if amount:
        low, high = log1p(max(0.0, low)), log1p(max(0.0, high))
    room = (high - low) * 0.03 or 0.5
    return Scale(low - room if low - room > 0 or not amount else min(low, 0.0), high + room, amount)


def _drawn(history: History, point: Point) -> float | None:
    if is_amount(history):
        return point.value if isinstance(point.value, int | float) else None
    return point.score


def heights(history: History) -> list[float | None]:
    """What is drawn of each point; None: nothing, as long as it is cold."""
    return [_drawn(history, point) for point in history.points]


def plot(history: History, width: int = WIDTH, height: int = HEIGHT) -> list[str]:
    """The lines of the picture. Columns are spans of time; of the values in one the highest is drawn, and
    one that deviates before others.
    """
    points = history.points
    if not points:
        return ["nothing yet"]
    scale = scale_of(history)
    first, last = points[0].time_ms, points[-1].time_ms
    grid = [[" "] * width for _ in range(height)]

    def column(time: int) -> int:
        return 0 if last == first else round((time - first) / (last - first) * (width - 1))

    def row(value: float) -> int:
        return height - 1 - round(min(1.0, max(0.0, scale.at(value))) * (height - 1))

    by_column: dict[int, list[Point]] = {}
    for point in points:
        by_column.setdefault(column(point.time_ms), []).append(point)
    if is_amount(history):
        for x, there in by_column.items():
            shown = there[-1]
            if shown.low is None or shown.high is None or shown.centre is None:
                continue
            for y in range(row(shown.high), row(shown.low) + 1):
                grid[y][x] = BAND
            grid[row(shown.centre)][x] = CENTRE
    for x, there in by_column.items():
        drawn = [(p.marked, h, p) for p in there if (h := _drawn(history, p)) is not None]
        if drawn:
            marked, value, _ = max(drawn, key=lambda found: found[:2])
            grid[row(value)][x] = MARKED if marked else VALUE
    labels = [number(scale.value((height - 1 - y) / (height - 1))) for y in range(height)]
    margin = max(map(len, labels))
    shown_rows = {0, height // 2, height - 1}
    return [
        f"{labels[y] if y in shown_rows else '':>{margin}} |{''.join(cells).rstrip()}"
        for y, cells in enumerate(grid)
    ]


def marked(points: Sequence[Point]) -> list[Point]:
    """Those that deviate."""
    return [point for point in points if point.marked]
