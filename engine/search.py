"""The third automaton: exact by construction, for absence, levels, ALL OF, ANY and look backs.

Theory. Nothing waits half-way: the events of a key are kept for the horizon, indexed by what they
may serve, and when an event can complete the last step the definition is read over them
(``hunt.py``): for every run still open, the earliest choice that ends there. So there is no state
to get wrong but which runs are used up; the price is work at closing events, which is bounded by
``MAX_STEPS`` and said in the match (``capped``) where the bound is met.

Silence. NO at the end completes at a deadline. Deadlines wait in order and are judged before the
first later event, or when :meth:`Search.advance` says that time has passed them. A silence that was
reported is remembered until an event ends it, however long that takes: waits that begin within it
belong to it (LANGUAGE.md section 4 item 6).

Nothing here knows a clock: a match says in ``waits`` which deadlines it rests on, and who publishes
it asks the clocks. What comes late is for the caller to run again from the kept events.

Order of work for one event: deadlines before it, silences it ends, runs it starts, runs it completes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from functools import partial

from engine.automaton import Events, Key, Match
from engine.elements import Deadline
from engine.hunt import Hunt, rank_of
from engine.hunt_groups import Lists
from engine.kept import Kept, Order
from engine.search_table import SearchChain, SearchTable

MAX_STEPS = 10_000
"""Events looked at for one closing event. A rule over an honest device needs some tens; a flood made
to cost (every event fits every step) is cut here, at some ten milliseconds an event."""
MAX_INDEXED = 4_096
"""Events of a key under one mask; beyond it the oldest go, counted."""
MAX_SILENCES = 64
"""Reported silences a key remembers (one for each value the guard's filter reads)."""

Silence = tuple[int, tuple[object, ...]]


class KeyState:
    """What one key knows: its events by mask, the runs still open, the silences reported."""

    __slots__ = ("dropped_until", "key", "lists", "reported", "starts")

    def __init__(self, key: Key, masks: Iterable[int]) -> None:
        self.key = key
        self.lists: Lists = {mask: [] for mask in masks}
        self.starts: list[Kept] = []
        self.reported: dict[Silence, tuple[int, Events]] = {}
        """The number of the chain, and its events up to the deadline."""
        self.dropped_until = -1


class Search:
    """The state of one rule and device. ``feed`` takes kept events in order."""

    __slots__ = ("_hunt", "dropped", "keys", "lists", "pending", "sequence", "table")

    def __init__(self, table: SearchTable) -> None:
        self.table = table
        self.keys: dict[Key, KeyState] = {}
        self.lists: Lists = {mask: [] for mask in table.masks}
        """Events whose type lacks a key field: they reach keys that are yet to come."""
        self.pending: list[tuple[int, int, Key, int, Kept]] = []
        self.sequence = 0
        self._hunt = Hunt()
        self.dropped = 0

    @property
    def waits(self) -> bool:
        """Whether an event may concern it that begins nothing: every event is indexed."""
        return True

    def first_deadlines(self) -> dict[int, int]:
        """For each clock of the rule the first deadline that waits for it."""
        found: dict[int, int] = {}
        if len(self.table.clock_kinds) == 1:
            return {0: self.pending[0][0]} if self.pending else found
        for deadline, _, _, number, _ in self.pending:
            absence = self.table.chains[number].positions[-1].absence
            if absence is not None:
                found[absence.clocks] = min(deadline, found.get(absence.clocks, deadline))
        return found

    def resume(self, before: Search, since: int) -> None:
        """Take over the silences reported for events older than ``since``: they are not run again."""
        for key, state in before.keys.items():
            for silence, (number, events) in state.reported.items():
                if events[0].time < since:
                    mine = self.keys.get(key)
                    if mine is None:
                        mine = self.keys[key] = KeyState(key, self.table.masks)
                    mine.reported[silence] = (number, events)

    def feed(self, kept: Kept) -> list[Match]:
        """One event, in order; the matches of the deadlines before it, then those it completes."""
        self.remember(kept)
        return self.step(kept)

    def remember(self, kept: Kept) -> None:
        """Index an event. All events of a moment may be remembered before the first is judged."""
        if None in kept.key:
            self._index(self.lists, kept)
            for state in self._reached(kept):
                if self._index(state.lists, kept):
                    state.dropped_until = kept.time + self.table.horizon_ms
            return
        if kept.key not in self.keys:
            opened = self.keys[kept.key] = KeyState(kept.key, self.table.masks)
            for mask, events in self.lists.items():
                opened.lists[mask] = [x for x in events if _agrees(x.key, kept.key)]
        state = self.keys[kept.key]
        if self._index(state.lists, kept):
            state.dropped_until = kept.time + self.table.horizon_ms

    def _index(self, lists: Lists, kept: Kept) -> bool:
        """Put an event into its lists; whether an old one had to go."""
        cut = False
        most = max(MAX_INDEXED, 2 * self.table.largest)
        for mask, events in lists.items():
            if kept.mask & mask:
                events.append(kept)
                if len(events) > most:
                    del events[0]
                    self.dropped += 1
                    cut = True
        return cut

    def _reached(self, kept: Kept) -> list[KeyState]:
        if None not in kept.key:
            state = self.keys.get(kept.key)
            return [] if state is None else [state]
        return [state for key, state in self.keys.items() if _agrees(kept.key, key)]

    def step(self, kept: Kept) -> list[Match]:
        """The transition itself; :meth:`remember` has been told of all events of this moment."""
        found = self.advance(kept.time - 1)
        for state in self._reached(kept):
            found.extend(self._judge(state, kept))
        return found

    def _judge(self, state: KeyState, kept: Kept) -> list[Match]:
        table, hunt = self.table, self._hunt
        mask = kept.mask
        if mask & table.absence_mask and state.reported:
            for silence, (number, events) in list(state.reported.items()):
                sought = table.chains[number].positions[-1].choices[0]
                if mask & sought.bit and (sought.test is None or sought.test(kept, events)):
                    del state.reported[silence]
        hunt.left = MAX_STEPS
        # The run of a single step begins and ends here, if at all.
        if mask & table.start_mask and any(
            mask & chain.positions[0].mask
            and len(chain.positions) > 1
            and hunt.opens(state.lists, chain, kept)
            for chain in table.chains
        ):
            state.starts.append(kept)
        complete: list[tuple[int, Events]] = []
        for number, chain in enumerate(table.chains):
            if not mask & chain.positions[chain.closing].mask:
                continue
            if chain.wait_ms:
                self.sequence += 1
                deadline = kept.time + chain.wait_ms
                heapq.heappush(self.pending, (deadline, self.sequence, state.key, number, kept))
            else:
                self._runs(state, number, chain, kept, complete)
        return self._complete(state, complete, kept.time) if complete else []

    def _runs(
        self,
        state: KeyState,
        number: int,
        chain: SearchChain,
        closing: Kept,
        complete: list[tuple[int, Events]],
    ) -> None:
        """The open runs that a chain completes with this closing event, the latest start first."""
        hunt, oldest = self._hunt, closing.time - self.table.window_ms
        moment = closing.time + chain.wait_ms
        vetoed = partial(self._vetoed, state, number, moment) if self.table.vetoes else None
        for start in [closing] if len(chain.positions) == 1 else reversed(state.starts):
            if start.time < oldest:
                break
            found = hunt.find(state.lists, chain, start, closing, edge=True, vetoed=vetoed)
            if found is not None:
                complete.append((number, found))
        if hunt.left <= 0:
            self.dropped += 1
            state.dropped_until = max(state.dropped_until, closing.time + self.table.window_ms)

    def advance(self, until: int) -> list[Match]:
        """Judge the deadlines up to and including a time, in order."""
        found: list[Match] = []
        pending = self.pending
        while pending and pending[0][0] <= until:
            deadline = pending[0][0]
            ended: dict[Key, list[tuple[int, Kept]]] = {}
            while pending and pending[0][0] == deadline:
                _, _, key, number, closing = heapq.heappop(pending)
                ended.setdefault(key, []).append((number, closing))
            for key, waits in ended.items():
                state = self.keys.get(key)
                if state is None:
                    continue
                self._hunt.left = MAX_STEPS
                complete: list[tuple[int, Events]] = []
                for number, closing in waits:
                    self._runs(state, number, self.table.chains[number], closing, complete)
                if complete:
                    found.extend(self._complete(state, complete, deadline))
        return found

    def _complete(self, state: KeyState, complete: list[tuple[int, Events]], moment: int) -> list[Match]:
        """Take the earliest choice of each run, select, use up."""
        table = self.table
        runs: dict[Order, tuple[int, Events]] = {}
        for number, events in complete:
            best = runs.get(events[0].order)
            rank = rank_of(events, table.chains[number].rank)
            if best is None or rank < rank_of(best[1], table.chains[best[0]].rank):
                runs[events[0].order] = (number, events)
        if not runs:
            return []
        capped = state.dropped_until >= moment
        state.starts = [start for start in state.starts if start.order not in runs]
        chosen = sorted(runs)
        if table.select != "each":
            chosen = self._select(state, runs, chosen)
        return [
            Match(state.key, runs[start][0], runs[start][1], capped, _waits(runs[start][1]))
            for start in chosen
        ]

    def _select(
        self, state: KeyState, runs: dict[Order, tuple[int, Events]], starts: list[Order]
    ) -> list[Order]:
        """One run of those that completed together; one of each silence that is new."""
        silences: dict[Silence | None, list[Order]] = {}
        for start in starts:
            number, events = runs[start]
            silences.setdefault(self._silence(number, events), []).append(start)
        chosen: list[Order] = []
        for silence, of_silence in silences.items():
            if silence is not None and silence in state.reported:
                continue
            start = of_silence[0] if self.table.select == "first" else of_silence[-1]
            chosen.append(start)
            if silence is not None:
                number, events = runs[start]
                state.reported[silence] = (number, events)
                if len(state.reported) > MAX_SILENCES:
                    del state.reported[next(iter(state.reported))]
                    self.dropped += 1
        return chosen

    def _silence(self, number: int, events: Events) -> Silence | None:
        """What is silent: the last NO and the values its filter reads; None where events complete."""
        last = self.table.chains[number].positions[-1]
        if last.absence is None:
            return None
        values = () if last.absence.values is None else last.absence.values(events)
        return last.mask, values

    def _vetoed(self, state: KeyState, number: int, moment: int, events: Events) -> bool:
        """Whether an UNLESS voids a choice that completes at ``moment``."""
        begin = min(element.begin for element in events)
        for veto in self.table.vetoes:
            for guard in reversed(state.lists[veto.bit]):
                if guard.time < begin - veto.before_ms:
                    break
                if guard.time <= moment and (not veto.tests or veto.tests[number](guard, events)):
                    return True
        return False

    def forget(self, before: int) -> None:
        """Drop what can no longer matter to events at or after a time."""
        oldest, open_since = before - self.table.horizon_ms, before - self.table.window_ms
        for key in list(self.keys):
            state = self.keys[key]
            _trim(state.lists, oldest)
            state.starts = [start for start in state.starts if start.time >= open_since]
            if not state.reported and not any(state.lists.values()):
                del self.keys[key]
        _trim(self.lists, oldest)

    def drop_before(self, time: int) -> None:
        """Drop what rests on events before a time: at the cap of kept events. A match that this could
        have changed says ``capped``.
        """
        for key in list(self.keys):
            state = self.keys[key]
            _trim(state.lists, time)
            state.starts = [start for start in state.starts if start.time >= time]
            state.dropped_until = max(state.dropped_until, time + self.table.horizon_ms)
            if not state.reported and not any(state.lists.values()):
                del self.keys[key]
        _trim(self.lists, time)
        waiting = [entry for entry in self.pending if entry[4].time >= time]
        if len(waiting) < len(self.pending):
            self.dropped += len(self.pending) - len(waiting)
            heapq.heapify(waiting)
            self.pending = waiting


def _trim(lists: Lists, oldest: int) -> None:
    for events in lists.values():
        if events and events[0].time < oldest:
            events[:] = [kept for kept in events if kept.time >= oldest]


def _agrees(partial: Key, key: Key) -> bool:
    return all(mine is None or mine == theirs for mine, theirs in zip(partial, key, strict=True))


def _waits(events: Events) -> tuple[tuple[int, int], ...]:
    """The deadlines a match rests on, each with the clock that must pass it."""
    return tuple((x.time, x.clocks) for x in events if isinstance(x, Deadline))
