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

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.diagnostics import Diagnostic
from engine.alert_events import AlertEvents, kind_of, read_rules
from engine.alerts import Alert
from engine.baselines.declared import Baselines
from engine.baselines.observing import Observed, observing
from engine.caps import CapWarning
from engine.clocks import Clocks, Due
from engine.codegen import Emitter, Places, compile_function
from engine.events import MAX_TIME_MS, POSITION_SHIFT, Event, EventDecoder, attribute
from engine.plan import Plan, Role, make_plan
from engine.rerun_debt import RerunDebt
from engine.rule_runtime import RuleRuntime
from engine.sightings import EVERY_MS, NEVER, Sightings
from engine.storms import LEAST as STORM_LEAST

Handler = Callable[[Any, int, list[Alert]], None]


class KindCount(msgspec.Struct):
    """What happened to the events of one kind: all, and those too late to be matched."""

    seen: int = 0
    late: int = 0


class ListChange(msgspec.Struct, frozen=True):
    """How many entries of a LIST are new, and how many are gone."""

    added: int
    removed: int


class RuleCount(msgspec.Struct, frozen=True):
    """What a rule has done: events that fit a step or guard, those that start a run, completed
    matches, matches suppressed, events without a key, events that came twice, choices or kept events
    dropped at a cap, runs again after late events, and devices of which it keeps anything.
    """

    fits: int
    starts: int
    matches: int
    suppressed: int
    unkeyed: int
    duplicates: int
    dropped: int
    reruns: int
    devices: int


class Matcher:
    """Runs a rule set.

    Args:
        ruleset: from ``dsl.load``. Rules beyond a limit of the engine are left out: ``diagnostics`` says so.
        on_fit: called for each event that fits a source of a rule, with the rule's index in
            ``plan.rules`` and the bits of the sources (``engine.plan_fields.sources_in``), before
            keys are looked at. For reports; None costs nothing.
        also_read: fields by kind to decode besides those that rules read, for who looks at events on
            their way. It changes no alert.

    Events go in as decoded structs (:attr:`decoder` makes them) or as JSON. ``position`` is the
    place of an event in its input, ``stream sequence << 20 | index``; it decides between events of
    equal time and names events that bring no id. Left out, it counts up by one record.
    """

    def __init__(
        self,
        ruleset: m.RuleSet,
        on_fit: Callable[[int, int], None] | None = None,
        also_read: Mapping[str, frozenset[str]] = MappingProxyType({}),
    ) -> None:
        self._on_fit = on_fit
        self.plan: Plan = make_plan(ruleset)
        self.diagnostics: tuple[Diagnostic, ...] = self.plan.diagnostics
        extra = {k: self.plan.read.get(k, frozenset()) | fields for k, fields in also_read.items()}
        self.decoder = EventDecoder(ruleset.events, self.plan.read | extra)
        self.baselines = Baselines(self.plan.baselines, ruleset.events)
        self._clocks = Clocks({kind: event.grace_ms for kind, event in ruleset.events.items()})
        self._spoken: list[tuple[Alert, int]] = []
        self._debt = RerunDebt()
        self.sightings = Sightings()
        self._readers: dict[str, list[RuleRuntime]] = {}
        self._runtimes: list[RuleRuntime] = []
        read = {name for plan in self.plan.rules for name in read_rules(plan.rule)}
        for plan in self.plan.rules:
            for kinds in plan.clock_kinds:
                self._clocks.watch(kinds)
            spoken = self._spoken if plan.rule.name in read else None
            runtime = RuleRuntime(plan, self.plan.lists, self._clocks, spoken, self.sightings, self._debt)
            for need in (need for needs in runtime.builder.needs for need in needs):
                self.sightings.need(need.kind, need.look_back_ms, ruleset.events[need.kind].late_ms)
            self._runtimes.append(runtime)
            for name in read_rules(plan.rule):
                self._readers.setdefault(name, []).append(runtime)
        self._reading = {
            kind: [self._runtimes[i] for i in dict.fromkeys(role.rule for role in roles)]
            for kind, roles in self.plan.roles.items()
        }
        self.was_late = False
        """Set when an event was too late to be matched; who wants to know sets it back."""
        self.counts: dict[str, KindCount] = {}
        self.sources: dict[str, str] = {}
        self._handlers: dict[type[Event], Handler] = {}
        for kind, struct in self.decoder.types.items():
            self._handlers[struct] = self._first(struct, self._handler(kind, ruleset.events[kind]))
        self._alert_events = {name: AlertEvents(self.plan.events[kind_of(name)]) for name in self._readers}
        for name, made in self._alert_events.items():
            self._handlers[made.struct] = self._handler(kind_of(name), self.plan.events[kind_of(name)])
        self._position = 0

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules that run."""
        return tuple(plan.rule.name for plan in self.plan.rules)

    def replace_list(self, name: str, entries: Iterable[str]) -> ListChange:
        """Give a LIST other entries; events from now on are held against these. Alerts stay as they are.

        What an event answers by itself is asked when it comes and stays so; a term that reads another step
        is asked again, with the new entries, where a late event makes a rule run again.

        Raises:
            KeyError: no LIST has this name; the message says which there are.
        """
        test = self.plan.lists.get(name.replace(" ", "_"))
        if test is None:
            known = ", ".join(sorted(self.plan.lists)) or "none"
            raise KeyError(f"no list is called `{name}`; there are: {known}")
        before = test.entries
        test.replace(tuple(dict.fromkeys(entries)))
        return ListChange(len(test.entries - before), len(before - test.entries))

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
        self.sightings.tend(now_ms)
        self.baselines.tend(now_ms)
        out: list[Alert] = []
        self._debt.advance(now_ms, out)
        if self._spoken:
            self._relay(out)
        out.extend(self._release(self._clocks.advance(now_ms)))
        return out

    def close(self, until_ms: int = MAX_TIME_MS) -> list[Alert]:
        """Nothing up to and including a time is still to come: all clocks pass it. At the end of input
        the time is left out. The alerts are those that were waiting for that.
        """
        out: list[Alert] = []
        due = self._clocks.close(until_ms)
        while due or self._debt.waiting:
            # What is released may set further deadlines that have passed already.
            self._debt.serve_all(out)
            if self._spoken:
                self._relay(out)
            out.extend(self._release(due, storms=False))
            due = self._clocks.close(until_ms)
        return out

    def _release(self, due: list[Due], storms: bool = True) -> list[Alert]:
        out: list[Alert] = []
        if storms and len(due) >= STORM_LEAST:
            together: dict[tuple[int, int], list[Due]] = {}
            for entry in due:
                together.setdefault((entry.rule, entry.clock), []).append(entry)
            for (rule, clock), entries in together.items():
                if len(entries) >= STORM_LEAST:
                    self._runtimes[rule].watch_for_storm(clock, entries, out)
        for entry in due:
            runtime = self._runtimes[entry.rule]
            if entry.device is None:
                runtime.end_storm(entry.clock, entry.deadline, out)
            else:
                runtime.release(entry.device, entry.deadline, entry.clock, out)
            if self._spoken:
                self._relay(out)
        return out

    def _moved(self, kind: str, time: int, out: list[Alert]) -> None:
        """The clock of a type that deadlines wait for has moved on."""
        out.extend(self._release(self._clocks.seen(kind, time)))
        for runtime in self._runtimes:
            if runtime.storms:
                runtime.heard(kind, time)

    def _sweep(self, kind: str, time: int, sweep_at: list[int]) -> None:
        """Forget devices of which the rules that read a type will hear no more."""
        runtimes = self._reading[kind]
        for runtime in runtimes:
            runtime.sweep(time)
        if not self._clocks.has_wall:
            self.baselines.forget(time)
        # Devices that come in later may have to be forgotten before what is known now.
        soonest = min((runtime.expiry.keep_ms for runtime in runtimes), default=MAX_TIME_MS)
        sweep_at[0] = min([runtime.expiry.next for runtime in runtimes] + [time + soonest])

    def _too_late(self) -> None:
        self.was_late = True

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
                fits=r.fits,
                starts=r.starts,
                matches=r.said.matches,
                suppressed=r.said.suppressed,
                unkeyed=r.unkeyed,
                duplicates=r.duplicates,
                dropped=r.caps.total,
                reruns=r.reruns,
                devices=len(r.devices),
            )
            for r in self._runtimes
        }

    def cap_warnings(self) -> list[CapWarning]:
        """What was dropped at a cap since the last call: which rule, which device, which cap."""
        of_rules = [warning for runtime in self._runtimes for warning in runtime.caps.take()]
        return of_rules + self.baselines.cap_warnings()

    # --- generated handlers

    def _first(self, struct: type[Event], handler: Handler) -> Handler:
        """A handler that takes the first event of a kind, to know since when the engine watches, and
        then makes way.
        """

        def first(event: Event, position: int, out: list[Alert]) -> None:
            self.sightings.watch_since(event.time)  # type: ignore[arg-type]  # the decoder has made it an int
            self._handlers[struct] = handler
            handler(event, position, out)

        return first

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
            read = kind in self._reading
            names["sweep"], names["sweep_at"], names["too_late"] = self._sweep, [0], self._too_late
            lines += [
                "    count.seen += 1",
                *(["    arrived(kind)"] if watched else []),
                "    if time > clock[0]:",
                "        clock[0] = time",
                *(["        moved(kind, time, out)"] if watched else []),
                *(
                    ["        if time >= sweep_at[0]:", "            sweep(kind, time, sweep_at)"]
                    if read
                    else []
                ),
                "    elif time < clock[0] - LATE:",
                "        count.late += 1",
                "        too_late()",
                "        return",
                "    elif time < earliest[0]:",
                "        watch_since(time)",
            ]
            names["earliest"], names["watch_since"] = self.sightings.earliest, self.sightings.watch_since
            if kind in self.sightings.last:
                names["sighted"], names["note"] = self.sightings.last[kind], self.sightings.note
                names["kind"], names["NEVER"] = kind, NEVER
                lines += [
                    f"    if time - sighted.get(e.device, NEVER) > {EVERY_MS}:",
                    "        note(kind, e.device, time)",
                ]
        observed = self._observe(kind, emitter, places)
        lines += observed.lines
        roles = self.plan.roles.get(kind, ())
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
        source = "\n".join(lines) + "\n"
        self.sources[kind] = source
        handler: Handler = compile_function("handle", source, names)
        return handler

    def _observe(self, kind: str, emitter: Emitter, places: Places) -> Observed:
        """The code that lets the kind's baselines take the event."""
        observed = observing(kind, self.baselines, emitter, places)
        places.observed.update(observed.arguments)
        for name in observed.names:
            estimator = self.baselines.estimators[name]
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
        if self._on_fit is not None:
            emitter.names["on_fit"] = self._on_fit
            lines.append(f"        on_fit({rule}, m)")
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
