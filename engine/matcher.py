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

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from dsl import model as m
from dsl.diagnostics import Diagnostic
from engine import state
from engine.alert_events import AlertEvents, kind_of, read_rules
from engine.alerts import Alert
from engine.baselines.declared import Baselines
from engine.caps import CapWarning
from engine.clocks import Clocks, Due
from engine.events import MAX_TIME_MS, POSITION_SHIFT, Event, EventDecoder
from engine.handlers import Calls, Handler, HandlerMaker, KindCount, KindHandler
from engine.plan import Plan, make_plan
from engine.rerun_debt import RerunDebt
from engine.rule_runtime import RuleRuntime
from engine.sightings import Sightings
from engine.storms import LEAST as STORM_LEAST

ONE_RECORD: Final = 1 << POSITION_SHIFT


class ListChange(msgspec.Struct, frozen=True):
    """How many entries of a LIST are new, and how many are gone."""

    added: int
    removed: int


class Feed(Protocol):
    """Takes an event, and its position unless it follows the one before; gives the alerts it causes."""

    def __call__(self, event: Event, position: int | None = None) -> list[Alert]: ...


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
            ``plan.rules``, the bits of the sources (``engine.plan_fields.sources_in``) and its device,
            before keys are looked at. For reports; None costs nothing.
        also_read: fields by kind to decode besides those that rules read, for who looks at events on
            their way. It changes no alert.
        also_learn: names of baselines that are fed though no rule reads them.

    Events go in as decoded structs (:attr:`decoder` makes them) or as JSON. ``position`` is the
    place of an event in its input, ``stream sequence << 20 | index``; it decides between events of
    equal time and names events that bring no id. Left out, it counts up by one record.
    """

    def __init__(
        self,
        ruleset: m.RuleSet,
        on_fit: Callable[[int, int, str], None] | None = None,
        also_read: Mapping[str, frozenset[str]] = MappingProxyType({}),
        also_learn: Collection[str] = (),
    ) -> None:
        self.plan: Plan = make_plan(ruleset, also_learn)
        self.diagnostics: tuple[Diagnostic, ...] = self.plan.diagnostics
        extra = {k: self.plan.read.get(k, frozenset()) | fields for k, fields in also_read.items()}
        self.decoder = EventDecoder(ruleset.events, self.plan.read | extra)
        self.baselines = Baselines(self.plan.baselines, ruleset.events)
        self.clocks = Clocks({kind: event.grace_ms for kind, event in ruleset.events.items()})
        self._spoken: list[tuple[Alert, int]] = []
        self.debt = RerunDebt()
        self.sightings = Sightings()
        self._readers: dict[str, list[RuleRuntime]] = {}
        self.runtimes: list[RuleRuntime] = []
        read = {name for plan in self.plan.rules for name in read_rules(plan.rule)}
        for plan in self.plan.rules:
            for kinds in plan.clock_kinds:
                self.clocks.watch(kinds)
            spoken = self._spoken if plan.rule.name in read else None
            runtime = RuleRuntime(plan, self.plan.lists, self.clocks, spoken, self.sightings, self.debt)
            for need in (need for needs in runtime.builder.needs for need in needs):
                self.sightings.need(need.kind, need.look_back_ms, ruleset.events[need.kind].late_ms)
            self.runtimes.append(runtime)
            for name in read_rules(plan.rule):
                self._readers.setdefault(name, []).append(runtime)
        self._reading = {
            kind: [self.runtimes[i] for i in dict.fromkeys(role.rule for role in roles)]
            for kind, roles in self.plan.roles.items()
        }
        self.was_late = False
        """Set when an event was too late to be matched; who wants to know sets it back."""
        calls = Calls(self._moved, self.clocks.arrived, self._sweep, self._too_late, on_fit)
        watched = self.clocks.watched
        maker = HandlerMaker(self.plan, self.runtimes, self.baselines, self.sightings, watched, calls)
        self.kinds: dict[str, KindHandler] = {}
        self._handlers: dict[type[Event], Handler] = {}
        for kind, struct in self.decoder.types.items():
            made = self.kinds[kind] = maker.make(kind, ruleset.events[kind], has_clock=True)
            self._handlers[struct] = self._first(struct, made.handle)
        self._alert_events = {name: AlertEvents(self.plan.events[kind_of(name)]) for name in self._readers}
        for name, alert_event in self._alert_events.items():
            made = maker.make(kind_of(name), self.plan.events[kind_of(name)], has_clock=False)
            self.kinds[kind_of(name)] = made
            self._handlers[alert_event.struct] = made.handle
        self.position = 0
        """Of the last event that brought none of its own."""
        self.feed: Feed = self._feeder()
        """One event; the alerts it causes: creates, and updates and closes of earlier ones."""

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules that run."""
        return tuple(plan.rule.name for plan in self.plan.rules)

    @property
    def counts(self) -> dict[str, KindCount]:
        """What happened to the events of each kind that rules read."""
        return {kind: self.kinds[kind].count for kind in self.decoder.types}

    @property
    def sources(self) -> dict[str, str]:
        """The generated code by event kind."""
        return {kind: made.source for kind, made in self.kinds.items()}

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

    def _feeder(self) -> Feed:
        """:attr:`feed`, a closure: this is the way of every event."""
        handlers, spoken, relay = self._handlers, self._spoken, self._relay

        def feed(event: Event, position: int | None = None) -> list[Alert]:
            if position is None:
                position = self.position = self.position + ONE_RECORD
            out: list[Alert] = []
            handlers[type(event)](event, position, out)
            if spoken:
                relay(out)
            return out

        return feed

    def advance(self, now_ms: int) -> list[Alert]:
        """The wall clock shows ``now_ms``: types that are silent follow it (``clocks.Clocks``). The
        alerts are those of silences that are thereby complete. Call it before the events that have
        arrived by then; a time that is not later than before changes nothing.
        """
        self.sightings.tend(now_ms)
        self.baselines.tend(now_ms)
        out: list[Alert] = []
        self.debt.advance(now_ms, out)
        if self._spoken:
            self._relay(out)
        out.extend(self._release(self.clocks.advance(now_ms)))
        return out

    def close(self, until_ms: int = MAX_TIME_MS) -> list[Alert]:
        """Nothing up to and including a time is still to come: all clocks pass it. At the end of input
        the time is left out. The alerts are those that were waiting for that.
        """
        out: list[Alert] = []
        due = self.clocks.close(until_ms)
        while due or self.debt.waiting:
            # What is released may set further deadlines that have passed already.
            self.debt.serve_all(out)
            if self._spoken:
                self._relay(out)
            out.extend(self._release(due, storms=False))
            due = self.clocks.close(until_ms)
        return out

    def _release(self, due: list[Due], storms: bool = True) -> list[Alert]:
        out: list[Alert] = []
        if storms and len(due) >= STORM_LEAST:
            together: dict[tuple[int, int], list[Due]] = {}
            for entry in due:
                together.setdefault((entry.rule, entry.clock), []).append(entry)
            for (rule, clock), entries in together.items():
                if len(entries) >= STORM_LEAST:
                    self.runtimes[rule].watch_for_storm(clock, entries, out)
        for entry in due:
            runtime = self.runtimes[entry.rule]
            if entry.device is None:
                runtime.end_storm(entry.clock, entry.deadline, out)
            else:
                runtime.release(entry.device, entry.deadline, entry.clock, out)
            if self._spoken:
                self._relay(out)
        return out

    def _moved(self, kind: str, time: int, out: list[Alert]) -> None:
        """The clock of a type that deadlines wait for has moved on."""
        out.extend(self._release(self.clocks.seen(kind, time)))
        for runtime in self.runtimes:
            if runtime.storms:
                runtime.heard(kind, time)

    def _sweep(self, kind: str, time: int) -> int:
        """Forget devices of which the rules that read a type will hear no more; when to look again."""
        runtimes = self._reading[kind]
        for runtime in runtimes:
            runtime.sweep(time)
        if not self.clocks.has_wall:
            self.baselines.forget(time)
        # Devices that come in later may have to be forgotten before what is known now.
        soonest = min((runtime.expiry.keep_ms for runtime in runtimes), default=MAX_TIME_MS)
        return min([runtime.expiry.next for runtime in runtimes] + [time + soonest])

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
            for r in self.runtimes
        }

    def cap_warnings(self) -> list[CapWarning]:
        """What was dropped at a cap since the last call: which rule, which device, which cap."""
        of_rules = [warning for runtime in self.runtimes for warning in runtime.caps.take()]
        return of_rules + self.baselines.cap_warnings()

    # --- state

    def snapshot(self) -> bytes:
        """All that is known, for :meth:`restore`."""
        return state.snapshot(self)

    def restore(self, known: bytes) -> None:
        """Go on from what :meth:`snapshot` gave. To be called before the first event.

        Raises:
            OtherState: it is of another version or of other rules, or damaged; make a new matcher then.
        """
        state.restore(self, known)

    @property
    def event_types(self) -> list[type[Event]]:
        """Every type of event that may be kept, those of alerts included."""
        return list(self._handlers)

    @property
    def heard(self) -> list[str]:
        """The kinds of which an event has come."""
        types = self.decoder.types.items()
        return [kind for kind, struct in types if self._handlers[struct] is self.kinds[kind].handle]

    def hear(self, kinds: Iterable[str]) -> None:
        """Events of these kinds have come before."""
        for kind in kinds:
            self._handlers[self.decoder.types[kind]] = self.kinds[kind].handle

    def _first(self, struct: type[Event], handler: Handler) -> Handler:
        """A handler that takes the first event of a kind, to know since when the engine watches, and
        then makes way.
        """

        def first(event: Event, position: int, out: list[Alert]) -> None:
            self.sightings.watch_since(event.time)  # type: ignore[arg-type]  # the decoder has made it an int
            self._handlers[struct] = handler
            handler(event, position, out)

        return first
