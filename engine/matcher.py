"""Events in, alerts out: the public API of the engine.

>>> import dsl, engine
>>> rules = dsl.load_text('EVENT ping { host: string }  RULE twice { WHEN ping THEN ping WITHIN 10s }')
>>> matcher = engine.Matcher(rules)
>>> wire = '{"kind": "ping", "device": "d1", "time": %d, "host": "a"}'
>>> [len(matcher.feed_json((wire % time).encode())) for time in (0, 10_000, 20_001)]
[0, 1, 0]

The matcher is pure: it reads no clock and no socket, and the same input gives the same output,
byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.diagnostics import Diagnostic
from engine.alert_events import AlertEvents, kind_of, read_rules
from engine.alerts import Alert
from engine.baselines.robust import RobustBaseline
from engine.clocks import Clocks, Due
from engine.codegen import Emitter, Places, compile_function
from engine.events import MAX_TIME_MS, POSITION_SHIFT, Event, EventDecoder, attribute
from engine.plan import Plan, Role, make_plan
from engine.rule_runtime import RuleRuntime

Handler = Callable[[Any, int, list[Alert]], None]


class KindCount(msgspec.Struct):
    """What happened to the events of one kind: all, and those too late to be matched."""

    seen: int = 0
    late: int = 0


class RuleCount(msgspec.Struct, frozen=True):
    """What a rule has done: events that fit a step or guard, those that start a run, completed
    matches, matches suppressed, events without a key, events that came twice, choices or kept events
    dropped at a cap, runs again after late events.
    """

    fits: int
    starts: int
    matches: int
    suppressed: int
    unkeyed: int
    duplicates: int
    dropped: int
    reruns: int


class Matcher:
    """Runs a rule set.

    Args:
        ruleset: from ``dsl.load``. Rules the engine cannot run yet are in ``diagnostics``.

    Events go in as decoded structs (:attr:`decoder` makes them) or as JSON. ``position`` is the
    place of an event in its input, ``stream sequence << 20 | index``; it decides between events of
    equal time and names events that bring no id. Left out, it counts up by one record.
    """

    def __init__(self, ruleset: m.RuleSet) -> None:
        self.plan: Plan = make_plan(ruleset)
        self.diagnostics: tuple[Diagnostic, ...] = self.plan.diagnostics
        self.decoder = EventDecoder(ruleset.events, self.plan.read)
        self.baselines: dict[str, RobustBaseline] = {
            name: RobustBaseline(name, b.every_ms, b.warmup, _peer_positions(b))
            for name, b in self.plan.baselines.items()
        }
        self._clocks = Clocks({kind: event.grace_ms for kind, event in ruleset.events.items()})
        self._spoken: list[tuple[Alert, int]] = []
        self._readers: dict[str, list[RuleRuntime]] = {}
        self._runtimes: list[RuleRuntime] = []
        read = {name for plan in self.plan.rules for name in read_rules(plan.rule)}
        for plan in self.plan.rules:
            for kinds in plan.clock_kinds:
                self._clocks.watch(kinds)
            spoken = self._spoken if plan.rule.name in read else None
            runtime = RuleRuntime(plan, self.plan.lists, self._clocks, spoken)
            self._runtimes.append(runtime)
            for name in read_rules(plan.rule):
                self._readers.setdefault(name, []).append(runtime)
        self.counts: dict[str, KindCount] = {}
        self.sources: dict[str, str] = {}
        self._handlers: dict[type[Event], Handler] = {}
        for kind, struct in self.decoder.types.items():
            self._handlers[struct] = self._handler(kind, ruleset.events[kind])
        self._alert_events = {name: AlertEvents(self.plan.events[kind_of(name)]) for name in self._readers}
        for name, made in self._alert_events.items():
            self._handlers[made.struct] = self._handler(kind_of(name), self.plan.events[kind_of(name)])
        self._position = 0

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules that run."""
        return tuple(plan.rule.name for plan in self.plan.rules)

    def feed(self, event: Event, position: int | None = None) -> list[Alert]:
        """One event; the alerts it causes: creates, and updates and closes of earlier ones."""
        if position is None:
            self._position += 1 << POSITION_SHIFT
            position = self._position
        out: list[Alert] = []
        self._handlers[type(event)](event, position, out)
        if self._spoken:
            self._relay(out)
        return out

    def advance(self, now_ms: int) -> list[Alert]:
        """The wall clock shows ``now_ms``: types that are silent follow it (``clocks.Clocks``). The
        alerts are those of silences that are thereby complete. Call it before the events that have
        arrived by then; a time that is not later than before changes nothing.
        """
        return self._release(self._clocks.advance(now_ms))

    def close(self, until_ms: int = MAX_TIME_MS) -> list[Alert]:
        """Nothing up to and including a time is still to come: all clocks pass it. At the end of input
        the time is left out. The alerts are those that were waiting for that.
        """
        out: list[Alert] = []
        due = self._clocks.close(until_ms)
        while due:
            # What is released may set further deadlines that have passed already.
            out.extend(self._release(due))
            due = self._clocks.close(until_ms)
        return out

    def _release(self, due: list[Due]) -> list[Alert]:
        out: list[Alert] = []
        for entry in due:
            self._runtimes[entry.rule].release(entry.device, entry.deadline, entry.clock, out)
            if self._spoken:
                self._relay(out)
        return out

    def _moved(self, kind: str, time: int, out: list[Alert]) -> None:
        """The clock of a type that deadlines wait for has moved on."""
        out.extend(self._release(self._clocks.seen(kind, time)))

    def _relay(self, out: list[Alert]) -> None:
        """Give alerts to the rules that read them; they may cause further ones."""
        spoken = self._spoken
        while spoken:
            alert, position = spoken.pop(0)
            name = alert.rule.name
            event = self._alert_events[name].event(alert)
            readers = self._readers[name]
            if alert.activity == "close":
                for runtime in readers:
                    runtime.retract(event, out)
                continue
            for runtime in readers:
                runtime.replacing = None if alert.revision == 1 else alert.id
            self._handlers[type(event)](event, position, out)
            for runtime in readers:
                if runtime.replacing is not None:
                    runtime.retract(event, out)

    def feed_json(self, raw: bytes, position: int | None = None) -> list[Alert]:
        """One event as JSON.

        Raises:
            BadEvent: it cannot be matched; the reason says why.
        """
        event = self.decoder.decode(raw)
        if event is None:
            return []
        return self.feed(event, position)

    def rule_counts(self) -> dict[str, RuleCount]:
        """What each rule has done so far."""
        return {
            r.plan.rule.name: RuleCount(
                r.fits, r.starts, r.matches, r.suppressed, r.unkeyed, r.duplicates, r.dropped, r.reruns
            )
            for r in self._runtimes
        }

    # --- generated handlers

    def _handler(self, kind: str, event: m.EventType) -> Handler:
        """The function for one kind: baselines observe, each distinct question is asked once, and
        rules whose sources fit take the event.
        """
        emitter = Emitter(self.plan.lists)
        names = emitter.names
        places = Places(event="e")
        lines = ["def handle(e, position, out):", "    time = e.time"]
        if kind in self.decoder.types:
            # Alerts have no clock of their own and are never late.
            names["count"] = self.counts[kind] = KindCount()
            names["clock"] = [0]
            names["LATE"] = event.late_ms + event.grace_ms
            watched = kind in self._clocks.watched
            names["moved"], names["arrived"], names["kind"] = self._moved, self._clocks.arrived, kind
            lines += [
                "    count.seen += 1",
                *(["    arrived(kind)"] if watched else []),
                "    if time > clock[0]:",
                "        clock[0] = time",
                *(["        moved(kind, time, out)"] if watched else []),
                "    elif time < clock[0] - LATE:",
                "        count.late += 1",
                "        return",
            ]
        read = self._observe(kind, emitter, places, lines)
        roles = self.plan.roles.get(kind, ())
        shared = _shared([role.local for role in roles])
        for index, condition in enumerate(shared):
            lines.append(f"    c{index} = {emitter.condition(condition, places)}")
        if read:
            lines.append("    r = None")
        by_rule: dict[int, list[Role]] = {}
        for role in roles:
            by_rule.setdefault(role.rule, []).append(role)
        for rule, of_rule in by_rule.items():
            self._rule_lines(rule, of_rule, event, emitter, places, shared, read, lines)
        source = "\n".join(lines) + "\n"
        self.sources[kind] = source
        handler: Handler = compile_function("handle", source, names)
        return handler

    def _observe(self, kind: str, emitter: Emitter, places: Places, lines: list[str]) -> list[str]:
        """Lines that let the kind's baselines take the event; their names."""
        names: list[str] = []
        for name, baseline in self.plan.baselines.items():
            if baseline.kind != kind:
                continue
            names.append(name)
            state = self.baselines[name]
            emitter.names[f"observe_{name}"] = state.observe
            emitter.names[f"read_{name}"] = state.reading
            for function in ("deviation", "expected", "drift", "ready"):
                emitter.constant((name, function), lambda s=state, f=function: getattr(s, f), "ask")  # type: ignore[misc]
            value, tests = emitter.value(baseline.values[0], places)
            keys = [f"e.{attribute(key)}" for key in baseline.by]
            # A first or last sighting is no amount of traffic, nor is an interval longer than a bucket.
            needed = ["e.quality != 'first_last'", *tests]
            needed += [
                f"{key} is not None" for key, by in zip(keys, baseline.by, strict=True) if by != "device"
            ]
            if baseline.every_ms is not None:
                needed.append(f"(e.start is None or time - e.start <= {baseline.every_ms})")
            if not isinstance(baseline.condition, e.Always):
                needed.append(emitter.condition(baseline.condition, places))
            key = "(" + "".join(f"{key}, " for key in keys) + ")"
            lines.append(f"    b_{name} = None")
            lines.append(f"    if {' and '.join(needed)}:")
            lines.append(f"        b_{name} = observe_{name}({key}, time, {value})")
        return names

    def _rule_lines(
        self,
        rule: int,
        roles: list[Role],
        event: m.EventType,
        emitter: Emitter,
        places: Places,
        shared: list[e.Condition],
        read: list[str],
        lines: list[str],
    ) -> None:
        runtime = self._runtimes[rule]
        emitter.names[f"take_{rule}"] = runtime.take
        emitter.names[f"no_key_{rule}"] = runtime.no_key
        parts: list[str] = []
        declared: list[str] = []
        for key in runtime.plan.key_fields:
            if key in event.fields or key in ("source", "quality", "attribution", "id"):
                parts.append(f"e.{attribute(key)}")
                declared.append(f"e.{attribute(key)}")
            else:
                parts.append("None")
        key_tuple = "(" + "".join(f"{part}, " for part in parts) + ")"
        readings = "r" if read else "None"
        take = [f"take_{rule}(e, position, m, {key_tuple}, {readings}, out)"]
        if read:
            inner = ", ".join(f"('{name}', b_{name}, read_{name})" for name in read)
            take = ["if r is None:", f"    r = readings(({inner}, ))", *take]
            emitter.names["readings"] = _readings
        if len(roles) == 1:
            lines.append(f"    if {_ask(roles[0].local, shared, emitter, places)}:")
            lines.append(f"        m = {roles[0].bit}")
        else:
            lines.append("    m = 0")
            for role in roles:
                lines.append(f"    if {_ask(role.local, shared, emitter, places)}:")
                lines.append(f"        m |= {role.bit}")
            lines.append("    if m:")
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


def _readings(observed: tuple[tuple[str, Any, Callable[[Any], Any]], ...]) -> dict[str, Any]:
    """The readings of the baselines that took the event."""
    return {name: read(row) for name, row, read in observed if row is not None}


def _peer_positions(baseline: m.Baseline) -> tuple[int, ...] | None:
    return None if baseline.peer is None else tuple(baseline.by.index(key) for key in baseline.peer)
