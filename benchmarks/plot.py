"""A run's CPU time an event as bars, in an SVG of our own: floor, by hand, thenwire, and each peer on W1."""

from __future__ import annotations

from xml.sax.saxutils import escape

from benchmarks.result import Report

_WIDTH, _BAR, _GAP, _GROUP = 900, 14, 4, 22
_LEFT, _RIGHT = 230, 120
_COLOURS = {"floor": "#9aa5b1", "by hand": "#5b8def", "thenwire": "#d9480f", "peer": "#74808c"}
_STYLE = "font-family:ui-sans-serif,system-ui,sans-serif;font-size:12px"
Bar = tuple[str, str, float]
"""Colour, label, microseconds an event."""


def svg(report: Report) -> str:
    """The picture; wide bars are cut at twenty times the floor of their work, and say so by their figure."""
    groups = [*_works(report), *_peers(report)]
    height = 40 + sum(_GROUP + len(bars) * (_BAR + _GAP) + 10 for _, bars in groups)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'style="{_STYLE}">',
        "<title>CPU time an event</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="10" y="22" font-weight="bold">Microseconds of CPU an event; shorter is better</text>',
    ]
    top = 40
    for title, bars in groups:
        parts.append(f'<text x="10" y="{top + 14}" font-weight="bold">{escape(title)}</text>')
        top += _GROUP
        least = min(value for _, _, value in bars)
        most = min(max(value for _, _, value in bars), 20 * least)
        for colour, label, value in bars:
            width = (_WIDTH - _LEFT - _RIGHT) * min(value / most, 1.0)
            cut = " (cut)" if value > most else ""
            parts += [
                f'<text x="{_LEFT - 8}" y="{top + 11}" text-anchor="end">{escape(label)}</text>',
                f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" '
                f'fill="{_COLOURS[colour]}"/>',
                f'<text x="{_LEFT + width + 6:.1f}" y="{top + 11}">{value:.2f}{cut}</text>',
            ]
            top += _BAR + _GAP
        top += 10
    return "\n".join([*parts, "</svg>"]) + "\n"


def _works(report: Report) -> list[tuple[str, list[Bar]]]:
    groups: list[tuple[str, list[Bar]]] = []
    for result in report.results:
        each = 1e6 / result.events
        bars: list[Bar] = [("floor", "decode floor", result.floor_seconds * each)]
        if result.to_reference is not None:
            bars.append(("by hand", "by hand", result.reference_seconds * each))
        bars.append(("thenwire", "thenwire", result.seconds * each))
        rules = "1 rule" if result.rules == 1 else f"{result.rules:,} rules"
        groups.append((f"{result.work}, {rules}", bars))
    return groups


def _peers(report: Report) -> list[tuple[str, list[Bar]]]:
    groups: dict[tuple[str, int], list[Bar]] = {}
    for result in report.peers:
        colour = result.peer if result.peer in _COLOURS else "peer"
        label = f"{result.peer}{'' if result.right else ' (WRONG COUNT)'}"
        bar = (colour, label, result.cpu / result.events * 1e6)
        groups.setdefault((result.work, result.events), []).append(bar)
    return [
        (f"{work} beside peers, {events:,} events", sorted(bars, key=lambda bar: bar[2]))
        for (work, events), bars in groups.items()
    ]
