"""The code of one kind of event in a handler: its clock, its baselines, the questions of the rules.

It is given as lines of source, for functions that ``engine.handlers`` puts together. In them the event is
``e``; ``raw`` are its bytes where it is decoded lightly; ``position`` is its place and ``out`` takes alerts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine import rule_index
from engine.alerts import Alert
from engine.baselines.answers import answer
from engine.baselines.declared import Baselines
from engine.baselines.observing import Observed, observing
from engine.codegen import Emitter, Places, common_parts
from engine.device_log import TRIM_EVERY, Fits
from engine.events import BadEvent, EventDecoder
from engine.kind_fit import KindFit
from engine.plan import Optimisations, Plan, Role
from engine.sightings import EVERY_MS, NEVER, Sightings

UNSEEN: Final = 1 << 62
"""What the clock of a kind shows before its first event: no time is later, so that the first is dealt with
where the exceptions are."""


class Calls(msgspec.Struct, frozen=True):
    """What a handler calls, seldom.

    Attributes:
        first: the first event of a kind has come, with its time.
        moved: the clock of a kind that deadlines wait for has moved on.
        arrived: an event of such a kind has come, whatever its time.
        sweep: a kind's clock has come to where devices may be forgotten; gives the next such time.
        too_late: the event at a position was too late to be matched.
        next_position: the position of an event that brings none.
        relay: gives alerts to rules that read them; None where no rule does.
        spoken: the alerts that wait for that.
        on_fit: see ``Matcher``; None where nobody asks.
    """

    first: Callable[[str, int], None]
    moved: Callable[[str, int, list[Alert]], None]
    arrived: Callable[[str], None]
    sweep: Callable[[str, int], int]
    too_late: Callable[[int], None]
    next_position: Callable[[], int]
    relay: Callable[[list[Alert]], None] | None
    spoken: list[tuple[Alert, int]]
    on_fit: Callable[[int, int, str], None] | None


class Asked(msgspec.Struct, frozen=True):
    """Source that asks which rules an event fits.

    Attributes:
        lines: to be run first.
        test: whether there are any.
        fits: the rules with the bits of their sources.
    """

    lines: list[str]
    test: str
    fits: str


class KindCode:
    """Writes the code of the kinds of one matcher."""

    def __init__(
        self,
        plan: Plan,
        baselines: Baselines,
        sightings: Sightings,
        watched: frozenset[str],
        decoder: EventDecoder,
        fits: Mapping[str, KindFit],
        calls: Calls,
        optimisations: Optimisations,
    ) -> None:
        self._plan = plan
        self._baselines = baselines
        self._sightings = sightings
        self._watched = watched
        self._decoder = decoder
        self._fits = fits
        self._calls = calls
        self._optimisations = optimisations

    def emitter(self) -> Emitter:
        """What the names of the code are made in."""
        emitter = Emitter(self._plan.lists)
        calls, sightings = self._calls, self._sightings
        emitter.names.update(
            first=calls.first,
            moved=calls.moved,
            arrived=calls.arrived,
            sweep=calls.sweep,
            too_late=calls.too_late,
            earliest=sightings.earliest,
            watch_since=sightings.watch_since,
            note=sightings.note,
            NEVER=NEVER,
            future=_future,
            merged=rule_index.merged,
            in_full=self._decoder.decode,
        )
        return emitter

    def body(
        self,
        kind: str,
        emitter: Emitter,
        leave: str,
        has_clock: bool,
        complete: bool,
        number: int | None = None,
        place: str = "position",
    ) -> list[str]:
        """What is done with an event ``e``. ``complete``: it is decoded lightly. ``leave``: the statement
        that ends its way. ``number``: of the kind, where several share a function. ``place``: source of its
        position.
        """
        n = "" if number is None else str(number)
        event = self._plan.events[kind]
        fit = self._fits.get(kind)
        places = Places(event="e")
        lines = ["    time = e.time"]
        if has_clock:
            lines += self._clock_lines(kind, event, emitter, n, fit is not None, leave, place)
        observed = self._observe(kind, emitter, places)
        lines += observed.lines
        if fit is None:
            return lines
        emitter.names[f"take{n}"] = fit.take
        roles = [role for role in self._plan.roles.get(kind, ()) if role.rule not in fit.always]
        asked = self._asking(kind, roles, event, emitter, places, bool(fit.always))
        lines += asked.lines
        take = [f"take{n}(e, {place}, {asked.fits}, {observed.readings or 'None'}, out)"]
        if complete:
            take.insert(0, "e = in_full(raw)")
        if self._calls.on_fit is not None:
            emitter.names[f"told{n}"] = _teller(self._calls.on_fit, fit.always)
            take.insert(-1, f"told{n}({asked.fits}, e.device)")
        elif fit.ends_only:
            emitter.names.update(fit.names(n))
            take = _only_kept(n, place, observed.readings or "None", take)
        if fit.always:
            return [*lines, *("    " + line for line in take)]
        return [*lines, f"    if {asked.test}:", *("        " + line for line in take)]

    def _clock_lines(
        self, kind: str, event: m.EventType, emitter: Emitter, n: str, read: bool, leave: str, place: str
    ) -> list[str]:
        """Count the event, move the clock of its kind, turn back what is too late."""
        watched = kind in self._watched
        on = [f"clock{n} = time"]
        if watched:
            on.append(f"moved({kind!r}, time, out)")
        seldom = ["pass"]
        if read:
            seldom = [f"if time >= sweep_at{n}:", f"    sweep_at{n} = sweep({kind!r}, time)"]
        lines = [f"    seen{n} += 1"]
        if watched:
            lines.append(f"    arrived({kind!r})")
        # Most events are later than those before, and not yet at the next time that asks for something.
        lines += [
            f"    if clock{n} < time < ahead{n}:",
            *("        " + line for line in on),
            "    elif time > latest:",
            f"        seen{n} -= 1",
            "        future(time, latest)",
            f"    elif time > clock{n} or clock{n} == {UNSEEN}:",
            f"        if clock{n} == {UNSEEN}:",
            f"            first({kind!r}, time)",
            *("        " + line for line in on),
            *("        " + line for line in seldom),
            f"        ahead{n} = {f'min(sweep_at{n}, latest + 1)' if read else 'latest + 1'}",
            f"    elif time < clock{n} - {event.late_ms + event.grace_ms}:",
            f"        late{n} += 1",
            f"        too_late({place})",
            f"        {leave}",
            "    elif time < earliest[0]:",
            "        watch_since(time)",
        ]
        if kind in self._sightings.last:
            emitter.names[f"sighted{n}"] = self._sightings.last[kind]
            lines += [
                f"    if time - sighted{n}.get(e.device, NEVER) > {EVERY_MS}:",
                f"        note({kind!r}, e.device, time)",
            ]
        return lines

    def _observe(self, kind: str, emitter: Emitter, places: Places) -> Observed:
        """The code that lets the kind's baselines take the event."""
        observed = observing(kind, self._baselines, emitter, places)
        for name in observed.names:
            estimator = self._baselines.estimators[name]
            for function in (*estimator.functions, "ready"):
                ask = emitter.constant((name, function), lambda x=estimator, f=function: x.ask(f), "ask")  # type: ignore[misc]
                places.answers[name, function] = answer(
                    estimator, function, *observed.arguments[name], ask, emitter.names
                )
        return observed

    def _asking(
        self,
        kind: str,
        roles: list[Role],
        event: m.EventType,
        emitter: Emitter,
        places: Places,
        always: bool,
    ) -> Asked:
        """Source that finds the rules that the event fits, with the bits of their sources. ``always``: the
        rules are needed also where there are none.
        """
        if not roles:
            return Asked([], "False", "()")
        lines: list[str] = []
        quick = self._optimisations
        plain, forms = (
            rule_index.split(roles, quick.index_group) if len(roles) >= quick.index_from else (roles, {})
        )
        for condition in common_parts([role.local for role in plain]):
            source = emitter.condition(condition, places)
            places.known[condition] = name = f"s{len(places.known)}"
            lines.append(f"    {name} = {source}")
        shared = _shared([role.local for role in plain])
        for index, condition in enumerate(shared):
            lines.append(f"    c{index} = {emitter.condition(condition, places)}")
        by_rule: dict[int, list[Role]] = {}
        for role in plain:
            by_rule.setdefault(role.rule, []).append(role)
        if len(plain) == 1 and not forms and not always:
            return Asked(
                lines, _ask(plain[0].local, shared, emitter, places), f"{((plain[0].rule, plain[0].bit),)!r}"
            )
        lines.append("    fits = ()")
        for rule, of_rule in by_rule.items():
            if len(of_rule) == 1:
                lines.append(f"    if {_ask(of_rule[0].local, shared, emitter, places)}:")
                lines.append(f"        fits += {((rule, of_rule[0].bit),)!r}")
                continue
            lines.append("    m = 0")
            for role in of_rule:
                lines.append(f"    if {_ask(role.local, shared, emitter, places)}:")
                lines.append(f"        m |= {role.bit}")
            lines += ["    if m:", f"        fits += (({rule}, m),)"]
        if forms:

            def optional(name: str) -> bool:
                return name not in event.fields or event.fields[name].optional

            lines.append("    hits = ()")
            for number, (form, members) in enumerate(forms.items()):
                lines += rule_index.index_lines((kind, number), form, members, optional, emitter)
            lines += ["    if hits:", "        fits = merged(fits, hits)"]
        return Asked(lines, "fits", "fits")


def _only_kept(n: str, place: str, readings: str, otherwise: list[str]) -> list[str]:
    """``KindFit.take`` written out for the commonest case: the event may end runs, and none is open."""
    return [
        "device = e.device",
        "changed(device)",
        "log = log_of(device)",
        "if log is None:",
        "    log = open_log(device, time)",
        "entries = log.entries",
        "if not log.active and e.start is None and (",
        "    time > entries[-1].time if entries else time >= log.known_from",
        "):",
        f"    fit{n}.taken += 1",
        "    if debt.owed:",
        "        debt.pay(PAID_BY_EVENT, out)",
        # The name of a device is kept once, however many events of it are.
        "    e.device = log.device",
        f"    entries.append(Logged(time, {place}, e, (), {readings}))",
        f"    if not len(entries) % {TRIM_EVERY}:",
        "        trim(log, time)",
        "else:",
        *("    " + line for line in otherwise),
    ]


def _future(time: int, limit: int) -> None:
    raise BadEvent("future_time", f"the event's time is {time - limit} ms later than may be")


def _teller(on_fit: Callable[[int, int, str], None], always: dict[int, int]) -> Callable[[Fits, str], None]:
    """Tells of every rule that an event fits, in their order."""

    def told(fits: Fits, device: str) -> None:
        for rule, mask in sorted((*always.items(), *fits)):
            on_fit(rule, mask, device)

    return told


def _shared(conditions: list[e.Condition]) -> list[e.Condition]:
    """Conditions that more than one source asks: worked out once an event."""
    seen: dict[e.Condition, int] = {}
    for condition in conditions:
        seen[condition] = seen.get(condition, 0) + 1
    return [condition for condition, times in seen.items() if times > 1]


def _ask(condition: e.Condition, shared: list[e.Condition], emitter: Emitter, places: Places) -> str:
    if condition in shared:
        return f"c{shared.index(condition)}"
    return emitter.condition(condition, places)
