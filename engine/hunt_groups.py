"""The part of the search about steps of several events: AT LEAST, ALL OF, ANY.

A branch of ALL OF or ANY is searched like a pattern of its own, so this calls back what calls it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TypeAlias

from engine.automaton import Events
from engine.elements import Group, group_of
from engine.kept import Kept, Order
from engine.search_table import GatherTable, LevelTable, Position, SearchChain, Sought

Lists: TypeAlias = dict[int, list[Kept]]
"""For each mask the events of one key that fit one of its bits, in order."""

BEFORE_ALL: Order = (-1, -1)
NO_LIMIT = -(1 << 62)


def order_of(kept: Kept) -> Order:
    return kept.order


class GroupHunt(ABC):
    """Finds the events of a step of several. ``left``: how many more events may be looked at."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = 0

    @abstractmethod
    def find(
        self,
        lists: Lists,
        chain: SearchChain,
        start: Kept,
        closing: Kept,
        prefix: Sequence[Kept] = (),
        after: Order = BEFORE_ALL,
        low: int = NO_LIMIT,
        edge: bool = False,
        exact: bool = True,
    ) -> Events | None:
        """See ``hunt.Hunt.find``."""

    def group(
        self,
        lists: Lists,
        position: Position,
        p: Sequence[Kept],
        end: Order,
        at: Kept,
        limit: int,
        exact: bool,
        enough: bool = False,
    ) -> Group | None:
        """The events of a level as it holds at ``at``; None if it does not hold there.

        Only events after ``end`` that begin at or after ``limit`` count. ``exact`` False: tests that
        read a step of several events are taken for true. ``enough``: the group need not have all its
        events, only show that it holds and whether it has more than one.
        """
        if position.level is not None:
            return self._level(lists, position, position.level, p, end, at, limit, exact, enough or not exact)
        assert position.gather is not None
        return self._gather(lists, position.gather, p, end, at, limit, exact)

    def _level(
        self,
        lists: Lists,
        position: Position,
        level: LevelTable,
        p: Sequence[Kept],
        end: Order,
        at: Kept,
        limit: int,
        exact: bool,
        enough: bool,
    ) -> Group | None:
        events = lists[position.mask]
        since = max(limit, at.time - level.window_ms)
        earliest: Order = (since, -1)
        low = max(bisect_left(events, earliest, key=order_of), bisect_right(events, end, key=order_of))
        high = bisect_right(events, at.order, key=order_of)
        if level.measure != "sum" and high - low < level.amount:
            return None
        if not self.counts(position, level, at, p, exact) or at.begin < since:
            return None
        members: list[Kept] = []
        values: set[object] = set()
        for index in range(high - 1, low - 1, -1):
            kept = events[index]
            if kept.begin >= since and self.counts(position, level, kept, p, exact):
                members.append(kept)
                if enough and level.measure != "sum" and len(members) > 1:
                    values.add(getattr(kept.event, level.attribute or "", None))
                    found = len(members) if level.measure == "count" else len(values)
                    if found >= level.amount:
                        break
        members.reverse()
        size = len(members)
        if level.measure == "distinct":
            newest = {getattr(kept.event, level.attribute or ""): kept for kept in members}
            members = sorted(newest.values(), key=order_of)
            amount: int | float = len(members)
        elif level.measure == "sum":
            amount = sum(getattr(kept.event, level.attribute or "") for kept in members)
        else:
            amount = size
        return group_of(members, at, size) if amount >= level.amount else None

    def counts(
        self, position: Position, level: LevelTable, kept: Kept, p: Sequence[Kept], exact: bool
    ) -> bool:
        self.left -= 1
        if level.attribute is not None and getattr(kept.event, level.attribute, None) is None:
            return False
        return fits(position.choices, kept, p, late=not exact)

    def _gather(
        self,
        lists: Lists,
        gather: GatherTable,
        p: Sequence[Kept],
        end: Order,
        at: Kept,
        limit: int,
        exact: bool,
    ) -> Group | None:
        """ALL OF and ANY: each branch by its latest match that the bounds leave."""
        events: dict[Order, Kept] = {}
        names: dict[str, Kept] = {}
        present, completes = 0, False
        for branch in gather.branches:
            found = self.latest(lists, branch, p, end, at.order, limit, exact)
            if found is None:
                continue
            chain, elements = found
            present += 1
            completes = completes or elements[-1].order == at.order
            for element in elements[len(p) :]:
                inside = element.events if isinstance(element, Group) else (element,)
                events.update((kept.order, kept) for kept in inside)
                if isinstance(element, Group):
                    names.update(element.names)
            names.update((name, elements[len(p) + index]) for name, index in chain.names)
        if present < gather.needed or not completes:
            return None
        members = [events[order] for order in sorted(events)]
        return group_of(members, at, len(members), names, present)

    def latest(
        self,
        lists: Lists,
        branch: tuple[SearchChain, ...],
        p: Sequence[Kept],
        end: Order,
        until: Order,
        low: int,
        exact: bool = True,
    ) -> tuple[SearchChain, Events] | None:
        """The match of a branch that completes last, of those the one that begins last."""
        best: tuple[SearchChain, Events] | None = None
        best_order = BEFORE_ALL
        for chain in branch:
            found = self._latest_on(lists, chain, p, end, until, low, exact)
            if found is not None and found[-1].order > best_order:
                best, best_order = (chain, found), found[-1].order
        return best

    def _latest_on(
        self,
        lists: Lists,
        chain: SearchChain,
        p: Sequence[Kept],
        end: Order,
        until: Order,
        low: int,
        exact: bool,
    ) -> Events | None:
        closings = lists[chain.positions[chain.closing].mask]
        starts = lists[chain.positions[0].mask]
        for closing in reversed(closings[: bisect_right(closings, until, key=order_of)]):
            if closing.order <= end or closing.time < low or self.left <= 0:
                return None
            if chain.closing == 0:
                candidates: list[Kept] = [closing]
            else:
                candidates = starts[: bisect_left(starts, closing.order, key=order_of)]
            for start in reversed(candidates):
                if start.order <= end or start.time < low or self.left <= 0:
                    break
                found = self.find(lists, chain, start, closing, p, end, low, exact=exact)
                if found is not None:
                    return found
        return None


def fits(choices: tuple[Sought, ...], kept: Kept, p: Sequence[Kept], late: bool) -> bool:
    """Whether an event fits; ``late`` True: tests that can only be asked later are taken for true."""
    for choice in choices:
        if kept.mask & choice.bit and (
            choice.test is None or (late and choice.late) or choice.test(kept, p)  # type: ignore[arg-type]
        ):
            return True
    return False
