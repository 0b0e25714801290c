"""Patterns as chains: what the automaton walks.

A pattern is a tree; the automaton wants a line. Nested patterns become bounds between two steps of
the line. ONE OF whose branches are single events stays one step that several sources may complete;
with a longer branch the pattern becomes several alternative lines, tried side by side in the
order of the branches.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dsl import model as m

MAX_ALTERNATIVES = 32


class Unsupported(Exception):
    """A construct this engine does not run yet."""

    def __init__(self, what: str, span: object) -> None:
        super().__init__(what)
        self.what = what
        self.span = span


class Choice(msgspec.Struct, frozen=True):
    """One source that may complete a step, and the names its event then bears."""

    source: m.Source
    names: tuple[str, ...]


class ChainStep(msgspec.Struct, frozen=True):
    """A step of the line: completed by one event that fits one of the choices, the first listed
    winning; voided by any guard since the step before (``guards``) or in the time before it
    (``lookbacks``, with milliseconds).
    """

    choices: tuple[Choice, ...]
    guards: tuple[m.Source, ...]


class Bound(msgspec.Struct, frozen=True):
    """Between steps ``first`` and ``last``: at least ``lower`` and at most ``upper`` milliseconds.

    The upper bound is measured from the earliest begin of the events between the two, so that an
    interval fits only whole; the lower from the time of the first to the begin of the last.
    """

    first: int
    last: int
    lower: int | None
    upper: int | None


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
        return found


def chains_of(pattern: m.Pattern) -> tuple[Chain, ...]:
    """All alternative lines of a pattern, in the order of ONE OF's branches.

    Raises:
        Unsupported: a construct that this engine does not run yet.
    """
    found: list[Chain] = []
    for chain in _pattern(pattern):
        found.append(chain)
        if len(found) > MAX_ALTERNATIVES:
            raise Unsupported(
                f"ONE OF with more than {MAX_ALTERNATIVES} combinations of branches", pattern.span
            )
    return tuple(found)


def _shift(bounds: tuple[Bound, ...], by: int) -> tuple[Bound, ...]:
    return tuple(Bound(b.first + by, b.last + by, b.lower, b.upper) for b in bounds)


def _pattern(pattern: m.Pattern) -> Iterator[Chain]:
    """Every line of a pattern, its own WITHIN included."""

    def extend(chain: Chain, index: int) -> Iterator[Chain]:
        if index == len(pattern.steps):
            bounds = chain.bounds
            if pattern.within_ms is not None and len(chain.steps) > 1:
                bounds = (*bounds, Bound(0, len(chain.steps) - 1, None, pattern.within_ms))
            yield Chain(chain.steps, bounds, chain.rank)
            return
        step = pattern.steps[index]
        for part in _step(step):
            before = len(chain.steps)
            bounds = (*chain.bounds, *_shift(part.bounds, before))
            if before and (step.after_ms is not None or step.within_ms is not None):
                if step.after_ms is not None:
                    bounds = (*bounds, Bound(before - 1, before, step.after_ms, None))
                if step.within_ms is not None:
                    bounds = (*bounds, Bound(before - 1, before + len(part.steps) - 1, None, step.within_ms))
            rank = (*chain.rank, *(i + before if i >= 0 else i for i in part.rank))
            yield from extend(Chain((*chain.steps, *part.steps), bounds, rank), index + 1)

    yield from extend(Chain((), (), ()), 0)


def _step(step: m.Step) -> Iterator[Chain]:
    """Every line of one step, without the gap before it."""
    guards: list[m.Source] = []
    for guard in step.guards:
        if guard.lookback_ms is not None:
            raise Unsupported("WITHOUT .. FOR", guard.span)
        guards.append(guard.source)
    match step.node:
        case m.EventNode():
            names = (step.name,) if step.name else ()
            yield Chain((ChainStep((Choice(step.node.source, names),), tuple(guards)),), (), (0,))
        case m.GroupNode():
            for chain in _pattern(step.node.pattern):
                yield _named(_guarded(chain, guards, step), step.name)
        case m.OneOfNode():
            lines = [_pattern(branch) for branch in step.node.branches]
            parts = [list(line) for line in lines]
            # A branch with a name of its own stays apart: its name is missing on the others.
            if all(len(x) == 1 and len(x[0].steps) == 1 and not x[0].positions() for x in parts) and not any(
                x[0].steps[0].guards for x in parts
            ):
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
            raise Unsupported("absence (NO .. FOR)", step.span)
        case m.AllOfNode():
            raise Unsupported("ALL OF", step.span)
        case m.AnyOfNode():
            raise Unsupported("ANY k OF", step.span)
        case m.LevelNode():
            raise Unsupported("AT LEAST", step.span)


def _named(chain: Chain, name: str | None) -> Chain:
    """The name of a group or ONE OF is that of its last event."""
    if name is None:
        return chain
    last = chain.steps[-1]
    choices = tuple(Choice(c.source, (*c.names, name)) for c in last.choices)
    return Chain((*chain.steps[:-1], ChainStep(choices, last.guards)), chain.bounds, chain.rank)


def _guarded(chain: Chain, guards: list[m.Source], step: m.Step) -> Chain:
    """WITHOUT on a group or branch of several events covers all its gaps, up to its last event."""
    if not guards:
        return chain
    steps = tuple(ChainStep(s.choices, (*s.guards, *guards)) for s in chain.steps)
    return Chain(steps, chain.bounds, chain.rank)
