"""Patterns as chains: what the automaton walks.

A pattern is a tree; the automaton wants a line. Nested patterns become bounds between two steps of
the line. ONE OF whose branches are single events stays one step that several sources may complete;
with a longer branch the pattern becomes several alternative lines, tried side by side in the
order of the branches. NO is a step of its own, completed by its deadline; where NO comes first it
becomes a look back before the first event. ALL OF and ANY stay one step, whose branches are lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from dsl import model as m
from dsl.nodes import Span

MAX_ALTERNATIVES = 128
"""Lines that one pattern, or one branch of ALL OF or ANY, may become. Every event is held against
each of them, and branches that stand one behind the other multiply."""
MAX_COUNT = 10_000
"""The largest n of AT LEAST: so many events of each key are kept to know that there are n."""


class RuleLimit(Exception):
    """A rule is larger than the engine is willing to run, so that no rule can starve the others.

    ``code``, ``message``, ``label`` and ``hint`` are those of the diagnostic, ``span`` its place.
    """

    def __init__(self, code: str, message: str, span: Span, label: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.span = span
        self.label = label
        self.hint = hint


class Choice(msgspec.Struct, frozen=True):
    """One source that may complete a step, and the names its event then bears."""

    source: m.Source
    names: tuple[str, ...]


class Absence(msgspec.Struct, frozen=True):
    """The step is a deadline: the choice's source must not fit in the time after the step before."""

    duration_ms: int


class Level(msgspec.Struct, frozen=True):
    """The step is AT LEAST: the choice's source, ``amount`` times in the window up to its event."""

    amount: int | float
    measure: str
    field: str | None
    window_ms: int


class Gather(msgspec.Struct, frozen=True):
    """The step is ALL OF or ANY: so many of the branches, each with its alternative lines."""

    needed: int
    branches: tuple[tuple[Chain, ...], ...]


class ChainStep(msgspec.Struct, frozen=True):
    """A step of the line: completed by one event that fits one of the choices, the first listed
    winning; voided by any guard since the step before (``guards``) or in the time before it
    (``lookbacks``, with milliseconds). ``what`` says of a step that is no single event what it is;
    ``names`` are the names of an ALL OF or ANY, which has no choices.
    """

    choices: tuple[Choice, ...]
    guards: tuple[m.Source, ...]
    lookbacks: tuple[tuple[m.Source, int], ...] = ()
    what: Absence | Level | Gather | None = None
    names: tuple[str, ...] = ()

    @property
    def positive(self) -> bool:
        """Whether events complete it."""
        return not isinstance(self.what, Absence)


class Bound(msgspec.Struct, frozen=True):
    """Between steps ``first`` and ``last``: at least ``lower`` and at most ``upper`` milliseconds.

    The upper bound is measured from the earliest begin of the events between the two, so that an
    interval fits only whole; the lower from the time of the first to the begin of the last. Where
    ``gap``, a first step of several events counts by its last event, else by all of them.
    """

    first: int
    last: int
    lower: int | None
    upper: int | None
    gap: bool = False


class Chain(msgspec.Struct, frozen=True):
    """Steps in order and the bounds between them. Names that a chain does not take are missing.

    ``rank`` says which of two choices is the earlier one: what to compare, in this order. A number
    from 0 is the place of an event in the order; a negative one, ``-1 - n``, that branch n was taken.
    A branch counts by the event that completes it, then by its place in ONE OF, then by its events.
    """

    steps: tuple[ChainStep, ...]
    bounds: tuple[Bound, ...]
    rank: tuple[int, ...]

    def positions(self) -> dict[str, int]:
        """Step name to its index on this chain; choices of one step share their names."""
        found: dict[str, int] = {}
        for index, step in enumerate(self.steps):
            for choice in step.choices:
                for name in choice.names:
                    found[name] = index
            for name in (*step.names, *inner_names(step)):
                found[name] = index
        return found

    def places(self, offset: int = 0) -> dict[str, str]:
        """Step name to the Python expression of its element, in a choice ``p`` where this chain
        begins at ``offset``.
        """
        found: dict[str, str] = {}
        for index, step in enumerate(self.steps, offset):
            names = [name for choice in step.choices for name in choice.names]
            found.update((name, f"p[{index}]") for name in (*names, *step.names))
            found.update((name, f"p[{index}].named({name!r})") for name in inner_names(step))
        return found


def inner_names(step: ChainStep) -> tuple[str, ...]:
    """The names given inside the branches of an ALL OF or ANY, in the order written."""
    if not isinstance(step.what, Gather):
        return ()
    lines = [chain for branch in step.what.branches for chain in branch]
    return tuple(dict.fromkeys(name for chain in lines for name in chain.positions()))


def sources_of(chain: Chain) -> Iterator[m.Source]:
    """Every source of a chain, guards first, in the order written."""
    for step in chain.steps:
        yield from step.guards
        yield from (source for source, _ in step.lookbacks)
        yield from (choice.source for choice in step.choices)
        if isinstance(step.what, Gather):
            for branch in step.what.branches:
                for line in branch:
                    yield from sources_of(line)


def chains_of(pattern: m.Pattern) -> tuple[Chain, ...]:
    """All alternative lines of a pattern, in the order of ONE OF's branches.

    Raises:
        RuleLimit: there are too many of them (TW903), or a count is too large (TW902).
    """
    return tuple(_bounded(_pattern(pattern, leading=True), pattern.span))


def _bounded(chains: Iterable[Chain], span: Span) -> list[Chain]:
    """The lines, which are counted while they are made: there may be more than fit into memory."""
    found = list(islice(chains, MAX_ALTERNATIVES + 1))
    if len(found) > MAX_ALTERNATIVES:
        raise RuleLimit(
            "TW903",
            f"more than {MAX_ALTERNATIVES} combinations of branches of ONE OF",
            span,
            "branches that follow one another multiply",
            "make SIGNALs of branches that are one event, or cut the rule in two",
        )
    return found


def _shift(bounds: tuple[Bound, ...], by: int) -> tuple[Bound, ...]:
    return tuple(Bound(b.first + by, b.last + by, b.lower, b.upper, b.gap) for b in bounds)


Lookbacks = tuple[tuple[m.Source, int], ...]


def _pattern(pattern: m.Pattern, leading: bool = False) -> Iterator[Chain]:
    """Every line of a pattern, its own WITHIN included. ``leading``: nothing comes before it."""

    def extend(chain: Chain, index: int, lookbacks: Lookbacks) -> Iterator[Chain]:
        if index == len(pattern.steps):
            if lookbacks:
                raise AssertionError("NO with nothing before or after it: dsl.absence refuses that")
            yield Chain(chain.steps, (*chain.bounds, *_overall(chain, pattern.within_ms)), chain.rank)
            return
        step = pattern.steps[index]
        before = len(chain.steps)
        if leading and not before and isinstance(step.node, m.AbsenceNode):
            looked = (*lookbacks, (step.node.source, step.node.duration_ms))
            yield from extend(chain, index + 1, looked)
            return
        for part in _step(step, leading and not before):
            if lookbacks:
                part = _looking_back(part, lookbacks)
            bounds = (*chain.bounds, *_shift(part.bounds, before))
            positive = [i for i, s in enumerate(part.steps, before) if s.positive]
            if before and positive and (step.after_ms is not None or step.within_ms is not None):
                if step.after_ms is not None:
                    bounds = (*bounds, Bound(before - 1, positive[0], step.after_ms, None, gap=True))
                if step.within_ms is not None:
                    bounds = (*bounds, Bound(before - 1, positive[-1], None, step.within_ms, gap=True))
            rank = (*chain.rank, *(i + before if i >= 0 else i for i in part.rank))
            yield from extend(Chain((*chain.steps, *part.steps), bounds, rank), index + 1, ())

    yield from extend(Chain((), (), ()), 0, ())


def _overall(chain: Chain, within_ms: int | None) -> tuple[Bound, ...]:
    """WITHIN at the end of a pattern: over its positive steps."""
    positive = [i for i, step in enumerate(chain.steps) if step.positive]
    if within_ms is None or not positive:
        return ()
    if len(positive) == 1 and chain.steps[positive[0]].what is None:
        return ()
    return (Bound(positive[0], positive[-1], None, within_ms),)


def _looking_back(chain: Chain, lookbacks: Lookbacks) -> Chain:
    """Look backs stand at the first event."""
    first = next((i for i, step in enumerate(chain.steps) if step.positive), None)
    if first is None:
        return chain
    steps = list(chain.steps)
    steps[first] = msgspec.structs.replace(steps[first], lookbacks=(*steps[first].lookbacks, *lookbacks))
    return msgspec.structs.replace(chain, steps=tuple(steps))


def _step(step: m.Step, leading: bool) -> Iterator[Chain]:
    """Every line of one step, without the gap before it."""
    lookbacks = tuple((g.source, g.lookback_ms) for g in step.guards if g.lookback_ms is not None)
    for chain in _node(step, leading):
        yield _looking_back(chain, lookbacks) if lookbacks else chain


def _node(step: m.Step, leading: bool) -> Iterator[Chain]:
    guards = [guard.source for guard in step.guards if guard.lookback_ms is None]
    match step.node:
        case m.EventNode():
            names = (step.name,) if step.name else ()
            yield Chain((ChainStep((Choice(step.node.source, names),), tuple(guards)),), (), (0,))
        case m.GroupNode():
            for chain in _pattern(step.node.pattern, leading):
                yield _named(_guarded(chain, guards, step), step.name)
        case m.OneOfNode():
            parts = [_bounded(_pattern(branch, leading), branch.span) for branch in step.node.branches]
            # A branch with a name of its own stays apart: its name is missing on the others.
            if all(len(x) == 1 and _is_plain(x[0]) for x in parts):
                choices = tuple(c for line in parts for c in line[0].steps[0].choices)
                if step.name:
                    choices = tuple(Choice(c.source, (*c.names, step.name)) for c in choices)
                yield Chain((ChainStep(choices, tuple(guards)),), (), (0,))
            else:
                for branch, line in enumerate(parts):
                    for chain in line:
                        rank = (len(chain.steps) - 1, -1 - branch, *chain.rank)
                        ranked = Chain(chain.steps, chain.bounds, rank)
                        yield _named(_guarded(ranked, guards, step), step.name)
        case m.AbsenceNode():
            if leading:
                raise AssertionError("NO with nothing before it: dsl.absence refuses that")
            absence = Absence(step.node.duration_ms)
            choice = Choice(step.node.source, ())
            yield Chain((ChainStep((choice,), tuple(guards), (), absence),), (), (0,))
        case m.LevelNode():
            node = step.node
            if node.measure != "sum" and node.amount > MAX_COUNT:
                raise RuleLimit(
                    "TW902",
                    f"AT LEAST {node.amount:,} counts more than {MAX_COUNT:,} events",
                    step.span,
                    "every one of them would be kept, for each key",
                    "count fewer, or have the source count them: one event with a number in it, and SUM",
                )
            level = Level(node.amount, node.measure, node.field, node.window_ms)
            choice = Choice(node.source, (step.name,) if step.name else ())
            yield Chain((ChainStep((choice,), tuple(guards), (), level),), (), (0,))
        case m.AllOfNode() | m.AnyOfNode():
            branches = tuple(tuple(_bounded(_pattern(branch), branch.span)) for branch in step.node.branches)
            needed = step.node.needed if isinstance(step.node, m.AnyOfNode) else len(branches)
            names = (step.name,) if step.name else ()
            gather = Gather(needed, branches)
            yield Chain((ChainStep((), tuple(guards), (), gather, names),), (), (0,))


def _is_plain(chain: Chain) -> bool:
    """Whether it is one event and nothing else."""
    step = chain.steps[0]
    return len(chain.steps) == 1 and not (step.what or step.guards or step.lookbacks or chain.positions())


def _named(chain: Chain, name: str | None) -> Chain:
    """The name of a group or ONE OF is that of its last event."""
    if name is None:
        return chain
    at = max((i for i, step in enumerate(chain.steps) if step.positive), default=None)
    if at is None:
        return chain
    last = chain.steps[at]
    if isinstance(last.what, Gather):
        named = msgspec.structs.replace(last, names=(*last.names, name))
    else:
        choices = tuple(Choice(c.source, (*c.names, name)) for c in last.choices)
        named = msgspec.structs.replace(last, choices=choices)
    return msgspec.structs.replace(chain, steps=(*chain.steps[:at], named, *chain.steps[at + 1 :]))


def _guarded(chain: Chain, guards: list[m.Source], step: m.Step) -> Chain:
    """WITHOUT on a group or branch of several events covers all its gaps, up to its last event."""
    if not guards:
        return chain
    steps = tuple(msgspec.structs.replace(s, guards=(*s.guards, *guards)) for s in chain.steps)
    return msgspec.structs.replace(chain, steps=steps)
