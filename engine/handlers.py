"""The function that takes the events of one kind: generated from the rules that read it.

It does what an expert would write for these rules: keep the clock of the kind, let its baselines see
the event, ask each distinct question once, and give the event to the rules it fits. Most events fit
nothing; on that path nothing is allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine.alerts import Alert
from engine.baselines.declared import Baselines
from engine.baselines.observing import Observed, observing
from engine.codegen import Emitter, Places, compile_function
from engine.events import attribute
from engine.plan import Plan, Role
from engine.rule_runtime import RuleRuntime
from engine.sightings import EVERY_MS, NEVER, Sightings

Handler = Callable[[Any, int, list[Alert]], None]
_ENVELOPE_KEYS = ("source", "quality", "attribution", "id")


class KindCount(msgspec.Struct, frozen=True):
    """What happened to the events of one kind: all, and those too late to be matched."""

    seen: int = 0
    late: int = 0


class Calls(msgspec.Struct, frozen=True):
    """What a handler calls, seldom.

    Attributes:
        moved: the clock of a kind that deadlines wait for has moved on.
        arrived: an event of such a kind has come, whatever its time.
        sweep: a kind's clock has come to where devices may be forgotten; gives the next such time.
        too_late: an event was too late to be matched.
        on_fit: see ``Matcher``; None where nobody asks.
    """

    moved: Callable[[str, int, list[Alert]], None]
    arrived: Callable[[str], None]
    sweep: Callable[[str, int], int]
    too_late: Callable[[], None]
    on_fit: Callable[[int, int, str], None] | None


class KindHandler(msgspec.Struct, frozen=True):
    """One kind's handler and its source.

    Attributes:
        state: the kind's clock, when to sweep next, and how many events came in all and too late.
        restore: goes on from what ``state`` gave.
    """

    handle: Handler
    source: str
    state: Callable[[], list[int]]
    restore: Callable[[list[int]], None]

    @property
    def count(self) -> KindCount:
        """How many events there were."""
        return KindCount(*self.state()[2:])


class HandlerMaker:
    """Makes the handlers of one matcher."""

    def __init__(
        self,
        plan: Plan,
        runtimes: Sequence[RuleRuntime],
        baselines: Baselines,
        sightings: Sightings,
        watched: frozenset[str],
        calls: Calls,
    ) -> None:
        self._plan = plan
        self._runtimes = runtimes
        self._baselines = baselines
        self._sightings = sightings
        self._watched = watched
        self._calls = calls

    def make(self, kind: str, event: m.EventType, has_clock: bool) -> KindHandler:
        """The handler of a kind. Alerts as events have no clock of their own and are never late."""
        emitter = Emitter(self._plan.lists)
        places = Places(event="e")
        roles = self._plan.roles.get(kind, ())
        lines = ["    time = e.time"]
        if has_clock:
            lines += self._clock_lines(kind, event, emitter, bool(roles))
        observed = self._observe(kind, emitter, places)
        lines += observed.lines
        shared = _shared([role.local for role in roles])
        for index, condition in enumerate(shared):
            lines.append(f"    c{index} = {emitter.condition(condition, places)}")
        if observed.names:
            lines.append("    r = None")
        by_rule: dict[int, list[Role]] = {}
        for role in roles:
            by_rule.setdefault(role.rule, []).append(role)
        for rule, of_rule in by_rule.items():
            self._rule_lines(rule, of_rule, event, emitter, places, shared, observed.readings, lines)
        # What changes with every event lives in cells of a closure: the fastest there is.
        head = ["def handle(e, position, out):", "    nonlocal clock, seen, late, sweep_at"]
        body = [
            "clock = sweep_at = -1",
            "seen = late = 0",
            *head,
            *lines,
            "def state():",
            "    return [clock, sweep_at, seen, late]",
            "def restore(cells):",
            "    nonlocal clock, seen, late, sweep_at",
            "    clock, sweep_at, seen, late = cells",
            "return handle, state, restore",
        ]
        shown = "\n".join([head[0], *lines]) + "\n"
        factory = "def make():\n" + "".join(f"    {line}\n" for line in body)
        handle, state, restore = compile_function("make", factory, emitter.names)()
        return KindHandler(handle, shown, state, restore)

    def _clock_lines(self, kind: str, event: m.EventType, emitter: Emitter, read: bool) -> list[str]:
        """Count the event, move the clock of its kind, turn back what is too late."""
        names, calls = emitter.names, self._calls
        watched = kind in self._watched
        names.update(moved=calls.moved, arrived=calls.arrived, sweep=calls.sweep, too_late=calls.too_late)
        names.update(earliest=self._sightings.earliest, watch_since=self._sightings.watch_since)
        lines = ["    seen += 1"]
        if watched:
            lines.append(f"    arrived({kind!r})")
        lines += ["    if time > clock:", "        clock = time"]
        if watched:
            lines.append(f"        moved({kind!r}, time, out)")
        if read:
            lines += ["        if time >= sweep_at:", f"            sweep_at = sweep({kind!r}, time)"]
        lines += [
            f"    elif time < clock - {event.late_ms + event.grace_ms}:",
            "        late += 1",
            "        too_late()",
            "        return",
            "    elif time < earliest[0]:",
            "        watch_since(time)",
        ]
        if kind in self._sightings.last:
            names.update(sighted=self._sightings.last[kind], note=self._sightings.note, NEVER=NEVER)
            lines += [
                f"    if time - sighted.get(e.device, NEVER) > {EVERY_MS}:",
                f"        note({kind!r}, e.device, time)",
            ]
        return lines

    def _observe(self, kind: str, emitter: Emitter, places: Places) -> Observed:
        """The code that lets the kind's baselines take the event."""
        observed = observing(kind, self._baselines, emitter, places)
        places.observed.update(observed.arguments)
        for name in observed.names:
            estimator = self._baselines.estimators[name]
            for function in (*estimator.functions, "ready"):
                emitter.constant((name, function), lambda x=estimator, f=function: x.ask(f), "ask")  # type: ignore[misc]
        return observed

    def _rule_lines(
        self,
        rule: int,
        roles: list[Role],
        event: m.EventType,
        emitter: Emitter,
        places: Places,
        shared: list[e.Condition],
        read: str,
        lines: list[str],
    ) -> None:
        """Ask a rule's sources, and give it the event if one fits."""
        runtime = self._runtimes[rule]
        emitter.names[f"take_{rule}"] = runtime.take
        emitter.names[f"no_key_{rule}"] = runtime.no_key
        parts: list[str] = []
        declared: list[str] = []
        for key in runtime.plan.key_fields:
            if key in event.fields or key in _ENVELOPE_KEYS:
                parts.append(f"e.{attribute(key)}")
                declared.append(f"e.{attribute(key)}")
            else:
                parts.append("None")
        key_tuple = "(" + "".join(f"{part}, " for part in parts) + ")"
        readings = "r" if read else "None"
        take = [f"take_{rule}(e, position, m, {key_tuple}, {readings}, out)"]
        if read:
            take = ["if r is None:", f"    r = {read}", *take]
        if len(roles) == 1:
            lines.append(f"    if {_ask(roles[0].local, shared, emitter, places)}:")
            lines.append(f"        m = {roles[0].bit}")
        else:
            lines.append("    m = 0")
            for role in roles:
                lines.append(f"    if {_ask(role.local, shared, emitter, places)}:")
                lines.append(f"        m |= {role.bit}")
            lines.append("    if m:")
        if self._calls.on_fit is not None:
            emitter.names["on_fit"] = self._calls.on_fit
            lines.append(f"        on_fit({rule}, m, e.device)")
        if declared:
            lines.append("        if " + " or ".join(f"{d} is None" for d in declared) + ":")
            lines.append(f"            no_key_{rule}()")
            lines.append("        else:")
            lines.extend(f"            {line}" for line in take)
        else:
            lines.extend(f"        {line}" for line in take)


def _shared(conditions: list[e.Condition]) -> list[e.Condition]:
    """Conditions that more than one source asks: worked out once an event."""
    seen: dict[e.Condition, int] = {}
    for condition in conditions:
        if not isinstance(condition, e.Always):
            seen[condition] = seen.get(condition, 0) + 1
    return [condition for condition, times in seen.items() if times > 1]


def _ask(condition: e.Condition, shared: list[e.Condition], emitter: Emitter, places: Places) -> str:
    if condition in shared:
        return f"c{shared.index(condition)}"
    return emitter.condition(condition, places)
