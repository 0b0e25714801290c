"""Chains to the tables of the *search* automaton, and the two facts about them that the plan tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from dsl import expressions as e
from dsl import model as m
from engine.automaton import CrossTest
from engine.chains import Absence, Chain, ChainStep, Gather, Level, inner_names
from engine.codegen import Emitter, Places, compile_function
from engine.events import attribute
from engine.search_table import (
    AbsenceTable,
    BoundTable,
    GatherTable,
    LevelTable,
    Position,
    SearchChain,
    SearchTable,
    SearchVeto,
    Sought,
    Values,
)

MakeTest = Callable[[m.Source, Mapping[str, str | None], frozenset[str]], CrossTest | None]
"""Compiles the part of a source that reads steps; None where it reads none."""


class Context(msgspec.Struct, frozen=True):
    """What is known where a chain begins: the elements before it.

    Attributes:
        offset: how many they are.
        places: step name to the Python expression of its element; None for one not taken here.
        loose: names whose event may be of several types.
        several: names of steps of several events, and of steps inside them.
    """

    offset: int
    places: Mapping[str, str | None]
    loose: frozenset[str]
    several: frozenset[str]


def needs_search(chains: tuple[Chain, ...]) -> bool:
    """Whether something stands in the pattern that only *search* runs."""
    return any(step.what is not None or step.lookbacks for chain in chains for step in chain.steps)


def window_of(chain: Chain) -> int:
    """The longest time a match on a chain can take, deadlines included: the best that its bounds say."""
    steps = chain.steps
    longest = [0] * len(steps)
    overall = [b.upper for b in chain.bounds if b.first == 0 and not b.gap and b.upper is not None]
    what = steps[0].what
    if isinstance(what, Level):
        longest[0] = min([what.window_ms, *overall])
    elif isinstance(what, Gather):
        longest[0] = min(overall)
    for at in range(1, len(steps)):
        absence = steps[at].what
        if isinstance(absence, Absence):
            longest[at] = longest[at - 1] + absence.duration_ms
            continue
        options: list[int] = []
        for bound in chain.bounds:
            # A step without a bound of its own is covered by one that ends later.
            if bound.upper is not None and bound.first < at <= bound.last:
                whole = bound.first == 0 and not bound.gap
                options.append(bound.upper if whole else longest[bound.first] + bound.upper)
        longest[at] = min(options)
    return max(longest)


class SearchPlanner:
    """Builds the table of one rule.

    Args:
        bits: the bit of each source, by identity.
        emitter: compiles values that silences are told apart by.
        make_test: compiles filters and guards.
        loose_of: the names of a chain whose event may be of several types.
        clock_kinds: event kinds to the kinds whose clocks stand for them (alerts have none).
    """

    def __init__(
        self,
        bits: dict[int, int],
        emitter: Emitter,
        make_test: MakeTest,
        loose_of: Callable[[Chain], frozenset[str]],
        clock_kinds: Callable[[Sequence[str]], tuple[str, ...]],
    ) -> None:
        self._bits = bits
        self._emitter = emitter
        self._make_test = make_test
        self._loose_of = loose_of
        self._clock_kinds = clock_kinds
        self._clocks: dict[tuple[str, ...], int] = {}
        self._masks: dict[int, None] = {}
        self._look_ms = 0
        self._largest = 0
        self._absence_mask = 0

    def table(self, rule: m.Rule, chains: tuple[Chain, ...]) -> SearchTable:
        """The table of a rule."""
        every: dict[str, str | None] = {name: None for chain in chains for name in chain.positions()}
        built = tuple(self._chain(chain, Context(0, every, frozenset(), frozenset())) for chain in chains)
        vetoes = tuple(self._veto(veto, chains, every) for veto in rule.unless)
        window = max(window_of(chain) for chain in chains)
        before = max((veto.before_ms for veto in rule.unless), default=0)
        start_mask = 0
        for chain in built:
            start_mask |= chain.positions[0].mask
        return SearchTable(
            chains=built,
            vetoes=vetoes,
            masks=tuple(self._masks),
            select=rule.select,
            start_mask=start_mask,
            window_ms=window,
            horizon_ms=window + max(before, self._look_ms),
            absence_mask=self._absence_mask,
            clock_kinds=tuple(self._clocks),
            largest=self._largest,
        )

    def _veto(self, veto: m.Unless, chains: tuple[Chain, ...], every: dict[str, str | None]) -> SearchVeto:
        # A veto is judged when the match is complete, on whichever chain completed it.
        tests = [
            self._make_test(veto.source, {**every, **chain.places()}, self._loose_of(chain))
            for chain in chains
        ]
        bit = self._bits[id(veto.source)]
        self._masks[bit] = None
        return SearchVeto(bit, veto.before_ms, tuple(test for test in tests if test is not None))

    def _chain(self, chain: Chain, context: Context) -> SearchChain:
        loose = context.loose | self._loose_of(chain)
        several = set(context.several)
        for step in chain.steps:
            if isinstance(step.what, Level | Gather):
                several.update(n for choice in step.choices for n in choice.names)
                several.update((*step.names, *inner_names(step)))
        positions: list[Position] = []
        indexes, places = chain.positions(), chain.places(context.offset)
        for at, step in enumerate(chain.steps):
            completed = {name: place for name, place in places.items() if indexes[name] < at}
            here = Context(
                context.offset + at, {**context.places, **completed}, frozenset(loose), frozenset(several)
            )
            positions.append(self._position(step, here))
        closing = max(i for i, step in enumerate(chain.steps) if step.positive)
        waits = [s.what.duration_ms for s in chain.steps[closing:] if isinstance(s.what, Absence)]
        free = list(dict.fromkeys(i for i in chain.rank if 0 < i < closing))
        grouped = any(p.group or _late(p) for p in positions)
        names = tuple(
            (name, index) for name, index in indexes.items() if name not in inner_names(chain.steps[index])
        )
        read = [
            indexes[name]
            for choice in chain.steps[closing].choices
            for member in choice.source.members
            for name in e.steps_read(member.condition)
            if name in indexes
        ]
        known = max(read) + 1 if read and max(read) + 1 < closing else -1
        bounds = tuple(BoundTable(b.first, b.last, b.lower, b.upper, b.gap) for b in chain.bounds)
        return SearchChain(
            positions=tuple(positions),
            bounds=bounds,
            rank=chain.rank,
            closing=closing,
            closing_known=known,
            wait_ms=sum(waits),
            plain_rank=free == sorted(free),
            grouped=grouped,
            names=names,
        )

    def _position(self, step: ChainStep, context: Context) -> Position:
        choices = tuple(self._sought(choice.source, context) for choice in step.choices)
        guards = tuple(self._sought(guard, context) for guard in step.guards)
        lookbacks = tuple((self._sought(source, context), ms) for source, ms in step.lookbacks)
        self._look_ms = max([self._look_ms, *(ms for _, ms in lookbacks)])
        mask = 0
        for choice in choices:
            mask |= choice.bit
        absence = level = gather = None
        match step.what:
            case Absence():
                source = step.choices[0].source
                self._absence_mask |= mask
                kinds = self._clock_kinds([member.kind for member in source.members])
                clock = self._clocks.setdefault(kinds, len(self._clocks))
                values = self._values(source, context) if choices[0].test is not None else None
                absence = AbsenceTable(step.what.duration_ms, clock, values)
            case Level():
                if step.what.measure != "sum":
                    self._largest = max(self._largest, int(step.what.amount))
                field = step.what.field
                name = None if field is None else attribute(field)
                level = LevelTable(step.what.amount, step.what.measure, name, step.what.window_ms)
            case Gather():
                branches = tuple(
                    tuple(self._chain(line, context) for line in branch) for branch in step.what.branches
                )
                gather = GatherTable(step.what.needed, branches)
                for line in (line for branch in branches for line in branch):
                    mask |= line.positions[line.closing].mask
            case None:
                pass
        self._masks[mask] = None
        return Position(choices, guards, lookbacks, mask, absence, level, gather)

    def _sought(self, source: m.Source, context: Context) -> Sought:
        bit = self._bits[id(source)]
        self._masks[bit] = None
        test = self._make_test(source, context.places, context.loose)
        late = any(e.steps_read(member.condition) & context.several for member in source.members)
        return Sought(bit, test, late)

    def _values(self, source: m.Source, context: Context) -> Values:
        """A function giving what the filter of an absence reads of the steps before it."""
        places = Places(None, context.places, loose=context.loose)
        parts: dict[str, None] = {}
        for member in source.members:
            for node in e.walk(member.condition):
                if isinstance(node, e.InStep):
                    place = context.places[node.step]
                    if place is not None:
                        # As a set, for IN asks no more: another event of the same value changes nothing.
                        parts[f"frozenset({place}.values({attribute(node.field)!r}))"] = None
                elif isinstance(node, e.Field | e.StepAggregate | e.BaselineValue) and node.step is not None:
                    parts[self._emitter.nullable(node, places)] = None
        text = f"def values(p):\n    return ({''.join(part + ', ' for part in parts)})\n"
        made: Values = compile_function("values", text, self._emitter.names)
        return made


def _late(position: Position) -> bool:
    looked = tuple(sought for sought, _ in position.lookbacks)
    return any(sought.late for sought in (*position.choices, *position.guards, *looked))
