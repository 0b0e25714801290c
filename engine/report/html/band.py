"""What a baseline said of an event, as a picture: the value against the band in which it usually lies."""

from __future__ import annotations

from engine.alerting.sentence import judged
from engine.alerts import Deviation, number
from engine.report.html.markup import Markup, tag
from engine.report.html.scale import LogScale

WIDTH, HEIGHT = 720, 84
_LEFT, _RIGHT = 24, 696
SHARES = frozenset({"prevalence", "regularity", "unusual"})
"""Functions whose answer lies between 0 and 1."""


def band(deviation: Deviation) -> Markup | None:
    """The picture; None where the estimator gives no numbers to draw."""
    low, high, value = deviation.expected_low, deviation.expected_high, deviation.value
    if isinstance(value, float | int) and low is not None and high is not None:
        return _against(deviation, float(value), low, high)
    if deviation.function in SHARES:
        return _share(deviation)
    return None


def _against(deviation: Deviation, value: float, low: float, high: float) -> Markup:
    least, most = min(low, value), max(high, value)
    scale = LogScale(least / 4 if least >= 4 else 0, max(most, 1) * 3, _LEFT, _RIGHT)
    y = 42
    parts = [tag("line", class_="axis", x1=_LEFT, x2=_RIGHT, y1=y + 14, y2=y + 14)]
    for x, words in scale.ticks():
        parts.append(tag("line", class_="tick", x1=x, x2=x, y1=y + 14, y2=y + 19))
        parts.append(tag("text", words, class_="mark mid", x=x, y=y + 34))
    left, right = scale.at(low), scale.at(high)
    width = max(3.0, round(right - left, 1))
    parts.append(tag("rect", class_="usual", x=left, y=y - 12, width=width, height=26, rx=2))
    if deviation.centre is not None:
        x = scale.at(deviation.centre)
        parts.append(tag("line", class_="centre", x1=x, x2=x, y1=y - 12, y2=y + 14))
    usual = f"usual {number(low)} to {number(high)}"
    parts.append(tag("text", usual, class_="inside", **_beside(left, right, len(usual)), y=y - 18))
    x = scale.at(value)
    edge = right if value > high else left if value < low else x
    parts.append(tag("line", class_="reach", x1=edge, x2=x, y1=y + 1, y2=y + 1))
    parts.append(tag("circle", class_="event", cx=x, cy=y + 1, r=7))
    anchor = "end" if x > 520 else "mid" if x > 120 else ""
    parts.append(
        tag(
            "text",
            number(value),
            class_=f"value {anchor}".strip(),
            x=x + 7 if anchor == "end" else x,
            y=y - 14,
        )
    )
    return _svg(judged(deviation), HEIGHT, *parts)


def _beside(left: float, right: float, characters: int) -> dict[str, object]:
    """Where a text stands that belongs to the band: over it, or from its left edge where it is narrow."""
    return {"x": left if right - left < characters * 7 else round((left + right - characters * 6.4) / 2, 1)}


def _share(deviation: Deviation) -> Markup:
    """A share of 1: how much of a bar is full."""
    score = min(max(deviation.score, 0), 1)
    width = _RIGHT - _LEFT
    return _svg(
        judged(deviation),
        44,
        tag("rect", class_="usual", x=_LEFT, y=10, width=width, height=12, rx=2),
        tag("rect", class_="full", x=_LEFT, y=10, width=round(max(score * width, 2), 1), height=12, rx=2),
        tag("text", "0", class_="mark", x=_LEFT, y=38),
        tag("text", "1", class_="mark end", x=_RIGHT, y=38),
        tag("text", number(round(score, 3)), class_="value mid", x=round(_LEFT + score * width, 1), y=38),
    )


def _svg(label: str, height: int, *parts: Markup) -> Markup:
    return tag("svg", *parts, class_="band", viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label)
