"""The states of a rule as an SVG picture: no script, no font and nothing to fetch."""

from __future__ import annotations

from xml.sax.saxutils import escape

from engine.explain.diagram import Diagram, State

_CHARACTER = 7.4
"""Width of a character of the monospaced 12-pixel face, rounded up."""
_MARGIN = 24
_BOX = 36
_LINE = 18
_ARROW = 52
_STYLE = (
    "text { font: 12px ui-monospace, monospace; fill: #1f2937; } "
    ".title { font-weight: bold; } .note { fill: #9a3412; } "
    ".box { fill: #eef2ff; stroke: #4f46e5; } .alert { fill: #fee2e2; stroke: #b91c1c; } "
    ".arrow { stroke: #374151; fill: none; } .head { fill: #374151; } "
    ".drop { stroke: #9a3412; stroke-dasharray: 4 3; fill: none; }"
)


def svg(diagram: Diagram, title: str) -> str:
    """The picture. States from top to bottom; what ends a run without an alert stands on the right."""
    box_width = max(_width(state.text) for state in diagram.states) + 24
    notes = max((_width(drop.reason) for state in diagram.states for drop in state.drops), default=0)
    labels = max(_width(state.reached_by) for state in diagram.states)
    width = 2 * _MARGIN + max(
        box_width + (notes + 64 if notes else 0), box_width / 2 + labels + 16, _width(title)
    )
    centre = _MARGIN + box_width / 2
    parts: list[str] = []
    top = _MARGIN + _LINE
    parts.append(_text(_MARGIN, _MARGIN + 4, title, "title"))
    parts.append(f'<circle class="head" cx="{centre:g}" cy="{top + 10}" r="6"/>')
    top += 16
    for state in diagram.states:
        parts.append(_arrow(centre, top, top + _ARROW))
        parts.append(_text(centre + 10, top + _ARROW / 2 + 4, state.reached_by))
        top += _ARROW
        height = max(_BOX, len(state.drops) * _LINE + 10)
        parts.append(_state(state, box_width, top, height))
        top += height
    height_of_all = top + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height_of_all:g}" '
        f'width="{width:g}" height="{height_of_all:g}" role="img" aria-label="{_attribute(title)}">\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _state(state: State, width: float, top: float, height: float) -> str:
    kind = "alert" if state.id == "alert" else "box"
    lines = [
        f'<rect class="{kind}" x="{_MARGIN}" y="{top:g}" width="{width:g}" height="{height:g}" rx="6"/>',
        _text(_MARGIN + 12, top + height / 2 + 4, state.text),
    ]
    right = _MARGIN + width
    first = top + (height - (len(state.drops) - 1) * _LINE) / 2
    for index, drop in enumerate(state.drops):
        y = first + index * _LINE
        lines.append(f'<path class="drop" d="M {right:g} {y:g} h 40"/>')
        lines.append(_text(right + 48, y + 4, drop.reason, "note"))
    return "\n".join(lines)


def _arrow(x: float, top: float, bottom: float) -> str:
    return (
        f'<path class="arrow" d="M {x:g} {top:g} V {bottom - 8:g}"/>'
        f'<path class="head" d="M {x - 5:g} {bottom - 9:g} h 10 l -5 9 z"/>'
    )


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<text{mark} x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;"})


def _width(text: str) -> float:
    return len(text) * _CHARACTER
