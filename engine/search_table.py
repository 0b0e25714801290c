"""The tables that the *search* automaton walks: one rule, compiled, no names and no spans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.automaton import CrossTest, Events

Values = Callable[[Events], tuple[Any, ...]]


class Sought(msgspec.Struct, frozen=True):
    """A source: its bit, and the test that reads earlier steps, or None.

    ``late``: the test reads a step of several events. Which they are is only known when the choice
    is complete, so it is asked then.
    """

    bit: int
    test: CrossTest | None
    late: bool


class BoundTable(msgspec.Struct, frozen=True):
    """See ``chains.Bound``."""

    first: int
    last: int
    lower: int | None
    upper: int | None
    gap: bool

    def covers(self, index: int) -> bool:
        """Whether the upper bound holds for every event of the step at an index."""
        return self.upper is not None and self.first + self.gap <= index <= self.last


class AbsenceTable(msgspec.Struct, frozen=True):
    """``clocks``: which of the rule's clocks must pass the deadline. ``values``: what the test reads."""

    duration_ms: int
    clocks: int
    values: Values | None


class LevelTable(msgspec.Struct, frozen=True):
    """``attribute``: the field counted or summed, of the decoded event; None for plain counts."""

    amount: int | float
    measure: str
    attribute: str | None
    window_ms: int


class GatherTable(msgspec.Struct, frozen=True):
    """So many of the branches, each with its alternative lines."""

    needed: int
    branches: tuple[tuple[SearchChain, ...], ...]


class Position(msgspec.Struct, frozen=True):
    """A step. ``mask``: the bits of the events that may complete it."""

    choices: tuple[Sought, ...]
    guards: tuple[Sought, ...]
    lookbacks: tuple[tuple[Sought, int], ...]
    mask: int
    absence: AbsenceTable | None = None
    level: LevelTable | None = None
    gather: GatherTable | None = None

    @property
    def group(self) -> bool:
        return self.level is not None or self.gather is not None


class SearchChain(msgspec.Struct, frozen=True):
    """A line of the pattern.

    Attributes:
        closing: index of its last positive step; only absences follow.
        closing_known: how many steps the filter of the closing step needs to have completed, where
            that is fewer than precede it; else -1.
        wait_ms: how long those absences last together.
        rank: see ``chains.Chain.rank``.
        plain_rank: the first choice found, searching forward, is the one of the least rank.
        grouped: some step has several events.
        names: the names its steps give, with their indexes.
    """

    positions: tuple[Position, ...]
    bounds: tuple[BoundTable, ...]
    rank: tuple[int, ...]
    closing: int
    closing_known: int
    wait_ms: int
    plain_rank: bool
    grouped: bool
    names: tuple[tuple[str, int], ...]


class SearchVeto(msgspec.Struct, frozen=True):
    """UNLESS; ``tests`` for each chain, empty where the veto reads no step."""

    bit: int
    before_ms: int
    tests: tuple[CrossTest, ...]


class SearchTable(msgspec.Struct, frozen=True):
    """One rule for the *search* automaton.

    Attributes:
        masks: every set of bits whose events are looked up together.
        window_ms: no match lasts longer, from its first event to its last or its deadline.
        horizon_ms: how far a match can look: the window and the longest look back before it.
        absence_mask: bits that end a silence.
        clock_kinds: for each clock of the rule the event kinds that must all have passed.
        largest: the largest count a level asks for.
    """

    chains: tuple[SearchChain, ...]
    vetoes: tuple[SearchVeto, ...]
    masks: tuple[int, ...]
    select: str
    start_mask: int
    window_ms: int
    horizon_ms: int
    absence_mask: int
    clock_kinds: tuple[tuple[str, ...], ...]
    largest: int
