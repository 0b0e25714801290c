"""The guards and gaps of an alert, written out for one chain of a rule (engine/alerting/create_code.py).

The lines rely on ``time0``, ``at0`` (that time in words), ``kept0``, ``event0`` and so on for each step; on
``begin`` and, in words, ``start``; on ``p``, ``device`` and ``sightings``. They leave ``excluded0`` and so on
for each guard, ``gaps``, and ``short``: since when there is guard history, where that is too short.
"""

from __future__ import annotations

from typing import Any

from engine.alerting.gaps import Need, add_cold, gaps_of, together
from engine.alerting.guards import Guard, Looks, Span
from engine.alerts import Excluded, Gap
from engine.chains import Chain
from engine.sightings import EVERY_MS, LATELY_MS, NEVER

_GIVEN: dict[str, Any] = {
    "Excluded": Excluded,
    "Gap": Gap,
    "NEVER": NEVER,
    "Span": Span,
    "add_cold": add_cold,
    "gaps_of": gaps_of,
    "together": together,
}


def guard_lines(guards: tuple[Guard, ...], last: int, names: dict[str, Any]) -> list[str]:
    """Where each guard looked, and what the alert says of it.

    Args:
        guards: those of the chain.
        last: its last step.
        names: takes the globals.
    """
    lines = []
    names |= _GIVEN
    for i, guard in enumerate(guards):
        # The kinds are shared by all alerts, as what the author wrote is.
        names |= {f"guard{i}": guard, f"what{i}": guard.what, f"window{i}": guard.window}
        names[f"kinds{i}"] = list(guard.kinds)
        first, end = _span(guard, last)
        lines += [
            f"from{i}, to{i} = {first}, {end}",
            f"excluded{i} = Excluded(what{i}, window{i}, kinds{i}, {_at(first)}, {_at(end)})",
        ]
    return lines


def _span(guard: Guard, last: int) -> tuple[str, str]:
    """The source of what ``Guard.span`` gives."""
    back = f" - {guard.duration_ms}" if guard.duration_ms else ""
    match guard.looks:
        case Looks.AROUND:
            return f"begin{back}", f"time{last}"
        case Looks.SINCE:
            return f"time{guard.first - 1}", f"time{guard.last}"
        case Looks.BEFORE:
            return f"time{guard.first}{back}", f"time{guard.first}"
        case _:
            raise AssertionError(f"a chain of single events has no guard that looks {guard.looks}")


def _at(time: str) -> str:
    """Source of a time in words; those of steps are there already."""
    if time == "begin":
        return "start"
    return f"at{time[4:]}" if time[4:].isdigit() else f"rfc3339({time})"


def gap_lines(
    chain: Chain, guards: tuple[Guard, ...], needs: tuple[Need, ...], names: dict[str, Any]
) -> list[str]:
    """What ``gaps_of`` does, where every kind is watched since the same time; else that is called."""
    names |= {f"silence{i}": need.silence for i, need in enumerate(needs)}
    names["needs"] = needs
    last = len(chain.steps) - 1
    spans = "".join(f"Span(guard{i}, from{i}, to{i}), " for i in range(len(guards)))
    cold, looked_for = _cold_lines(guards, names)
    lines = [
        "short = None",
        "since = None if sightings is None else sightings.since_all()",
        "if sightings is None:",
        "    gaps = []",
        "elif since is None:",
        f"    gaps, short = gaps_of(time{last}, p, [{spans}], needs, sightings, device)",
        "else:",
        "    found, last = {}, sightings.last",
        *(f"    {line}" for line in cold),
    ]
    for i, need in enumerate(needs):
        hidden = _hidden(chain, need.kind)
        if hidden is None:
            continue
        lately = max(need.look_back_ms, LATELY_MS) + EVERY_MS
        unseen = f"last[{need.kind!r}].get(device, NEVER) < time{last} - {lately}"
        lines += [
            f"    if {' and '.join([*hidden, unseen])}:",
            f"        gap = silence{i}(time{last}, since, sightings)",
        ]
        if need.kind in looked_for:
            lines += [
                "        if short is not None:",
                f"            gap = together(found.get({need.kind!r}), gap)",
            ]
        lines.append(f"        found[{need.kind!r}] = gap")
    return [*lines, "    gaps = list(found.values())"]


def _cold_lines(guards: tuple[Guard, ...], names: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The gaps of guards that look back further than is watched; and the kinds that such guards look for."""
    looking = [(i, guard) for i, guard in enumerate(guards) if guard.duration_ms]
    kinds = [kind for _, guard in looking for kind in guard.raw_kinds]
    if not looking:
        return [], kinds
    lines = [
        f"if {' or '.join(f'from{i} < since' for i, _ in looking)}:",
        "    short = rfc3339(since)",
        "    history = 'guard history since ' + short",
    ]
    for i, guard in looking:
        lines.append(f"    if from{i} < since:")
        if len(guard.raw_kinds) > 1 or kinds.count(guard.raw_kinds[0]) > 1:
            lines.append(f"        add_cold(guard{i}, from{i}, since, short, found)")
            continue
        # What that does for a guard of one kind that no other guard looks back for.
        names[f"before{i}"] = f"`{guard.what}` is known for "
        names[f"after{i}"] = f" of the {guard.length} that it looks back"
        lines += [
            f"        known = from{i} + {guard.duration_ms} - since",
            "        known = in_time(known // 1_000 * 1_000) if known > 0 else '0s'",
            f"        effect = before{i} + known + after{i}",
            f"        found[{guard.raw_kinds[0]!r}] = Gap({guard.kinds[0]!r}, history, effect)",
        ]
    return lines, kinds


def _hidden(chain: Chain, kind: str) -> list[str] | None:
    """The tests that no event of a match is of a kind; None if one always is."""
    tests = []
    for i, step in enumerate(chain.steps):
        kinds = {member.kind for choice in step.choices for member in choice.source.members}
        if kinds == {kind}:
            return None
        if kind in kinds:
            tests.append(f"event{i}.kind != {kind!r}")
    return tests
