"""The functions that take events: generated from the rules that read them.

They do what an expert would write for these rules: decode what is asked, keep the clock of the kind, let its
baselines see the event, ask each distinct question once, and give the event to the rules it fits. Most
events fit nothing; on that path nothing is allocated but the decoded event.

For each kind there is a function for an event that is decoded in full (``Matcher.feed``). For bytes there
are two more, for one event and for many: they decode lightly (engine/light.py), tell the kinds apart by
their types, and have the code of each kind (engine/kind_code.py) written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec

from engine.alerts import Alert
from engine.baselines.declared import Baselines
from engine.codegen import Emitter, compile_function
from engine.events import MAX_TIME_MS, REFUSED, EventDecoder
from engine.kind_code import UNSEEN, Calls, KindCode
from engine.light import LightDecoder

_PLACE: Final = "last - left() * step"
"""The position of an event among many. Few are asked for theirs, so it is not counted up: an iterator over a
list knows how many it has left."""

Handler = Callable[[Any, int, list[Alert]], None]
OnBad = Callable[[Exception, int], None]


class One(Protocol):
    """Takes one event as JSON."""

    def __call__(self, raw: bytes, position: int | None = None) -> list[Alert]: ...


class Many(Protocol):
    """Takes events as JSON; ``position`` is that of the first, and ``step`` from one to the next."""

    def __call__(self, raws: Iterable[bytes], position: int, step: int, on_bad: OnBad) -> list[Alert]: ...


class Decoded(Protocol):
    """As `Many`, but takes events as ``EventDecoder.together`` gives them."""

    def __call__(self, events: list[Any], position: int, step: int, on_bad: OnBad) -> list[Alert]: ...


class KindCount(msgspec.Struct, frozen=True):
    """What happened to the events of one kind: all, and those too late to be matched."""

    seen: int = 0
    late: int = 0


class KindHandler(msgspec.Struct, frozen=True):
    """One kind's handler and its source.

    Attributes:
        handle: takes an event that is decoded in full.
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


class Handlers(msgspec.Struct, frozen=True):
    """All that takes events.

    Attributes:
        kinds: by kind.
        one, many: take bytes.
        decoded: takes many events as ``EventDecoder.together`` gives them; None where some kinds are decoded
            lightly.
        not_after: sets the latest time that an event may have; see ``Matcher.not_after``.
    """

    kinds: dict[str, KindHandler]
    one: One
    many: Many
    decoded: Decoded | None
    not_after: Callable[[int], None]


class HandlerMaker:
    """Makes the handlers of one matcher."""

    def __init__(
        self,
        code: KindCode,
        baselines: Baselines,
        decoder: EventDecoder,
        light: LightDecoder,
        calls: Calls,
    ) -> None:
        self._code = code
        self._baselines = baselines
        self._decoder = decoder
        self._light = light
        self._calls = calls

    def make(self, alert_kinds: Sequence[str]) -> Handlers:
        """The handlers of every kind that is read, those of alerts included."""
        of_alerts = {kind: self._apart(kind) for kind in alert_kinds}
        return self._together(list(self._decoder.types), of_alerts)

    # --- whole functions

    def _apart(self, kind: str) -> KindHandler:
        """The functions of a kind of alerts, which are never bytes."""
        emitter = self._code.emitter()
        full = self._code.body(kind, emitter, "return", has_clock=False, complete=False)
        cells = "nonlocal clock, seen, late, sweep_at, ahead"
        lines = [
            f"clock, sweep_at, seen, late, ahead = {UNSEEN}, -1, 0, 0, -1",
            *_function("handle(e, position, out)", cells, full),
            *_state_functions("", ""),
            "return handle, state, restore",
        ]
        handle, state, restore = _made(lines, emitter)
        return KindHandler(handle, _shown(full), state, restore)

    def _together(self, kinds: list[str], apart: dict[str, KindHandler]) -> Handlers:
        """The kinds of events, and the functions for bytes, which have their code written out."""
        emitter = self._code.emitter()
        names, calls = emitter.names, self._calls
        numbers = {kind: number for number, kind in enumerate(kinds)}
        cells = [
            f"{cell}{n}" for n in numbers.values() for cell in ("clock", "seen", "late", "sweep_at", "ahead")
        ]
        nonlocal_cells = f"nonlocal {', '.join(cells)}" if cells else "pass"
        lines = [
            f"clock{n}, sweep_at{n}, seen{n}, late{n}, ahead{n} = {UNSEEN}, -1, 0, 0, -1"
            for n in numbers.values()
        ]
        shown: dict[str, str] = {}
        for kind, n in numbers.items():
            full = self._code.body(kind, emitter, "return", has_clock=True, complete=False, number=n)
            shown[kind] = _shown(full)
            lines += _function(f"handle{n}(e, position, out)", nonlocal_cells, full)
            lines += _state_functions(str(n), str(n))
        handles: dict[type, Handler] = {}
        names.update(
            decode=self._light.decode,
            in_full=self._decoder.decode,
            finish=self._decoder.finish,
            REFUSED=REFUSED,
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
        step = self._dispatch(kinds, numbers, emitter, "return out", "position")
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
        step = self._dispatch(kinds, numbers, emitter, "continue", _PLACE)
        lines += _function(
            "many(raws, position, step, on_bad)",
            nonlocal_cells,
            [
                "    if raws.__class__ is not list:",
                "        raws = list(raws)",
                "    out = []",
                "    last = position + (len(raws) - 1) * step",
                "    raws, ahead = iter(raws), iter(raws)",
                "    left, undecoded = raws.__length_hint__, ahead.__length_hint__",
                # Decoded by `map`: its loop costs less than one of Python's.
                "    pairs = zip(map(decode, ahead), raws)",
                "    while True:",
                "        try:",
                "            for e, raw in pairs:",
                *_deeper([*step, *after] or ["    pass"], 3),
                "            return out",
                "        except Exception as error:",
                # The decoder takes its bytes first: where it has refused them, ours are still to be taken.
                "            if undecoded() == left():",
                f"                on_bad(error, {_PLACE})",
                "                continue",
                "            raw = next(raws)",
                "        try:",
                f"            slowly(raw, {_PLACE}, out)",
                *_deeper(after, 2),
                "        except Exception as error:",
                f"            on_bad(error, {_PLACE})",
            ],
        )
        lines += ["decoded = None"] if self._light.light else self._decoded([*step, *after], nonlocal_cells)
        made = ", ".join(f"handle{n}, state{n}, restore{n}" for n in numbers.values())
        ahead = [f"ahead{n}" for n in numbers.values()]
        lines += [
            f"latest = {MAX_TIME_MS}",
            "def not_after(time):",
            f"    nonlocal {', '.join(('latest', *ahead))}",
            "    if time < latest:",
            # What kinds look ahead to must not be later. Where it moves on, they find out for themselves.
            *(f"        {cell} = min({cell}, time + 1)" for cell in ahead),
            "        pass",
            "    latest = time",
        ]
        lines.append(f"return one, many, decoded, handles, not_after, ({made}{',' if made else ''})")
        one, many, decoded, handles, not_after, functions = _made(lines, emitter)
        found = dict(apart)
        for kind, n in numbers.items():
            handle, state, restore = functions[3 * n : 3 * n + 3]
            handles[self._decoder.types[kind]] = handle
            found[kind] = KindHandler(handle, shown[kind], state, restore)
        ordered = {kind: found[kind] for kind in (*self._decoder.types, *apart) if kind in found}
        return Handlers(ordered, one, many, decoded, not_after)

    @staticmethod
    def _decoded(step: list[str], cells: str) -> list[str]:
        """The function for many events that are decoded in full; ``step`` is what is done with each."""
        return _function(
            "decoded(events, position, step, on_bad)",
            cells,
            [
                "    raw = b''",
                "    out = []",
                "    last = position + (len(events) - 1) * step",
                "    events = iter(events)",
                "    left = events.__length_hint__",
                "    while True:",
                "        try:",
                "            for e in events:",
                *_deeper(step or ["    pass"], 3),
                "            return out",
                "        except Exception as error:",
                f"            on_bad(error, {_PLACE})",
            ],
        )

    def _rank(self, kind: str) -> tuple[int, bool]:
        """Kinds of which much is learned, and those of which most events fit nothing, tend to be the many."""
        learned = sum(len(names) for _, names in self._baselines.groups(kind))
        return -learned, kind not in self._light.light

    def _dispatch(
        self, kinds: list[str], numbers: dict[str, int], emitter: Emitter, leave: str, place: str
    ) -> list[str]:
        """Tell the kinds apart; ``place`` is source of an event's position. Those first of which most events
        fit nothing: they tend to be the many.
        """
        lines: list[str] = []
        word = "if"
        if kinds:
            lines.append("    kind = type(e)")
        for kind in sorted(kinds, key=self._rank):
            number = numbers[kind]
            light = kind in self._light.light
            name = f"Kind{number}"
            emitter.names[name] = self._light.light[kind] if light else self._light.full[kind]
            lines.append(f"    {word} kind is {name}:")
            word = "elif"
            if light:
                body = self._code.body(
                    kind, emitter, leave, has_clock=True, complete=True, number=number, place=place
                )
            else:
                # The common case needs no second look.
                second = self._decoder.second_look(kind, emitter.names)
                body = [
                    f"    if {second}:",
                    "        e = finish(e, raw)",
                    *self._code.body(
                        kind, emitter, leave, has_clock=True, complete=False, number=number, place=place
                    ),
                ]
            lines += _deeper(body)
        return lines


def _function(signature: str, cells: str, body: list[str]) -> list[str]:
    return [f"def {signature}:", f"    {cells}", *body]


def _state_functions(name: str, n: str) -> list[str]:
    cells = f"clock{n}, sweep_at{n}, seen{n}, late{n}"
    return [
        f"def state{name}():",
        f"    return [-1 if clock{n} == {UNSEEN} else clock{n}, sweep_at{n}, seen{n}, late{n}]",
        f"def restore{name}(cells):",
        f"    nonlocal {cells}, ahead{n}",
        f"    {cells} = cells",
        f"    ahead{n} = -1",
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
