"""The state of automata as plain data. Each automaton says what is in it, and takes it back."""

from __future__ import annotations

import heapq

from engine.automaton import Automaton, key_state
from engine.pair import Pair
from engine.search import KeyState as Indexed
from engine.search import Search
from engine.state.objects import Plain, Reader, Writer


def written(automaton: Automaton | Pair | Search, to: Writer) -> list[Plain]:
    """What an automaton knows."""
    if isinstance(automaton, Pair):
        return _pair(automaton, to)
    return _search(automaton, to) if isinstance(automaton, Search) else _automaton(automaton, to)


def restore(automaton: Automaton | Pair | Search, plain: list[Plain], of: Reader) -> None:
    """Give a new automaton of the same rule what another knew."""
    if isinstance(automaton, Search):
        _restore_search(automaton, plain, of)
    elif isinstance(automaton, Pair):
        _restore_pair(automaton, plain, of)
    else:
        _restore_automaton(automaton, plain, of)


def _pair(automaton: Pair, to: Writer) -> list[Plain]:
    keys = [[list(key), [to.kept(kept) for kept in waiting]] for key, waiting in automaton.keys.items()]
    capped = [[list(key), until] for key, until in (automaton.capped or {}).items()]
    return [keys, capped, automaton.dropped]


def _restore_pair(automaton: Pair, plain: list[Plain], of: Reader) -> None:
    keys, capped, automaton.dropped = plain
    for key, waiting in keys:
        automaton.put(tuple(key), tuple(of.kept(number) for number in waiting))
    if capped:
        automaton.capped = {tuple(key): until for key, until in capped}


def _automaton(automaton: Automaton, to: Writer) -> list[Plain]:
    keys = [
        [
            list(key),
            [[[to.events(events) for events in level] for level in chain] for chain in state.levels],
            state.dropped_until,
        ]
        for key, state in automaton.keys.items()
    ]
    vetoes = [
        [[list(key), [to.kept(kept) for kept in guards]] for key, guards in seen.items()]
        for seen in automaton.vetoes
    ]
    return [keys, vetoes, automaton.dropped]


def _restore_automaton(automaton: Automaton, plain: list[Plain], of: Reader) -> None:
    keys, vetoes, automaton.dropped = plain
    for key, levels, dropped_until in keys:
        state = automaton.keys[tuple(key)] = key_state(automaton.table)
        for mine, chain in zip(state.levels, levels, strict=True):
            for level, waiting in zip(mine, chain, strict=True):
                level[:] = [of.events(events) for events in waiting]
        state.dropped_until = dropped_until
    for seen, guards_of in zip(automaton.vetoes, vetoes, strict=True):
        for key, guards in guards_of:
            seen[tuple(key)] = [of.kept(number) for number in guards]


def _lists(lists: dict[int, list[Plain]], to: Writer) -> list[Plain]:
    return [[mask, [to.kept(kept) for kept in events]] for mask, events in lists.items()]


def _search(search: Search, to: Writer) -> list[Plain]:
    keys = [
        [
            list(key),
            _lists(state.lists, to),
            [to.kept(start) for start in state.starts],
            [
                [mask, list(values), number, to.events(events)]
                for (mask, values), (number, events) in state.reported.items()
            ],
            state.dropped_until,
        ]
        for key, state in search.keys.items()
    ]
    pending = [
        [deadline, sequence, list(key), number, to.kept(kept)]
        for deadline, sequence, key, number, kept in search.pending
    ]
    return [keys, _lists(search.lists, to), pending, search.sequence, search.dropped]


def _restore_search(search: Search, plain: list[Plain], of: Reader) -> None:
    keys, lists, pending, search.sequence, search.dropped = plain
    for key, of_key, starts, reported, dropped_until in keys:
        state = search.keys[tuple(key)] = Indexed(tuple(key), search.table.masks)
        state.lists = {mask: [of.kept(number) for number in events] for mask, events in of_key}
        state.starts = [of.kept(number) for number in starts]
        state.reported = {
            (mask, tuple(values)): (number, of.events(events)) for mask, values, number, events in reported
        }
        state.dropped_until = dropped_until
    for mask, events in lists:
        search.lists[mask] = [of.kept(number) for number in events]
    search.pending = [
        (deadline, sequence, tuple(key), number, of.kept(kept))
        for deadline, sequence, key, number, kept in pending
    ]
    heapq.heapify(search.pending)
