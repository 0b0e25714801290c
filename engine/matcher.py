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

from dsl import expressions as e
from dsl import model as m
from dsl.diagnostics import Diagnostic
from engine import state
from engine.alert_events import AlertEvents, kind_of, read_rules
from engine.alerts import Alert
from engine.automaton import RuleTable
from engine.baselines.declared import Baselines
from engine.caps import KEPT, CapWarning
from engine.clocks import Clocks
from engine.deadlines import Deadlines
from engine.debt import Debt
from engine.device_log import DeviceLogs
from engine.events import MAX_TIME_MS, POSITION_SHIFT, Event, EventDecoder
from engine.handlers import Decoded, Handler, HandlerMaker, Handlers, KindCount, KindHandler, Many, One
from engine.keys import key_of
from engine.kind_code import Calls, KindCode
from engine.kind_fit import KindFit
from engine.light import light_decoder
from engine.log_runtime import LogRuntime
from engine.plan import ALL_OPTIMISATIONS, Optimisations, Plan, Role, RulePlan, make_plan
from engine.rule_runtime import RuleRuntime, keep_ms, most_kept
from engine.sightings import Sightings
from engine.state.parts import Changes

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
        optimisations: what may be left out, for tests.
        strict: events that fit nothing are decoded in full, too, so that every bad one is refused. Else one
            is not refused for what nobody asked about.

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
        optimisations: Optimisations = ALL_OPTIMISATIONS,
        strict: bool = False,
    ) -> None:
        self._optimisations = optimisations
        self._in_full = strict or not optimisations.light
        self.plan: Plan = make_plan(ruleset, also_learn, optimisations)
        self.diagnostics: tuple[Diagnostic, ...] = self.plan.diagnostics
        extra = {k: self.plan.read.get(k, frozenset()) | fields for k, fields in also_read.items()}
        self.decoder = EventDecoder(ruleset.events, self.plan.read | extra)
        self._declared = ruleset.events
        self.baselines = Baselines(self.plan.baselines, ruleset.events)
        self.clocks = Clocks({kind: event.grace_ms for kind, event in ruleset.events.items()})
        self._spoken: list[tuple[Alert, int]] = []
        self.debt = Debt()
        self.sightings = Sightings()
        self.changes = Changes(self)
        """Which devices change, for checkpoints."""
        self.sightings.changed = self.changes.touch
        self._readers: dict[str, list[RuleRuntime]] = {}
        self.runtimes: list[RuleRuntime] = []
        read = {name for plan in self.plan.rules for name in read_rules(plan.rule)}
        for plan in self.plan.rules:
            for kinds in plan.clock_kinds:
                self.clocks.watch(kinds)
            spoken = self._spoken if plan.rule.name in read else None
            runtime = _runtime_of(plan, optimisations)(
                plan, self.plan.lists, self.clocks, spoken, self.sightings, self.debt, self.changes.touch
            )
            if optimisations.creates:
                runtime.builder.write_out(self.plan.lists)
            for kind in plan.watched:
                runtime.keys[kind] = key_of(self.plan.events[kind], plan.key_fields)
            for need in (need for needs in runtime.builder.needs for need in needs):
                self.sightings.need(need.kind, need.look_back_ms, ruleset.events[need.kind].late_ms)
            self.runtimes.append(runtime)
            for name in read_rules(plan.rule):
                self._readers.setdefault(name, []).append(runtime)
        self.deadlines = Deadlines(self.clocks, self.runtimes, self.debt, self._relay)
        self._reading = {
            kind: [self.runtimes[i] for i in dict.fromkeys(role.rule for role in roles)]
            for kind, roles in self.plan.roles.items()
        }
        self._sharing = frozenset(p.index for p in self.plan.rules if _shares(p, optimisations))
        self.logs = self._shared_logs()
        self.fits = self._kind_fits()
        self.late: list[int] = []
        """The positions of events that were too late to be matched; who reads them clears the list."""
        self._alert_events = {name: AlertEvents(self.plan.events[kind_of(name)]) for name in self._readers}
        made = self._make_handlers(on_fit)
        self.kinds: dict[str, KindHandler] = made.kinds
        self._handlers: dict[type[Event], Handler] = {
            struct: made.kinds[kind].handle for kind, struct in self.decoder.types.items()
        }
        for name, alert_event in self._alert_events.items():
            self._handlers[alert_event.struct] = made.kinds[kind_of(name)].handle
        self.position = 0
        """Of the last event that brought none of its own."""
        self.feed: Feed = self._feeder()
        """One decoded event; the alerts it causes: creates, and updates and closes of earlier ones."""
        self.feed_json: One = made.one
        """One event as JSON: the quicker way, for what fits nothing is hardly decoded.

        Raises:
            BadEvent: it cannot be matched; the reason says why.
        """
        self.feed_many: Many = made.many
        """Many events as JSON, the quickest way. What an event raises (`BadEvent` for a bad one) goes to
        ``on_bad`` with its position; should that raise, the alerts of the events before are lost.
        """
        self.feed_decoded: Decoded | None = made.decoded
        """Many events as ``decoder.together`` gives them, otherwise as :attr:`feed_many`; None for a matcher
        that is not strict.
        """
        self.not_after: Callable[[int], None] = made.not_after
        """Set the latest time, epoch milliseconds, that an event may have: one that lies in the future would
        push the clock of its kind ahead, and make honest events late. Such events are refused (BadEvent,
        ``future_time``).
        """

    def _shared_logs(self) -> DeviceLogs:
        plans = [plan for plan in self.plan.rules if plan.index in self._sharing]
        always = {
            kind: {rule: bits for rule, bits in self._always(roles).items() if rule in self._sharing}
            for kind, roles in self.plan.roles.items()
        }
        for plan in plans:
            self.runtimes[plan.index].share(always)

        def dropped(rule: int, device: str, count: int, since: int) -> None:
            runtime = self.runtimes[rule]
            if isinstance(runtime, LogRuntime):
                runtime.cut(device, since, count)
            elif device not in runtime.devices:
                # With a state of its own it keeps its own events, and says itself what it drops.
                runtime.caps.met(KEPT, device, count)

        caps = {plan.index: most_kept(plan) for plan in plans}
        return DeviceLogs(always, caps, max(map(keep_ms, plans), default=0), dropped, self.changes.touch)

    @staticmethod
    def _always(roles: Iterable[Role]) -> dict[int, int]:
        """The rules that every event fits, with the bits of their sources; a rule that also asks something
        of it is not among them.
        """
        bits: dict[int, int] = {}
        asking = {role.rule for role in roles if not isinstance(role.local, e.Always)}
        for role in roles:
            if role.rule not in asking:
                bits[role.rule] = bits.get(role.rule, 0) | role.bit
        return bits

    def _kind_fits(self) -> dict[str, KindFit]:
        return {
            kind: KindFit(
                self.plan.events[kind],
                self._always(roles),
                self.logs,
                self._sharing,
                self.runtimes,
                any(not isinstance(role.local, e.Always) for role in roles),
                self.changes.touch,
                self.debt,
            )
            for kind, roles in self.plan.roles.items()
        }

    def _make_handlers(self, on_fit: Callable[[int, int, str], None] | None) -> Handlers:
        calls = Calls(
            first=self._first,
            moved=self._moved,
            arrived=self.clocks.arrived,
            sweep=self._sweep,
            too_late=self.late.append,
            next_position=self._next_position,
            relay=self._relay if self._readers else None,
            spoken=self._spoken,
            on_fit=on_fit,
        )
        in_full = frozenset(self._declared) if self._in_full else self.clocks.watched
        light = light_decoder(self.decoder, self._declared, self.plan.roles, self.baselines, in_full)
        code = KindCode(
            self.plan,
            self.baselines,
            self.sightings,
            self.clocks.watched,
            self.decoder,
            self.fits,
            calls,
            self._optimisations,
        )
        maker = HandlerMaker(code, self.baselines, self.decoder, light, calls)
        return maker.make([kind_of(name) for name in self._alert_events])

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
                position = self._next_position()
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
        self.deadlines.moved(self.clocks.advance(now_ms), out)
        if self._spoken:
            self._relay(out)
        return out

    def close(self, until_ms: int = MAX_TIME_MS) -> list[Alert]:
        """Nothing up to and including a time is still to come: all clocks pass it. At the end of input
        the time is left out. The alerts are those that were waiting for that.
        """
        out = self.catch_up()
        # What is released may set further deadlines that have passed already.
        while self.deadlines.close(until_ms, out) or self.debt.waiting:
            out += self.catch_up()
        return out

    def catch_up(self, storms: bool = True) -> list[Alert]:
        """Do now what waits because late events came in a flood, or many deadlines passed together
        (``engine.debt``), whatever it costs. Without ``storms`` what is held because it may be one
        (``engine.storms``) is said, too.
        """
        out: list[Alert] = []
        if not storms:
            self.deadlines.let_go()
        while self.debt.waiting:
            self.debt.serve_all(out)
            # Rules that read these alerts may then wait in their turn.
            if self._spoken:
                self._relay(out)
        return out

    def _moved(self, kind: str, time: int, out: list[Alert]) -> None:
        """The clock of a type that deadlines wait for has moved on."""
        self.deadlines.moved(self.clocks.seen(kind, time), out)
        self.deadlines.heard(kind, time, out)

    def _sweep(self, kind: str, time: int) -> int:
        """Forget devices of which the rules that read a type will hear no more; when to look again."""
        runtimes = self._reading[kind]
        for runtime in runtimes:
            runtime.sweep(time)
        self.logs.sweep(time)
        if not self.clocks.has_wall:
            self.baselines.forget(time)
        # Devices that come in later may have to be forgotten before what is known now.
        soonest = min((runtime.expiry.keep_ms for runtime in runtimes), default=MAX_TIME_MS)
        return min([self.logs.expiry.next, time + soonest, *(runtime.expiry.next for runtime in runtimes)])

    def _next_position(self) -> int:
        self.position += ONE_RECORD
        return self.position

    def _first(self, kind: str, time: int) -> None:
        """The first event of a kind: the engine watches since then at the latest."""
        self.sightings.watch_since(time)

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

    def rule_counts(self) -> dict[str, RuleCount]:
        """What each rule has done so far."""
        found: dict[str, RuleCount] = {}
        for r in self.runtimes:
            shared = [self.fits[kind].counts(r.plan.index) for kind in r.plan.watched if kind in self.fits]
            fits, duplicates, unkeyed = map(sum, zip(*shared, strict=True)) if shared else (0, 0, 0)
            found[r.plan.rule.name] = RuleCount(
                fits=r.fits + fits,
                starts=r.starts,
                matches=r.said.matches,
                suppressed=r.said.suppressed,
                unkeyed=r.unkeyed + unkeyed,
                duplicates=r.duplicates + duplicates,
                dropped=r.caps.total,
                reruns=r.reruns,
                devices=len(r.devices),
            )
        return found

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


def _shares(plan: RulePlan, optimisations: Optimisations) -> bool:
    """Whether a rule shares the device logs: it is about a device, and reads no alerts (those may change)."""
    return optimisations.logs and not plan.fleet and not read_rules(plan.rule)


def _runtime_of(plan: RulePlan, optimisations: Optimisations) -> type[RuleRuntime]:
    return LogRuntime if _shares(plan, optimisations) and isinstance(plan.table, RuleTable) else RuleRuntime
