"""The pure state machine of one rule: events of one device in, matches out.

Theory. A *run* is a start: an event that fits the first step. It completes at the first later event
at which some choice of events for its steps satisfies every filter, bound and guard; runs do not
influence each other until several complete at one event, where SELECT reports one (or each) and all
are used up (LANGUAGE.md section 4 item 3). So the state of a key is, for each step, the choices
that have completed the steps before it and wait there. A choice stays where it is when it moves
on: the moved one is a copy, and a later event may still serve the original.

Two automata, one mechanism; they differ in what may be forgotten:

*latest* is exact when every filter and guard reads its event alone, the only bound is the overall
WITHIN, and SELECT is LATEST. A waiting choice is then beaten by any that began later (in order, and
in the place bounds measure from): whatever completes the one completes the other, and the other is
preferred. One choice a step and key remains, a few where intervals overlap.

*runs* forgets only what is equal for all that is still to come: two choices of the same run that
agree on every event that later filters, guards, vetoes and bounds read. The earlier stays, because
the evidence is the earliest choice: the one whose first differing step came earlier. It is capped.

Order of work for one event: guards void, then steps complete from the last to the first (one event
serves one step of a chain), then it may start a run. An event that is both a guard and a step is a
guard first.

To edit: whatever changes here must keep tests/semantics green; nothing here may read a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from engine.kept import Kept, Order

MAX_CHOICES = 64
"""Waiting choices a step, chain and key in *runs*; beyond it the oldest is dropped and counted."""

Events: TypeAlias = tuple[Kept, ...]
CrossTest: TypeAlias = Callable[[Kept, Events], bool]
Key: TypeAlias = tuple[object, ...]


class StepTable(msgspec.Struct, frozen=True):
    """A step for the automaton.

    Attributes:
        choices: for each choice its source's bit and the test that reads earlier steps, or None.
        guards: likewise for WITHOUT; the test's events are the steps completed so far.
        bounds: bounds that end at this step: (first, lower or None, upper or None).
        relevant: indexes of completed steps that something from this step on still reads, for
            forgetting equal choices. The overall bound needs no event here: ``begin`` is compared.
    """

    choices: tuple[tuple[int, CrossTest | None], ...]
    guards: tuple[tuple[int, CrossTest | None], ...]
    bounds: tuple[tuple[int, int | None, int | None], ...]
    relevant: tuple[int, ...]


class VetoTable(msgspec.Struct, frozen=True):
    """UNLESS: its bit, milliseconds before the first event, the tests, and the key projections.

    ``tests``: for each chain the test that reads its steps; empty where the veto reads none.
    ``projections``: for each way its event types declare the rule's keys, which of them they have.
    """

    bit: int
    before_ms: int
    tests: tuple[CrossTest, ...]
    projections: tuple[tuple[bool, ...], ...]


class RuleTable(msgspec.Struct, frozen=True):
    """One rule, compiled: everything the automaton needs, no names and no spans."""

    chains: tuple[tuple[StepTable, ...], ...]
    vetoes: tuple[VetoTable, ...]
    latest_only: bool
    select: str
    window_ms: int
    """No match lasts longer: a choice older than this can be dropped."""
    start_mask: int
    """Bits of the sources that may start a run."""
    end_mask: int
    """Bits of the sources that may complete the last step of the first chain."""
    pair: bool
    """Whether the automaton of at most two steps runs it (engine/pair.py)."""
    single: bool
    """Whether it has one step only."""
    ranks: tuple[tuple[int, ...], ...]
    """For each chain, what makes one choice earlier than another (``chains.Chain.rank``)."""

    @property
    def horizon_ms(self) -> int:
        """How far a match can look: its window and the longest look back before it."""
        return self.window_ms + max((v.before_ms for v in self.vetoes), default=0)


class Match(msgspec.Struct, frozen=True, gc=False):
    """A completed run: the chain taken and its events, in the order of its steps.

    ``capped``: a choice that was dropped could have changed it. ``waits``: deadlines that must have
    passed before it holds, each with the number of the rule's clock that must pass it (*search* only).
    """

    key: Key
    chain: int
    events: Events
    capped: bool
    waits: tuple[tuple[int, int], ...] = ()

    @property
    def first(self) -> Kept:
        return self.events[0]

    @property
    def last(self) -> Kept:
        return self.events[-1]


_NONE_WAIT: list[Events] = []
"""What has completed no step: always empty, so there is one for all."""


class KeyState(msgspec.Struct, gc=False, eq=False):
    """Waiting choices of one key: ``levels[chain][i]`` have completed i steps (i from 1).

    ``dropped_until``: time up to which a dropped choice could still have completed; -1 where there is none.
    """

    levels: tuple[tuple[list[Events], ...], ...]
    dropped_until: int = -1


def key_state(table: RuleTable) -> KeyState:
    """The state of a key for which nothing waits."""
    return KeyState(tuple((_NONE_WAIT, *([] for _ in chain[1:])) for chain in table.chains))


class Automaton(msgspec.Struct, gc=False, eq=False):
    """The state of one rule and device. ``feed`` takes kept events in order."""

    table: RuleTable
    keys: dict[Key, KeyState] = {}
    vetoes: tuple[dict[Key, list[Kept]], ...] = ()
    dropped: int = 0

    def __post_init__(self) -> None:
        if self.table.vetoes:
            self.vetoes = tuple({} for _ in self.table.vetoes)

    @property
    def waits(self) -> bool:
        """Whether a choice waits for a further event."""
        return bool(self.keys)

    def feed(self, kept: Kept) -> list[Match]:
        """One event, in order; the matches it completes, in order of their starts."""
        self.remember(kept)
        return self.step(kept)

    def remember(self, kept: Kept) -> None:
        """Note an event that fits an UNLESS."""
        for index, veto in enumerate(self.table.vetoes):
            if not kept.mask & veto.bit:
                continue
            seen = self.vetoes[index].setdefault(kept.key, [])
            if not veto.tests:
                seen[:] = [kept]  # the latest decides: it lies in every window an earlier one lies in
            else:
                horizon = kept.time - self.table.window_ms - veto.before_ms
                recent = [k for k in seen if k.time >= horizon]
                seen[:] = [*recent[-(MAX_CHOICES - 1) :], kept]

    def step(self, kept: Kept) -> list[Match]:
        """The transition itself; :meth:`remember` has been told of all events of this moment."""
        found: list[Match] = []
        for key in self._reached(kept):
            state = self.keys.get(key)
            if state is None:
                if not kept.mask & self.table.start_mask:
                    continue
                state = self.keys[key] = key_state(self.table)
            found.extend(self._step_key(key, state, kept))
            if not any(level for chain in state.levels for level in chain):
                del self.keys[key]
        return found

    def _reached(self, kept: Kept) -> Iterable[Key]:
        """The keys an event reaches: its own, or, where its type lacks a key, every one that fits."""
        if None not in kept.key:
            return (kept.key,)
        own = kept.key
        return [
            key
            for key in list(self.keys)
            if all(mine is None or mine == theirs for mine, theirs in zip(own, key, strict=True))
        ]

    def _step_key(self, key: Key, state: KeyState, kept: Kept) -> list[Match]:
        table = self.table
        mask = kept.mask
        oldest = kept.time - table.window_ms
        complete: list[tuple[int, Events]] = []
        for number, chain in enumerate(table.chains):
            levels = state.levels[number]
            last = len(chain) - 1
            for index in range(last, -1, -1):
                step = chain[index]
                waiting = levels[index]
                if index:
                    if waiting and waiting[0][0].begin < oldest:
                        waiting[:] = [events for events in waiting if _begin(events) >= oldest]
                    for bit, test in step.guards:
                        if mask & bit and waiting:
                            waiting[:] = [] if test is None else [p for p in waiting if not test(kept, p)]
                    if not waiting:
                        continue
                if not any(mask & bit for bit, _ in step.choices):
                    continue
                for events in waiting if index else ((),):
                    if self._fits(step, kept, events):
                        moved = (*events, kept)
                        if index == last:
                            complete.append((number, moved))
                        else:
                            self._wait(state, number, levels[index + 1], chain[index + 1], moved)
        if not complete:
            return []
        return self._complete(key, state, complete)

    @staticmethod
    def _fits(step: StepTable, kept: Kept, events: Events) -> bool:
        for first, lower, upper in step.bounds:
            if upper is not None:
                begin = kept.begin
                for earlier in events[first:]:
                    begin = min(begin, earlier.begin)
                if kept.time - begin > upper:
                    return False
            if lower is not None and kept.begin - events[first].time < lower:
                return False
        return any(kept.mask & bit and (test is None or test(kept, events)) for bit, test in step.choices)

    def _wait(
        self, state: KeyState, chain: int, waiting: list[Events], step: StepTable, moved: Events
    ) -> None:
        """Add a choice unless it is beaten, and forget those it beats."""
        recipe = self.table.ranks[chain]
        if self.table.latest_only:
            if not any(_beats(other, moved, recipe) for other in waiting):
                waiting[:] = [other for other in waiting if not _beats(moved, other, recipe)]
                waiting.append(moved)
            return
        relevant = step.relevant
        start, begin, rank = moved[0], _begin(moved), _rank(moved, recipe)
        beaten = False
        for other in waiting:
            if other[0] is start and all(other[i] is moved[i] for i in relevant):
                # As good for all that is to come: the earlier evidence stays.
                if _rank(other, recipe) <= rank:
                    if _begin(other) >= begin:
                        return
                elif begin >= _begin(other):
                    beaten = True
        if beaten:
            waiting[:] = [
                other
                for other in waiting
                if other[0] is not start
                or any(other[i] is not moved[i] for i in relevant)
                or _rank(other, recipe) <= rank
                or _begin(other) > begin
            ]
        waiting.append(moved)
        if len(waiting) > MAX_CHOICES:
            pick = max if self.table.select == "first" else min
            gone = pick(waiting, key=_orders)
            waiting.remove(gone)
            self.dropped += 1
            state.dropped_until = max(state.dropped_until, gone[0].time + self.table.window_ms)

    def _complete(self, key: Key, state: KeyState, complete: list[tuple[int, Events]]) -> list[Match]:
        """Veto, select, use up."""
        alive = [(number, events) for number, events in complete if not self._vetoed(key, number, events)]
        if not alive:
            return []
        # For each run its evidence is the earliest choice.
        ranks = self.table.ranks
        runs: dict[Order, tuple[int, Events]] = {}
        for number, events in alive:
            start = events[0].order
            best = runs.get(start)
            if best is None or _rank(events, ranks[number]) < _rank(best[1], ranks[best[0]]):
                runs[start] = (number, events)
        starts = sorted(runs)
        table = self.table
        chosen = starts if table.select == "each" else [starts[0] if table.select == "first" else starts[-1]]
        if table.latest_only:
            # What began no later completes here as well, or is already too old to complete at all.
            done = [events for _, events in alive]
            for chain in state.levels:
                for level in chain:
                    level[:] = [o for o in level if not any(_began_no_later(o, events) for events in done)]
        else:
            used = set(starts)
            for chain in state.levels:
                for level in chain:
                    level[:] = [events for events in level if events[0].order not in used]
        last = complete[0][1][-1]
        capped = state.dropped_until >= last.time
        return [Match(key, runs[start][0], runs[start][1], capped) for start in chosen]

    def _vetoed(self, key: Key, chain: int, events: Events) -> bool:
        for index, veto in enumerate(self.table.vetoes):
            seen = self.vetoes[index]
            if not seen:
                continue
            since = _begin(events) - veto.before_ms
            until = events[-1].time
            for projection in veto.projections:
                projected = tuple(part if has else None for part, has in zip(key, projection, strict=True))
                for guard in seen.get(projected, ()):
                    if since <= guard.time <= until and (not veto.tests or veto.tests[chain](guard, events)):
                        return True
        return False

    def forget(self, before: int) -> None:
        """Drop what can no longer matter to events at or after a time: expired choices and guards."""
        oldest = before - self.table.window_ms
        for key in list(self.keys):
            state = self.keys[key]
            for chain in state.levels:
                for level in chain:
                    level[:] = [events for events in level if _begin(events) >= oldest]
            if not any(level for chain in state.levels for level in chain):
                del self.keys[key]
        for veto, seen in zip(self.table.vetoes, self.vetoes, strict=True):
            limit = oldest - veto.before_ms
            for key in [k for k, guards in seen.items() if guards[-1].time < limit]:
                del seen[key]

    def drop_before(self, time: int) -> None:
        """Drop what rests on events before a time: at the cap of kept events. A match that this could
        have changed says ``capped``.
        """
        for key in list(self.keys):
            state = self.keys[key]
            for chain in state.levels:
                for level in chain:
                    kept = [events for events in level if events[0].time >= time]
                    if len(kept) < len(level):
                        self.dropped += len(level) - len(kept)
                        state.dropped_until = max(state.dropped_until, time + self.table.window_ms)
                        level[:] = kept
            if not any(level for chain in state.levels for level in chain):
                del self.keys[key]
        for seen in self.vetoes:
            for key in [k for k, guards in seen.items() if guards[-1].time < time]:
                del seen[key]


def _begin(events: Events) -> int:
    """Where the bounds of a choice measure from: the earliest begin of its events."""
    begin = events[0].begin
    for kept in events:
        begin = min(begin, kept.begin)
    return begin


def _began_no_later(one: Events, other: Events) -> bool:
    return one[0].order <= other[0].order and one[0].begin <= other[0].begin


def _beats(one: Events, other: Events, recipe: tuple[int, ...]) -> bool:
    """Whether ``one`` completes wherever ``other`` does and is preferred there (*latest* only).

    Of the same run the earlier evidence is preferred.
    """
    if not _began_no_later(other, one) or _begin(one) < _begin(other):
        return False
    return one[0] is not other[0] or _rank(one, recipe) <= _rank(other, recipe)


def _orders(events: Events) -> tuple[Order, ...]:
    return tuple(kept.order for kept in events)


def _rank(events: Events, recipe: tuple[int, ...]) -> tuple[Order, ...]:
    """Which choice is earlier: the smaller. Of a choice that still waits only its own events count;
    what is to come is the same for those it is compared with.
    """
    done = len(events)
    return tuple(events[i].order if i >= 0 else (-1 - i, 0) for i in recipe if i < done)
