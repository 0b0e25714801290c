"""The code with which a kind's handler lets its baselines take an event.

For each key one look-up; for each baseline its filter, then ``observe``, with the commonest case of a
robust baseline (the bucket that is open already) written out: an array read and an array write.

What the handler keeps in local variables: ``h<g>`` and ``i<g>``, the holder and number of the row of key g;
for a baseline b ``b_<b>``, what ``observe`` gave, or None if the event does not feed it; ``x_<b>`` its
value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine.baselines import Reading
from engine.baselines.declared import Baselines
from engine.baselines.estimator import Estimator
from engine.baselines.hours import HOUR_MS
from engine.baselines.rows import MINUTE_MS, Rows
from engine.codegen import Emitter, Places
from engine.events import attribute

Read = Callable[[Any, int, Any, Any, int, Any], Reading]
Seen = tuple[str, Read, Any, int, Any, Any, Any]
_SETS = ("novelty", "prevalence", "fanout")
_WHOLE = (e.INT, e.DURATION)


class Observed(msgspec.Struct, frozen=True):
    """What a kind's handler has once its baselines took the event.

    Attributes:
        lines: source, indented by four.
        names: the baselines.
        arguments: by baseline, what its functions are called with.
        readings: source of an expression giving ``{name: Reading}``; empty without baselines.
    """

    lines: tuple[str, ...]
    names: tuple[str, ...]
    arguments: dict[str, str]
    readings: str


def observing(kind: str, baselines: Baselines, emitter: Emitter, places: Places) -> Observed:
    """The code for one kind; the event is ``e``, its time ``time``."""
    lines: list[str] = []
    arguments: dict[str, str] = {}
    shown: list[str] = []
    groups = baselines.groups(kind)
    buckets: dict[int, str] = {}
    for number, (rows, names) in enumerate(groups):
        _group(number, rows, names, baselines, emitter, places, lines, buckets)
        for name in names:
            baseline = baselines.declared[name]
            peer = "None" if baseline.peer is None else _key(baseline.peer, baseline.kind, places)
            arguments[name] = f"h{number}, i{number}, b_{name}, {peer}"
            emitter.names[f"read_{name}"] = baselines.estimators[name].reading
            shown.append(f"('{name}', read_{name}, {arguments[name]}, x_{name})")
    if not groups:
        return Observed((), (), {}, "")
    emitter.names["readings"] = readings
    head = [f"    minute = time // {MINUTE_MS}"]
    head += [f"    {name} = time // {every} + 1 & 0xFFFFFFFF" for every, name in buckets.items()]
    text = f"readings(time, ({', '.join(shown)}, ))"
    return Observed((*head, *lines), tuple(arguments), arguments, text)


def readings(time: int, seen: tuple[Seen, ...]) -> dict[str, Reading]:
    """The readings of the baselines that took the event."""
    return {
        name: read(holder, row, what, peer, time, value)
        for name, read, holder, row, what, peer, value in seen
        if what is not None
    }


def _group(
    number: int,
    rows: Rows,
    names: list[str],
    baselines: Baselines,
    emitter: Emitter,
    places: Places,
    lines: list[str],
    buckets: dict[int, str],
) -> None:
    """The baselines of one key."""
    lines.append(f"    {' = '.join(f'b_{name} = x_{name}' for name in names)} = h{number} = None")
    lines.append(f"    i{number} = 0")
    keys = [f"e.{attribute(key)} is not None" for key in rows.names if key != "device"]
    indent = "    "
    if keys:
        lines.append(f"    if {' and '.join(keys)}:")
        indent += "    "
    filters: dict[str, str] = {}
    values: dict[str, str] = {}
    for name in names:
        filters[name], values[name] = _filter(baselines.declared[name], baselines, emitter, places)
    if len(names) == 1:
        lines.append(f"{indent}if {filters[names[0]]}:")
        inside = indent + "    "
    else:
        lines += [f"{indent}a_{name} = {filters[name]}" for name in names]
        lines.append(f"{indent}if {' or '.join(f'a_{name}' for name in names)}:")
        inside = indent + "    "
    lines += [inside + line for line in _look_up(number, rows, emitter, places)]
    for name in names:
        body = _observe(name, number, values[name], baselines, emitter, places, buckets)
        if len(names) > 1:
            lines.append(f"{inside}if a_{name}:")
            body = ["    " + line for line in body]
        lines += [inside + line for line in body]


def _look_up(number: int, rows: Rows, emitter: Emitter, places: Places) -> list[str]:
    """Find the row, make it if it is new, note its time."""
    holder, row = f"h{number}", f"i{number}"
    emitter.names[f"outer{number}"] = rows.outer.get
    emitter.names[f"open{number}"] = rows.open
    emitter.names[f"touch{number}"] = rows.touch
    outer, inner = _parts(rows.names, places)
    found = [f"{holder} = outer{number}({outer})"]
    if rows.inner:
        found.append(f"{row} = None if {holder} is None else {holder}.rows.get({inner})")
    return [
        *found,
        f"if {row if rows.inner else holder} is None:",
        f"    {holder}, {row} = open{number}({outer}, {inner}, minute)",
        f"    n{number} = {holder}.n",
        "else:",
        f"    n{number} = {holder}.n",
        f"    last = n{number}[{_at(row, rows.ints, 0)}]",
        "    if last < minute:",
        f"        if last < minute - {rows.idle}:",
        f"            touch{number}({holder}, {row}, minute)",
        f"        n{number}[{_at(row, rows.ints, 0)}] = minute",
    ]


def _at(row: str, stride: int, offset: int) -> str:
    """Source of the place of a number of a row."""
    return f"{row} * {stride}" + (f" + {offset}" if offset else "")


def _parts(names: tuple[str, ...], places: Places) -> tuple[str, str]:
    """Source of the outer and the inner key."""
    if "device" in names and len(names) > 1:
        return "e.device", _tuple([name for name in names if name != "device"])
    return _tuple(list(names)), "None"


def _tuple(names: list[str]) -> str:
    fields = [f"e.{attribute(name)}" for name in names]
    return fields[0] if len(fields) == 1 else f"({', '.join(fields)})" if fields else "()"


def _key(names: tuple[str, ...], kind: str, places: Places) -> str:
    """Source of a key as :meth:`Rows.find` takes it."""
    outer, inner = _parts(names, places)
    return outer if inner == "None" else f"({outer}, {inner})"


def _filter(baseline: m.Baseline, baselines: Baselines, emitter: Emitter, places: Places) -> tuple[str, str]:
    """Source of the test whether an event feeds a baseline, and of its value."""
    needed = _quality(baseline, baselines.estimators[baseline.name])
    sources: list[str] = []
    for value in baseline.values:
        source, tests = emitter.value(value, places)
        needed += tests
        sources.append(f"tuple({source})" if value.type.name == e.STRINGS else source)
    if not isinstance(baseline.condition, e.Always):
        needed.append(emitter.condition(baseline.condition, places))
    source = sources[0] if len(sources) == 1 else f"({', '.join(sources)})"
    if baseline.using == "prevalence":
        source = f"(e.device, {source})"
    return " and ".join(needed) or "True", source


def _quality(baseline: m.Baseline, estimator: Estimator) -> list[str]:
    """Which data feeds what. A set only asks whether a value was there, which is true of any data. What
    counts or
    adds up is another matter: a first or last sighting is one of many, and nobody knows when in an interval
    that is longer than a bucket something happened. Intervals have a rhythm of their own, so none feeds a
    cadence.
    """
    exact = "e.quality != 'first_last'"
    match baseline.using:
        case "novelty" | "prevalence":
            return []
        case "cadence":
            return [exact, "e.start is None"]
        case "hours":
            return [exact, f"(e.start is None or time - e.start <= {HOUR_MS})"]
        case _:
            every = estimator.terms.every_ms
            return [exact] if every is None else [exact, f"(e.start is None or time - e.start <= {every})"]


def _observe(
    name: str,
    number: int,
    value: str,
    baselines: Baselines,
    emitter: Emitter,
    places: Places,
    buckets: dict[int, str],
) -> list[str]:
    baseline = baselines.declared[name]
    estimator = baselines.estimators[name]
    emitter.names[f"observe_{name}"] = estimator.observe
    peer = "None" if baseline.peer is None else _key(baseline.peer, baseline.kind, places)
    holder, row = f"h{number}", f"i{number}"
    if baseline.using in ("cadence", "hours"):
        return [f"b_{name} = observe_{name}({holder}, {row}, time, None, {peer})"]
    take = [f"x_{name} = {value}", f"b_{name} = observe_{name}({holder}, {row}, time, x_{name}, {peer})"]
    if baseline.using != "robust" or baseline.every_ms is None or baseline.values[0].type.name not in _WHOLE:
        return take
    # Whole numbers cannot overflow a sum of floats.
    bucket = buckets.setdefault(baseline.every_ms, f"bucket{baseline.every_ms}")
    rows, room = estimator.rows, estimator.room
    return [
        take[0],
        f"if n{number}[{_at(row, rows.ints, room.n)}] == {bucket} and x_{name} >= 0:",
        f"    d = {holder}.d",
        f"    at = {_at(row, rows.doubles, room.d)}",
        f"    b_{name} = d[at] = d[at] + x_{name}",
        "else:",
        f"    {take[1]}",
    ]
