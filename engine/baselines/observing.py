"""The code with which a kind's handler lets its baselines take an event.

For each key one look-up among the live rows; for each baseline its filter, then ``observe``, with the
commonest case written out (``inline.py``): the bucket is open already, the value is known already.

What follows from an event's time (its minute, its buckets) is worked out when the minute changes, not for
each event, see ``ticks.py``.

What the handler keeps in local variables: ``r<g>``, the live row of key g, or None; for a baseline b
``b_<b>``, what ``observe`` gave, or None if the event does not feed it; ``x_<b>`` its value.
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
from engine.baselines.inline import commonest
from engine.baselines.layout import USED, Row
from engine.baselines.rows import Rows
from engine.baselines.ticks import Ticks
from engine.codegen import Emitter, Places, cost
from engine.events import attribute

Read = Callable[[Row, Any, Any, int, Any], Reading]
_CHEAP = 2
"""What a comparison costs (``codegen.cost``): a filter that is no dearer is asked before values are."""
Seen = tuple[str, Read, Any, Any, Any, Any]
_LENGTH = "length"
"""Local variable: how long the interval is that the event stands for, in milliseconds."""
_FOREVER = 1 << 62
"""The length of a first or last sighting: nobody knows what else there was."""


class Observed(msgspec.Struct, frozen=True):
    """What a kind's handler has once its baselines took the event.

    Attributes:
        lines: source, indented by four.
        names: the baselines.
        arguments: by baseline, what its functions are called with: the row, what ``observe`` gave, the key of
            the peer.
        readings: source of an expression giving ``{name: Reading}``; empty without baselines.
    """

    lines: tuple[str, ...]
    names: tuple[str, ...]
    arguments: dict[str, tuple[str, str, str]]
    readings: str


def observing(kind: str, baselines: Baselines, emitter: Emitter, places: Places) -> Observed:
    """The code for one kind; the event is ``e``, its time ``time``."""
    lines: list[str] = []
    arguments: dict[str, tuple[str, str, str]] = {}
    shown: list[str] = []
    groups = baselines.groups(kind)
    if not groups:
        return Observed((), (), {}, "")
    ticks = baselines.ticks(kind)
    ticks.shown_in(emitter.names)
    needed: set[str] = set()
    for number, (rows, names) in enumerate(groups):
        _group(number, rows, names, baselines, emitter, places, lines, ticks)
        for name in names:
            baseline = baselines.declared[name]
            peer = "None" if baseline.peer is None else _key(baseline.peer, baseline.kind, places)
            arguments[name] = (f"r{number}", f"b_{name}", peer)
            emitter.names[f"read_{name}"] = baselines.estimators[name].reading
            needed |= envelope(baseline, baselines.estimators[name])
            value = f"(e.device, x_{name})" if baseline.using == "prevalence" else f"x_{name}"
            shown.append(f"('{name}', read_{name}, r{number}, b_{name}, {peer}, {value})")
    emitter.names["readings"] = readings
    # Several kinds may share a function and its globals: names that are not of one baseline are made here.
    tick = emitter.constant((kind,), lambda: ticks.tick, "tick")
    head = [f"    if not {ticks.begin} <= time < {ticks.end}:", f"        {tick}(time)"]
    if needed:
        head.append(f"    {_LENGTH} = 0 if e.start is None else time - e.start")
        head += ["    if e.quality == 'first_last':", f"        {_LENGTH} = {_FOREVER}"]
    shown_text = f"readings(time, ({', '.join(shown)}, ))"
    return Observed((*head, *lines), tuple(arguments), arguments, shown_text)


def envelope(baseline: m.Baseline, estimator: Estimator) -> frozenset[str]:
    """What a baseline has to know of an event's envelope beside its device and time."""
    return frozenset(("quality", "start") if _quality(baseline, estimator) else ())


def readings(time: int, seen: tuple[Seen, ...]) -> dict[str, Reading]:
    """The readings of the baselines that took the event."""
    return {
        name: read(row, what, peer, time, value)
        for name, read, row, what, peer, value in seen
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
    ticks: Ticks,
) -> None:
    """The baselines of one key."""
    unset = [f"b_{name}" for name in names]
    needed: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    for name in names:
        baseline = baselines.declared[name]
        needed[name], values[name] = _filter(baseline, baselines, emitter, places)
        if values[name] != f"x_{name}":
            unset.append(f"x_{name}")
        else:
            # A field of its own: the value is at hand without another test.
            field = baseline.values[0]
            assert isinstance(field, e.Field)
            lines.append(f"    x_{name} = e.{attribute(field.name)}")
    lines.append(f"    {' = '.join(unset)} = r{number} = None")
    tests = [f"e.{attribute(key)} is not None" for key in rows.names if key != "device"]
    # What all of them need is asked once.
    for test in list(needed[names[0]]):
        if all(needed[name][:1] == [test] for name in names):
            tests.append(test)
            for name in names:
                del needed[name][0]
    indent = "    "
    if tests:
        lines.append(f"    if {' and '.join(tests)}:")
        indent += "    "
    some = all(needed.values())
    if len(names) == 1:
        if some:
            lines.append(f"{indent}if {' and '.join(needed[names[0]])}:")
            indent += "    "
    else:
        for name in names:
            joined = " and ".join(needed[name])
            if len(needed[name]) > 1 or "(" in joined:
                lines.append(f"{indent}a_{name} = {joined}")
                needed[name] = [f"a_{name}"]
        if some:
            lines.append(f"{indent}if {' or '.join(dict.fromkeys(needed[name][0] for name in names))}:")
            indent += "    "
    lines += [indent + line for line in _look_up(number, rows, emitter, places, ticks.minute)]
    asked = ""
    for name in names:
        body = _observe(name, number, values[name], baselines, emitter, places, ticks)
        if len(names) == 1 or not needed[name]:
            asked = ""
        else:
            if needed[name][0] != asked:
                asked = needed[name][0]
                lines.append(f"{indent}if {asked}:")
            body = ["    " + line for line in body]
        lines += [indent + line for line in body]


def _look_up(number: int, rows: Rows, emitter: Emitter, places: Places, minute: str) -> list[str]:
    """Find the live row, or make it live, and note its time."""
    row = f"r{number}"
    live = emitter.constant((rows.kind, rows.names), lambda: rows.live, "live")
    rows.shown_in(emitter.names, live)
    enter = emitter.constant((rows.kind, rows.names), lambda: rows.enter, "enter")
    later = emitter.constant((rows.kind, rows.names), lambda: rows.later, "later")
    outer, inner = _parts(rows.names, places)
    found = f"{live}[{outer}]" + (f"[{inner}]" if rows.inner else "")
    return [
        "try:",
        f"    {row} = {found}",
        "except KeyError:",
        f"    {row} = {enter}({outer}, {inner}, {minute})",
        f"if {row}[{USED}] < {minute}:",
        f"    if {row}[{USED}] < {minute} - {rows.idle}:",
        f"        {later}({row}, {minute})",
        f"    {row}[{USED}] = {minute}",
    ]


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


def _filter(
    baseline: m.Baseline, baselines: Baselines, emitter: Emitter, places: Places
) -> tuple[list[str], str]:
    """Source of the tests whether an event feeds a baseline, in order, and of its value."""
    needed = _quality(baseline, baselines.estimators[baseline.name])
    if not isinstance(baseline.condition, e.Always) and cost(baseline.condition) <= _CHEAP:
        needed.append(emitter.condition(baseline.condition, places))
    sources: list[str] = []
    first = baseline.values[0]
    alone = len(baseline.values) == 1 and isinstance(first, e.Field) and first.step is None
    if alone and first.type.name != e.STRINGS and baseline.using not in ("prevalence", "cadence", "hours"):
        assert isinstance(first, e.Field)
        sources.append(f"x_{baseline.name}")
        if first.optional:
            needed.append(f"x_{baseline.name} is not None")
    else:
        for value in baseline.values:
            source, tests = emitter.value(value, places)
            needed += tests
            sources.append(f"tuple({source})" if value.type.name == e.STRINGS else source)
    if cost(baseline.condition) > _CHEAP:
        needed.append(emitter.condition(baseline.condition, places))
    source = sources[0] if len(sources) == 1 else f"({', '.join(sources)})"
    return needed, source


def _quality(baseline: m.Baseline, estimator: Estimator) -> list[str]:
    """Which data feeds what. A set only asks whether a value was there, which is true of any data. What
    counts or adds up is another matter: a first or last sighting is one of many, and nobody knows when in an
    interval that is longer than a bucket something happened. Intervals have a rhythm of their own, so none
    feeds a cadence.
    """
    match baseline.using:
        case "novelty" | "prevalence":
            return []
        case "cadence":
            return [f"{_LENGTH} < {_FOREVER}", "e.start is None"]
        case "hours":
            return [f"{_LENGTH} <= {HOUR_MS}"]
        case _:
            every = estimator.terms.every_ms
            return [f"{_LENGTH} < {_FOREVER}" if every is None else f"{_LENGTH} <= {every}"]


def _observe(
    name: str,
    number: int,
    value: str,
    baselines: Baselines,
    emitter: Emitter,
    places: Places,
    ticks: Ticks,
) -> list[str]:
    """Take the value: the commonest case in place, any other by a call."""
    baseline = baselines.declared[name]
    estimator = baselines.estimators[name]
    emitter.names[f"observe_{name}"] = estimator.observe
    peer = "None" if baseline.peer is None else _key(baseline.peer, baseline.kind, places)
    row, timed = f"r{number}", baseline.using in ("cadence", "hours")
    lines = [] if timed or value == f"x_{name}" else [f"x_{name} = {value}"]
    taken = "None" if timed else f"(e.device, x_{name})" if baseline.using == "prevalence" else f"x_{name}"
    call = f"b_{name} = observe_{name}({row}, time, {taken}, {peer})"
    common = commonest(baseline, estimator, row, peer, emitter.names, ticks)
    if common is None:
        return [*lines, call]
    return [
        *lines,
        *common.before,
        f"if {common.test}:",
        *(f"    {line}" for line in common.lines),
        "else:",
        f"    {common.otherwise or call}",
    ]
