"""The history of a baseline as an SVG picture: no script, no font and nothing to fetch."""

from __future__ import annotations

from xml.sax.saxutils import escape

from engine.alerts import number, printable, rfc3339
from engine.explain.history import History
from engine.explain.plot import heights, is_amount, scale_of

_WIDTH, _HEIGHT = 860, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 20, 40, 40
_STYLE = (
    "text { font: 12px ui-monospace, monospace; fill: #1f2937; } .title { font-weight: bold; } "
    ".band { fill: #e0e7ff; stroke: none; } .centre { fill: none; stroke: #4f46e5; } "
    ".value { fill: #374151; } .marked { fill: #b91c1c; } .axis { stroke: #9ca3af; }"
)


def svg_plot(history: History, title: str) -> str:
    """The picture: the band of two spreads, the centre, a dot for each value, a larger red one where it
    deviates.
    """
    points = history.points
    shown = [_text(_LEFT, 22, title, "title")]
    if points:
        shown += _drawing(history)
    else:
        shown.append(_text(_LEFT, _HEIGHT // 2, "nothing yet"))
    title = escape(printable(title), {'"': "&quot;"})
    body = "\n".join(shown)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{title}">\n<style>{_STYLE}</style>\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _drawing(history: History) -> list[str]:
    points = history.points
    scale = scale_of(history)
    first, last = points[0].time_ms, points[-1].time_ms
    span = max(1, last - first)

    def x(time: int) -> float:
        return _LEFT + (time - first) / span * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - min(1.0, max(0.0, scale.at(value))) * (_HEIGHT - _TOP - _BOTTOM)

    bottom = _HEIGHT - _BOTTOM
    parts = [f'<path class="axis" d="M {_LEFT} {_TOP} V {bottom} H {_WIDTH - _RIGHT}"/>']
    for share in (0.0, 0.5, 1.0):
        label = number(scale.value(share))
        parts.append(_text(6, y(scale.value(share)) + 4, label))
    parts.append(_text(_LEFT, bottom + 20, rfc3339(first)))
    parts.append(_text(_WIDTH - _RIGHT - 180, bottom + 20, rfc3339(last)))
    if is_amount(history):
        band = [(x(p.time_ms), p.low, p.high, p.centre) for p in points]
        known = [
            (at, low, high, centre)
            for at, low, high, centre in band
            if low is not None and high is not None and centre is not None
        ]
        if known:
            upper = " ".join(f"{at:.1f},{y(high):.1f}" for at, _, high, _ in known)
            lower = " ".join(f"{at:.1f},{y(low):.1f}" for at, low, _, _ in reversed(known))
            middle = " ".join(f"{at:.1f},{y(centre):.1f}" for at, _, _, centre in known)
            parts.append(f'<polygon class="band" points="{upper} {lower}"/>')
            parts.append(f'<polyline class="centre" points="{middle}"/>')
    for point, value in zip(points, heights(history), strict=True):
        if value is not None:
            kind, radius = ("marked", 4.5) if point.marked else ("value", 2)
            parts.append(
                f'<circle class="{kind}" cx="{x(point.time_ms):.1f}" cy="{y(value):.1f}" r="{radius:g}"/>'
            )
    return parts


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<text{mark} x="{x:g}" y="{y:g}">{escape(printable(text))}</text>'
