"""A coverage report as a layer of the ATT&CK Navigator, format 4.5.

The format is MITRE's (layers/LAYERFORMATv4_5.md in mitre-attack/attack-navigator). A layer colours
techniques; a rule implements an analytic, which has none. So a technique stands here only as the place in the
matrix where the analytic's detection strategy belongs, or because META names it, and its comment says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.report.coverage.attack import VERSION, notice
from engine.report.coverage.model import EVALUABLE, Coverage, RowCoverage, level

FORMAT: Final = "4.5"
NAVIGATOR: Final = "5.3.2"
SCORES: Final = (0, 50, 100)
"""By the level of a verdict: BLIND, DEGRADED, EVALUABLE."""
COLOURS: Final = ("#d7301f", "#fee08b", "#1a9850")
_PLATFORMS: Final = {"ios": "iOS", "android": "Android"}


class Versions(msgspec.Struct, frozen=True):
    """``attack`` of the knowledge base, ``navigator`` of the program, ``layer`` of this format."""

    attack: str
    navigator: str
    layer: str


class Entry(msgspec.Struct, frozen=True):
    """A pair of name and value that the Navigator shows beside a technique or layer."""

    name: str
    value: str


class Technique(msgspec.Struct, frozen=True, rename="camel"):
    """One coloured technique. Its tactic is left out: it holds under all that it belongs to."""

    technique_i_d: str = msgspec.field(name="techniqueID")
    score: int
    comment: str
    enabled: bool
    metadata: tuple[Entry, ...]
    show_subtechniques: bool


class Gradient(msgspec.Struct, frozen=True, rename="camel"):
    colors: tuple[str, ...]
    min_value: int
    max_value: int


class LegendItem(msgspec.Struct, frozen=True):
    label: str
    color: str


class Layout(msgspec.Struct, frozen=True, rename="camel"):
    layout: str
    show_i_d: bool = msgspec.field(name="showID")
    show_name: bool
    expanded_subtechniques: str


class Layer(msgspec.Struct, frozen=True, rename="camel"):
    """The whole layer, as the Navigator reads it."""

    name: str
    versions: Versions
    domain: str
    description: str
    filters: dict[str, tuple[str, ...]]
    sorting: int
    layout: Layout
    hide_disabled: bool
    techniques: tuple[Technique, ...]
    gradient: Gradient
    legend_items: tuple[LegendItem, ...]
    metadata: tuple[Entry, ...]


def layer_of(coverage: Coverage, name: str = "thenwire coverage") -> Layer:
    """The layer of a report. Rules that name no analytic and no technique are not in it."""
    by_technique: dict[str, dict[str, list[RowCoverage]]] = {}
    for row in coverage.rules:
        for technique in row.techniques:
            by_technique.setdefault(technique, {}).setdefault(row.rule, []).append(row)
    named = {row.platform for row in coverage.rules if row.techniques}
    platforms = (
        {_PLATFORMS[one] for one in named} if named and named <= set(_PLATFORMS) else _PLATFORMS.values()
    )
    return Layer(
        name=name,
        versions=Versions(VERSION, NAVIGATOR, FORMAT),
        domain="mobile-attack",
        description=(
            "What thenwire rules can see, by verdict. A colour says that an analytic is implemented and "
            "whether its telemetry arrives; it does not say that a technique is covered. " + notice()
        ),
        filters={"platforms": tuple(sorted(platforms))},
        sorting=3,
        layout=Layout("side", True, True, "annotated"),
        hide_disabled=False,
        techniques=tuple(_technique(one, rules) for one, rules in sorted(by_technique.items())),
        gradient=Gradient(COLOURS, SCORES[0], SCORES[-1]),
        legend_items=(
            LegendItem("EVALUABLE: all that the rule needs arrives", COLOURS[2]),
            LegendItem("DEGRADED: part of it, or some devices", COLOURS[1]),
            LegendItem("BLIND: it cannot fire, or not in time", COLOURS[0]),
        ),
        metadata=(
            Entry("basis", coverage.basis),
            *((Entry("newest event", coverage.last),) if coverage.last is not None else ()),
        ),
    )


def encode_layer(layer: Layer) -> bytes:
    """The layer as a file for the Navigator."""
    return msgspec.json.format(msgspec.json.encode(layer), indent=2) + b"\n"


def _technique(technique: str, rules: dict[str, list[RowCoverage]]) -> Technique:
    comments, metadata, scores = [], [], []
    for rule, rows in sorted(rules.items()):
        scores.append(_score(rows))
        via = rows[0].techniques[technique]
        shown = "named in META" if via == "META" else f"via {via}"
        comments.append(f"{_said(rows)} (rule {rule.replace('_', ' ')}), {shown}")
        for row in rows:
            value = row.verdict + (f": {row.reasons[0]}" if row.reasons else "")
            metadata.append(Entry(f"{rule.replace('_', ' ')}, {row.group}", value))
    # A technique is seen as well as by its best rule.
    return Technique(technique, max(scores), "\n".join(comments), True, tuple(metadata), "." not in technique)


def _score(rows: Sequence[RowCoverage]) -> int:
    """The verdicts of a rule as one number: the mean over devices, else over groups."""
    counted = [row.devices for row in rows if row.devices is not None and row.devices.all]
    total = sum(devices.all for devices in counted)
    if total:
        points = sum(SCORES[2] * d.evaluable + SCORES[1] * d.degraded for d in counted)
        return round(points / total)
    return round(sum(SCORES[level(row.verdict)] for row in rows) / len(rows))


def _said(rows: Sequence[RowCoverage]) -> str:
    """``AN1756 EVALUABLE for 62 % of 1,200 iOS devices``."""
    what = ", ".join(rows[0].attack) or "the rule"
    counted = [row.devices for row in rows if row.devices is not None and row.devices.all]
    total = sum(devices.all for devices in counted)
    if not total:
        worst = min(rows, key=lambda row: level(row.verdict))
        return f"{what} {worst.verdict}"
    platform = _PLATFORMS.get(rows[0].platform, "")
    devices = f"{total:,} {platform} devices".replace("  ", " ")
    evaluable = sum(d.evaluable for d in counted)
    degraded = sum(d.degraded for d in counted)
    text = f"{what} {EVALUABLE} for {_percent(evaluable, total)} of {devices}"
    return text + (f", DEGRADED for {_percent(degraded, total)}" if degraded else "")


def _percent(part: int, whole: int) -> str:
    """In whole per cent; nothing is called all or none that is not."""
    share = round(100 * part / whole)
    return f"{min(max(share, 1 if part else 0), 100 if part == whole else 99)} %"
