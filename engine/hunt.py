"""Search for a choice of events: the definition of LANGUAGE.md section 4, read forward with pruning.

Depth first, one step of the chain after the other, each step's events in order; so where the rank
of a choice is the order of its events, the first one found is the earliest. What a bound excludes
for certain is not tried. The completing event is known from the start and so are the bounds that
end there.

Which events belong to a step of several is only settled when the choice is complete: a later step
may cut off the part of the window that reaches back too far. On the way such a step only has to be
possible; :meth:`Hunt._final` settles it and asks the tests that read it.

Work is counted: ``left`` steps remain, and at zero the search gives up. Whoever calls says so.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence

from engine.automaton import Events
from engine.elements import AFTER_ALL, Deadline, Group, deadline_of, first_event, last_begin
from engine.hunt_groups import BEFORE_ALL, NO_LIMIT, GroupHunt, Lists, fits, order_of
from engine.kept import Kept, Order
from engine.search_table import Position, SearchChain, Sought


def rank_of(elements: Sequence[Kept], recipe: tuple[int, ...]) -> tuple[Order, ...]:
    """What makes one choice earlier than another: the smaller (``chains.Chain.rank``)."""
    return tuple(elements[i].order if i >= 0 else (-1 - i, 0) for i in recipe)


class _Walk:
    """One search: a chain after the elements of ``prefix``, from ``start`` to ``closing``."""

    __slots__ = (
        "after",
        "base",
        "best",
        "best_rank",
        "chain",
        "closing",
        "edge",
        "exact",
        "lists",
        "low",
        "p",
        "start",
        "vetoed",
    )

    def __init__(
        self,
        lists: Lists,
        chain: SearchChain,
        prefix: Sequence[Kept],
        after: Order,
        start: Kept,
        closing: Kept,
        low: int,
        edge: bool,
        exact: bool = True,
        vetoed: Callable[[Events], bool] | None = None,
    ) -> None:
        self.exact = exact
        self.vetoed = vetoed
        self.lists = lists
        self.chain = chain
        self.p: list[Kept] = list(prefix)
        self.base = len(prefix)
        self.after = after
        self.start = start
        self.closing = closing
        self.low = low
        self.edge = edge
        self.best: Events | None = None
        self.best_rank: tuple[Order, ...] = ()


class Hunt(GroupHunt):
    """Searches with a budget of steps."""

    __slots__ = ()

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
        vetoed: Callable[[Events], bool] | None = None,
    ) -> Events | None:
        """The earliest choice for a chain that begins with ``start`` and whose last event is ``closing``.

        Args:
            lists: the events of the key.
            chain: the steps; their indexes count from the end of ``prefix``.
            start: the event that completes the first step.
            closing: the event that completes the last positive step; NO after it adds deadlines.
            prefix: elements that the tests may read.
            after: everything is later than this.
            low: every event begins at or after this.
            edge: a last step of several events must hold for the first time there.
            exact: False: ``prefix`` is not settled yet, and the choice found only a possible one.
            vetoed: whether an UNLESS voids a choice; another choice of the same run may stand.
        """
        walk = _Walk(lists, chain, prefix, after, start, closing, low, edge, exact, vetoed)
        self._walk(walk, 0)
        return walk.best

    def opens(self, lists: Lists, chain: SearchChain, kept: Kept) -> bool:
        """Whether an event completes the first step of a chain."""
        position = chain.positions[0]
        walk = _Walk(lists, chain, (), BEFORE_ALL, kept, kept, NO_LIMIT, False)
        if position.group:
            limit = self._limit(walk, 0, kept, kept.time)
            return self.group(lists, position, (), BEFORE_ALL, kept, limit, exact=False) is not None
        return any(kept.mask & c.bit and (c.test is None or c.test(kept, ())) for c in position.choices)

    # --- one step after the other

    def _walk(self, w: _Walk, i: int) -> None:
        chain = w.chain
        if i == len(chain.positions):
            self._leaf(w)
            return
        position = chain.positions[i]
        end = w.p[-1].order if i else w.after
        if position.absence is not None:
            deadline = self._deadline(w, position, i, end)
            if deadline is not None:
                w.p.append(deadline)
                self._walk(w, i + 1)
                w.p.pop()
            return
        for kept in self._candidates(w, position, i, end):
            self.left -= 1
            if self.left <= 0:
                return
            element = self._element(w, position, i, end, kept)
            if element is None:
                continue
            w.p.append(element)
            if i + 1 != chain.closing_known or fits(
                chain.positions[chain.closing].choices, w.closing, w.p, late=True
            ):
                self._walk(w, i + 1)
            w.p.pop()
            if w.best is not None and chain.plain_rank:
                return

    def _candidates(self, w: _Walk, position: Position, i: int, end: Order) -> Iterator[Kept]:
        if i == 0 or i == w.chain.closing:
            kept = w.start if i == 0 else w.closing
            if kept.order > end and (i or w.chain.closing or kept is w.closing):
                yield kept
            return
        until = w.closing.time
        for bound in w.chain.bounds:
            if bound.upper is not None and bound.first < i <= bound.last:
                least = min(last_begin(x) for x in w.p[w.base + bound.first :])
                until = min(until, least + bound.upper)
        events = w.lists[position.mask]
        for at in range(bisect_right(events, end, key=order_of), len(events)):
            kept = events[at]
            if kept.time > until or kept.order >= w.closing.order:
                return
            yield kept

    def _element(self, w: _Walk, position: Position, i: int, end: Order, kept: Kept) -> Kept | None:
        """The event as the element of a step, or a group it completes; None if it cannot be."""
        if not kept.mask & position.mask or not self._bounded(w, i, kept):
            return None
        limit = self._limit(w, i, kept, w.closing.time)
        element: Kept | None = kept
        if position.group:
            element = self.group(w.lists, position, w.p, end, kept, limit, exact=False)
        elif kept.begin < limit or not fits(position.choices, kept, w.p, late=True):
            return None
        if element is None or self._guarded(position.guards, w.lists, end, kept.order, w.p, False):
            return None
        if not position.group and self._looked_back(position, w.lists, kept, w.p, False):
            return None
        return element

    @staticmethod
    def _bounded(w: _Walk, i: int, kept: Kept) -> bool:
        """Upper bounds that end at a step, as far as earlier events decide them."""
        for bound in w.chain.bounds:
            if bound.last == i and bound.upper is not None:
                for element in w.p[w.base + bound.first :]:
                    if kept.time - last_begin(element) > bound.upper:
                        return False
        return True

    @staticmethod
    def _limit(w: _Walk, i: int, at: Kept, closing_time: int) -> int:
        """Events of step ``i``, completed by ``at``, begin no earlier: the bounds over it say so."""
        limit = _floor(w, i)
        for bound in w.chain.bounds:
            if bound.covers(i) and bound.upper is not None:
                if bound.last == w.chain.closing:
                    time = closing_time
                elif w.base + bound.last < len(w.p):
                    time = w.p[w.base + bound.last].time
                else:
                    time = at.time
                limit = max(limit, time - bound.upper)
        return limit

    def _deadline(self, w: _Walk, position: Position, i: int, end: Order) -> Deadline | None:
        absence = position.absence
        assert absence is not None
        before = w.p[-1]
        time = before.time + absence.duration_ms
        if i < w.chain.closing and time >= w.closing.time:
            return None
        until = (time, AFTER_ALL)
        if self._guarded(position.choices, w.lists, end, until, w.p, False):
            return None
        if self._guarded(position.guards, w.lists, end, until, w.p, False):
            return None
        return deadline_of(time, before, absence.duration_ms, absence.clocks)

    # --- guards

    def _guarded(
        self,
        guards: tuple[Sought, ...],
        lists: Lists,
        end: Order,
        until: Order,
        p: Sequence[Kept],
        late: bool,
    ) -> bool:
        """Whether a guard lies after ``end``, up to and including ``until``."""
        for guard in guards:
            if guard.late != late:
                continue
            events = lists[guard.bit]
            for at in range(bisect_right(events, end, key=order_of), len(events)):
                if events[at].order > until:
                    break
                self.left -= 1
                if guard.test is None or guard.test(events[at], p):  # type: ignore[arg-type]  # read by index
                    return True
        return False

    def _looked_back(
        self, position: Position, lists: Lists, element: Kept, p: Sequence[Kept], late: bool
    ) -> bool:
        """Whether something forbidden lies in the time before a step's first event."""
        first = first_event(element)
        for guard, duration in position.lookbacks:
            if guard.late != late and not position.group:
                continue
            events = lists[guard.bit]
            earliest: Order = (first.begin - duration, -1)
            since = bisect_left(events, earliest, key=order_of)
            for at in range(since, len(events)):
                if events[at].order >= first.order:
                    break
                self.left -= 1
                if guard.test is None or guard.test(events[at], p):  # type: ignore[arg-type]  # read by index
                    return True
        return False

    # --- a complete choice

    def _leaf(self, w: _Walk) -> None:
        found = self._final(w) if w.chain.grouped and w.exact else tuple(w.p)
        if found is None:
            return
        rank = rank_of(found[w.base :], w.chain.rank)
        if (w.best is None or rank < w.best_rank) and (w.vetoed is None or not w.vetoed(found)):
            w.best, w.best_rank = found, rank

    def _final(self, w: _Walk) -> Events | None:
        """The choice with its groups as the bounds leave them; None if something then fails."""
        final: list[Kept] = list(w.p[: w.base])
        for i, position in enumerate(w.chain.positions):
            element: Kept | None = w.p[w.base + i]
            assert element is not None
            end = final[-1].order if i else w.after
            if isinstance(element, Group):
                at = element.completing
                limit = self._limit(w, i, at, w.closing.time)
                if w.edge and i == w.chain.closing == len(w.chain.positions) - 1:
                    # Cheaper first: where a level goes on holding, its events need not be collected.
                    part = self.group(w.lists, position, final, end, at, limit, exact=True, enough=True)
                    if part is None or not self._edge(w, position, i, final, end, part, limit):
                        return None
                group = self.group(w.lists, position, final, end, at, limit, exact=True)
                if group is None or self._looked_back(position, w.lists, group, final, True):
                    return None
                element = group
            elif isinstance(element, Deadline):
                if self._guarded(position.choices, w.lists, end, element.order, final, True):
                    return None
            elif not fits(position.choices, element, final, late=False) or self._looked_back(
                position, w.lists, element, final, True
            ):
                return None
            if self._guarded(position.guards, w.lists, end, element.order, final, True):
                return None
            final.append(element)
        return tuple(final)

    # --- rising edges

    def _edge(
        self, w: _Walk, position: Position, i: int, p: Sequence[Kept], end: Order, group: Group, limit: int
    ) -> bool:
        """Whether a level holds here for the first time: LANGUAGE.md section 4 item 7."""
        floor = _floor(w, i)
        at = group.completing
        previous: Kept | None = None
        if position.level is not None:
            if group.size == 1:
                return True
            events = w.lists[position.mask]
            for kept in reversed(events[: bisect_left(events, at.order, key=order_of)]):
                if kept.order <= end:
                    break
                if kept.begin >= floor and self.counts(position, position.level, kept, p, True):
                    previous = kept
                    break
            if previous is not None and previous.begin < at.time - position.level.window_ms:
                return True
        elif position.gather is not None:
            # Behind everything before `at`, also an alert that stands just behind an event.
            just_before = (*at.order[:-1], at.order[-1] - 1, 1)
            for branch in position.gather.branches:
                found = self.latest(w.lists, branch, p, end, just_before, floor)
                if found is None:
                    continue
                if previous is None or found[1][-1].order > previous.order:
                    last = found[1][-1]
                    previous = last.completing if isinstance(last, Group) else last
        if previous is None or previous.begin < limit:
            return True
        before = self._limit(w, i, previous, previous.time)
        return self.group(w.lists, position, p, end, previous, before, exact=True, enough=True) is None


def _floor(w: _Walk, i: int) -> int:
    """Events before a minimum gap are passed over."""
    floor = w.low
    for bound in w.chain.bounds:
        if bound.last == i and bound.lower is not None:
            floor = max(floor, w.p[w.base + bound.first].time + bound.lower)
    return floor
