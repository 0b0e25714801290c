"""The functions that take events: generated from the rules that read them.

They do what an expert would write for these rules: decode what is asked, keep the clock of the kind, let its
baselines see the event, ask each distinct question once, and give the event to the rules it fits. Most
events fit nothing; on that path nothing is allocated but the decoded event.

For each kind there is a function for an event that is decoded in full (``Matcher.feed``). For bytes there
are two more, for one event and for many: they decode lightly (engine/light.py), tell the kinds apart by
their types, and have the code of each kind written out. A kind with baselines is a call: it costs little
beside what the baselines do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine import rule_index
from engine.alerts import Alert
from engine.baselines.declared import Baselines
from engine.baselines.observing import Observed, observing
from engine.codegen import Emitter, Places, compile_function
from engine.device_log import Fits
from engine.events import MAX_TIME_MS, REFUSED, BadEvent, EventDecoder
from engine.kind_fit import KindFit
from engine.light import LightDecoder
from engine.plan import Optimisations, Plan, Role
from engine.sightings import EVERY_MS, NEVER, Sightings

UNSEEN: Final = 1 << 62
"""What the clock of a kind shows before its first event: no time is later, so that the first is dealt with
where the exceptions are."""

_LATEST: Final = (
    f"latest = {MAX_TIME_MS}",
    "def not_after(time):",
    "    nonlocal latest",
    "    latest = time",
)
"""The latest time that an event may have, and how it is set."""

Handler = Callable[[Any, int, list[Alert]], None]
OnBad = Callable[[BadEvent, int], None]


class One(Protocol):
    """Takes one event as JSON."""

    def __call__(self, raw: bytes, position: int | None = None) -> list[Alert]: ...


class Many(Protocol):
    """Takes events as JSON; ``position`` is that of the first, and ``step`` from one to the next."""

    def __call__(
        self, raws: Iterable[bytes], position: int, step: int, on_bad: OnBad | None
    ) -> list[Alert]: ...


class KindCount(msgspec.Struct, frozen=True):
    """What happened to the events of one kind: all, and those too late to be matched."""

    seen: int = 0
    late: int = 0


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


class KindHandler(msgspec.Struct, frozen=True):
    """One kind's handler and its source.

    Attributes:
        handle: takes an event that is decoded in full.
        light: takes a lightly decoded event, its bytes, its position and the list for alerts; None for a
            kind that is decoded in full, or written out elsewhere.
        state: the kind's clock, when to sweep next, and how many events came in all and too late.
        restore: goes on from what ``state`` gave.
    """

    handle: Handler
    light: Callable[[Any, bytes, int, list[Alert]], None] | None
    source: str
    state: Callable[[], list[int]]
    restore: Callable[[list[int]], None]

    @property
    def count(self) -> KindCount:
        """How many events there were."""
        return KindCount(*self.state()[2:])


class Handlers(msgspec.Struct, frozen=True):
    """All that takes events.

    Attributes:
        kinds: by kind.
        one, many: take bytes.
        not_after: sets the latest time that an event may have; see ``Matcher.not_after``.
    """

    kinds: dict[str, KindHandler]
    one: One
    many: Many
    not_after: Callable[[int], None]


class HandlerMaker:
    """Makes the handlers of one matcher."""

    def __init__(
        self,
        plan: Plan,
        baselines: Baselines,
        sightings: Sightings,
        watched: frozenset[str],
        decoder: EventDecoder,
        light: LightDecoder,
        fits: Mapping[str, KindFit],
        calls: Calls,
        optimisations: Optimisations,
    ) -> None:
        self._optimisations = optimisations
        self._plan = plan
        self._baselines = baselines
        self._sightings = sightings
        self._watched = watched
        self._decoder = decoder
        self._light = light
        self._fits = fits
        self._calls = calls
        self._setters: list[Callable[[int], None]] = []

    def make(self, alert_kinds: Sequence[str]) -> Handlers:
        """The handlers of every kind that is read, those of alerts included."""
        kinds: dict[str, KindHandler] = {}
        written_out: list[str] = []
        for kind in self._decoder.types:
            if self._baselines.groups(kind):
                kinds[kind] = self._apart(kind, has_clock=True)
            else:
                written_out.append(kind)
        for kind in alert_kinds:
            kinds[kind] = self._apart(kind, has_clock=False)
        return self._together(written_out, kinds)

    # --- whole functions

    def _apart(self, kind: str, has_clock: bool) -> KindHandler:
        """The functions of a kind that is called."""
        emitter = self._emitter()
        full = self._body(kind, emitter, "return", has_clock=has_clock, complete=False)
        is_light = has_clock and kind in self._light.light
        light = (
            self._body(kind, emitter, "return", has_clock=True, complete=True) if is_light else ["    pass"]
        )
        cells = "nonlocal clock, seen, late, sweep_at"
        lines = [
            f"clock, sweep_at, seen, late = {UNSEEN}, -1, 0, 0",
            *_function("handle(e, position, out)", cells, full),
            *_function("light(e, raw, position, out)", cells, light),
            *_state_functions("", ""),
            *_LATEST,
            "return handle, light, state, restore, not_after",
        ]
        handle, lightly, state, restore, not_after = _made(lines, emitter)
        self._setters.append(not_after)
        return KindHandler(handle, lightly if is_light else None, _shown(full), state, restore)

    def _together(self, kinds: list[str], apart: dict[str, KindHandler]) -> Handlers:
        """The kinds without baselines, and the functions for bytes, which have their code written out."""
        emitter = self._emitter()
        names, calls = emitter.names, self._calls
        numbers = {kind: number for number, kind in enumerate(kinds)}
        cells = [
            cell for n in numbers.values() for cell in (f"clock{n}", f"seen{n}", f"late{n}", f"sweep_at{n}")
        ]
        nonlocal_cells = f"nonlocal {', '.join(cells)}" if cells else "pass"
        lines = [f"clock{n}, sweep_at{n}, seen{n}, late{n} = {UNSEEN}, -1, 0, 0" for n in numbers.values()]
        shown: dict[str, str] = {}
        for kind, n in numbers.items():
            full = self._body(kind, emitter, "return", has_clock=True, complete=False, number=n)
            shown[kind] = _shown(full)
            lines += _function(f"handle{n}(e, position, out)", nonlocal_cells, full)
            lines += _state_functions(str(n), str(n))
        calls_of: dict[type, Any] = {}
        for kind, handler in apart.items():
            if handler.light is not None:
                calls_of[self._light.light[kind]] = handler.light
            elif kind in self._light.full:
                calls_of[self._light.full[kind]] = self._finishing(handler.handle)
        handles = {
            self._decoder.types[kind]: handler.handle
            for kind, handler in apart.items()
            if kind in self._decoder.types
        }
        names.update(
            decode=self._light.decode,
            in_full=self._decoder.decode,
            finish=self._decoder.finish,
            REFUSED=REFUSED,
            BadEvent=BadEvent,
            called=calls_of.get,
            handles=handles,
            next_position=calls.next_position,
        )
        lines += [
            "def slowly(raw, position, out):",
            "    e = in_full(raw)",
            "    if e is not None:",
            "        handles[type(e)](e, position, out)",
        ]
        after = []
        if calls.relay is not None:
            names.update(spoken=calls.spoken, relay=calls.relay)
            after = ["    if spoken:", "        relay(out)"]
        step = self._dispatch(kinds, numbers, emitter, "return out")
        lines += _function(
            "one(raw, position=None)",
            nonlocal_cells,
            [
                "    if position is None:",
                "        position = next_position()",
                "    out = []",
                "    try:",
                "        e = decode(raw)",
                "    except REFUSED:",
                "        slowly(raw, position, out)",
                *_deeper(after),
                "        return out",
                *step,
                *after,
                "    return out",
            ],
        )
        step = self._dispatch(kinds, numbers, emitter, "continue")
        lines += _function(
            "many(raws, position, step, on_bad)",
            nonlocal_cells,
            [
                "    out = []",
                "    position -= step",
                "    for raw in raws:",
                "        position += step",
                "        try:",
                "            try:",
                "                e = decode(raw)",
                "            except REFUSED:",
                "                slowly(raw, position, out)",
                *_deeper(after, 3),
                "                continue",
                *_deeper([*step, *after], 2),
                "        except BadEvent as bad:",
                "            if on_bad is None:",
                "                raise",
                "            on_bad(bad, position)",
                "    return out",
            ],
        )
        made = ", ".join(f"handle{n}, state{n}, restore{n}" for n in numbers.values())
        lines += _LATEST
        lines.append(f"return one, many, handles, not_after, ({made}{',' if made else ''})")
        one, many, handles, not_after, functions = _made(lines, emitter)
        self._setters.append(not_after)
        found = dict(apart)
        for kind, n in numbers.items():
            handle, state, restore = functions[3 * n : 3 * n + 3]
            handles[self._decoder.types[kind]] = handle
            found[kind] = KindHandler(handle, None, shown[kind], state, restore)
        ordered = {kind: found[kind] for kind in (*self._decoder.types, *apart) if kind in found}
        return Handlers(ordered, one, many, self._not_after)

    def _not_after(self, time: int) -> None:
        for setter in self._setters:
            setter(time)

    def _finishing(self, handle: Handler) -> Callable[[Any, bytes, int, list[Alert]], None]:
        finish = self._decoder.finish

        def finished(event: Any, raw: bytes, position: int, out: list[Alert]) -> None:
            handle(finish(event, raw), position, out)

        return finished

    def _dispatch(self, kinds: list[str], numbers: dict[str, int], emitter: Emitter, leave: str) -> list[str]:
        """Tell the kinds apart. Those first of which most events fit nothing: they tend to be the many."""
        lines: list[str] = []
        word = "if"
        if kinds:
            lines.append("    kind = type(e)")
        for kind in sorted(kinds, key=lambda kind: kind not in self._light.light):
            number = numbers[kind]
            light = kind in self._light.light
            name = f"Kind{number}"
            emitter.names[name] = self._light.light[kind] if light else self._light.full[kind]
            lines.append(f"    {word} kind is {name}:")
            word = "elif"
            if light:
                body = self._body(kind, emitter, leave, has_clock=True, complete=True, number=number)
            else:
                # The common case needs no second look.
                second = (
                    "True"
                    if self._decoder.has_two_forms(kind)
                    else "e.time.__class__ is not int or e.start is not None"
                )
                body = [
                    f"    if {second}:",
                    "        e = finish(e, raw)",
                    *self._body(kind, emitter, leave, has_clock=True, complete=False, number=number),
                ]
            lines += _deeper(body)
        lines += [
            *(["    else:"] if kinds else []),
            *_deeper(
                [
                    "    call = called(type(e))",
                    "    if call is not None:",
                    "        call(e, raw, position, out)",
                ],
                1 if kinds else 0,
            ),
        ]
        return lines

    # --- the code of one kind

    def _emitter(self) -> Emitter:
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

    def _body(
        self,
        kind: str,
        emitter: Emitter,
        leave: str,
        has_clock: bool,
        complete: bool,
        number: int | None = None,
    ) -> list[str]:
        """What is done with an event ``e``. ``complete``: it is decoded lightly. ``leave``: the statement
        that ends its way. ``number``: of the kind, where several share a function.
        """
        n = "" if number is None else str(number)
        event = self._plan.events[kind]
        fit = self._fits.get(kind)
        places = Places(event="e")
        lines = ["    time = e.time"]
        if has_clock:
            lines += self._clock_lines(kind, event, emitter, n, fit is not None, leave)
        observed = self._observe(kind, emitter, places)
        lines += observed.lines
        if fit is None:
            return lines
        emitter.names[f"take{n}"] = fit.take
        roles = [role for role in self._plan.roles.get(kind, ()) if role.rule not in fit.always]
        lines += self._asking(kind, roles, event, emitter, places)
        take = [f"take{n}(e, position, fits, {observed.readings or 'None'}, out)"]
        if complete:
            take.insert(0, "e = in_full(raw)")
        if self._calls.on_fit is not None:
            emitter.names[f"told{n}"] = _teller(self._calls.on_fit, fit.always)
            take.insert(-1, f"told{n}(fits, e.device)")
        if fit.always:
            return [*lines, *("    " + line for line in take)]
        return [*lines, "    if fits:", *("        " + line for line in take)]

    def _clock_lines(
        self, kind: str, event: m.EventType, emitter: Emitter, n: str, read: bool, leave: str
    ) -> list[str]:
        """Count the event, move the clock of its kind, turn back what is too late."""
        watched = kind in self._watched
        on = [f"clock{n} = time"]
        if watched:
            on.append(f"moved({kind!r}, time, out)")
        if read:
            on += [f"if time >= sweep_at{n}:", f"    sweep_at{n} = sweep({kind!r}, time)"]
        lines = [f"    seen{n} += 1"]
        if watched:
            lines.append(f"    arrived({kind!r})")
        lines += [
            f"    if clock{n} < time <= latest:",
            *("        " + line for line in on),
            "    elif time > latest:",
            f"        seen{n} -= 1",
            "        future(time, latest)",
            f"    elif clock{n} == {UNSEEN}:",
            f"        first({kind!r}, time)",
            *("        " + line for line in on),
            f"    elif time < clock{n} - {event.late_ms + event.grace_ms}:",
            f"        late{n} += 1",
            "        too_late(position)",
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
        places.observed.update(observed.arguments)
        for name in observed.names:
            estimator = self._baselines.estimators[name]
            for function in (*estimator.functions, "ready"):
                emitter.constant((name, function), lambda x=estimator, f=function: x.ask(f), "ask")  # type: ignore[misc]
        return observed

    def _asking(
        self, kind: str, roles: list[Role], event: m.EventType, emitter: Emitter, places: Places
    ) -> list[str]:
        """Source that sets ``fits``, the rules that the event fits with the bits of their sources."""
        if not roles:
            return ["    fits = ()"]
        lines: list[str] = []
        quick = self._optimisations
        plain, forms = (
            rule_index.split(roles, quick.index_group) if len(roles) >= quick.index_from else (roles, {})
        )
        shared = _shared([role.local for role in plain])
        for index, condition in enumerate(shared):
            lines.append(f"    c{index} = {emitter.condition(condition, places)}")
        by_rule: dict[int, list[Role]] = {}
        for role in plain:
            by_rule.setdefault(role.rule, []).append(role)
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
        return lines


def _future(time: int, limit: int) -> None:
    raise BadEvent("future_time", f"the event's time is {time - limit} ms later than may be")


def _teller(on_fit: Callable[[int, int, str], None], always: dict[int, int]) -> Callable[[Fits, str], None]:
    """Tells of every rule that an event fits, in their order."""

    def told(fits: Fits, device: str) -> None:
        for rule, mask in sorted((*always.items(), *fits)):
            on_fit(rule, mask, device)

    return told


def _function(signature: str, cells: str, body: list[str]) -> list[str]:
    return [f"def {signature}:", f"    {cells}", *body]


def _state_functions(name: str, n: str) -> list[str]:
    cells = f"clock{n}, sweep_at{n}, seen{n}, late{n}"
    return [
        f"def state{name}():",
        f"    return [-1 if clock{n} == {UNSEEN} else clock{n}, sweep_at{n}, seen{n}, late{n}]",
        f"def restore{name}(cells):",
        f"    nonlocal {cells}",
        f"    {cells} = cells",
        f"    if clock{n} == -1:",
        f"        clock{n} = {UNSEEN}",
    ]


def _made(lines: list[str], emitter: Emitter) -> Any:
    """Run a function of these lines: what changes with every event lives in cells of a closure, the fastest
    there is.
    """
    text = "def make():\n" + "".join(f"    {line}\n" for line in lines)
    return compile_function("make", text, emitter.names)()


def _shown(body: list[str]) -> str:
    return "\n".join(["def handle(e, position, out):", *body]) + "\n"


def _deeper(lines: Sequence[str], levels: int = 1) -> list[str]:
    return [f"{'    ' * levels}{line}" for line in lines]


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
