"""What baselines have learned, moved to another rule set.

Baselines of one event and BY share their rows: size, age and eviction of a row are those of all of them.
So they are kept together, if none of them was changed, added or removed, and begin anew together if one
was. A baseline that was added beside warm ones would otherwise pass for as old as they are. Where rules were
filled with the past before they came into force, those that begin anew know what was learned of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dsl import model as m
from engine.baselines.declared import Baselines, OtherState

_PLACES = frozenset({"file", "span", "text"})
_Store = tuple[str, tuple[str, ...]]


class Learned(msgspec.Struct, frozen=True):
    """Names of baselines: of those that are as they were, and of those that know what another has learned."""

    kept: frozenset[str]
    filled: frozenset[str]


def transfer_baselines(old: Baselines, new: Baselines, filled: Baselines | None = None) -> Learned:
    """Give new baselines what old ones have learned.

    Args:
        old: stay as they are.
        new: know nothing yet.
        filled: the same as the new ones, with what they have learned of the past. They serve where those from
            before cannot.
    """
    if not len(new) or not (len(old) or filled is not None):
        return Learned(frozenset(), frozenset())
    before, after = stores_of(old.declared), stores_of(new.declared)
    usable = _usable(old, new)
    kept = kept_baselines(old, new)
    version, digest, moved = msgspec.msgpack.decode(new.encode())
    beside: frozenset[str] = frozenset()
    if filled is not None:
        _, of_filled, moved = msgspec.msgpack.decode(filled.encode())
        if of_filled != digest:
            raise OtherState("the baselines that were filled are not those of the new set")
        beside = frozenset(new.declared) - kept
    _, _, stores = msgspec.msgpack.decode(old.encode())
    if len(stores) != len(before) or len(moved) != len(after):
        raise OtherState("the state of the baselines has another form than the reload knows")
    of_store = dict(zip(before, stores, strict=True))
    moved = [of_store[store] if store in usable else other for store, other in zip(after, moved, strict=True)]
    new.decode(msgspec.msgpack.encode([version, digest, moved]))
    return Learned(kept, beside)


def kept_baselines(old: Baselines, new: Baselines) -> frozenset[str]:
    """Names of the new baselines that would be as the old ones were."""
    usable = _usable(old, new)
    return frozenset(name for name, b in new.declared.items() if usable.issuperset(_stores(b)))


def _usable(old: Baselines, new: Baselines) -> set[_Store]:
    """The rows that can stay."""
    before, after = stores_of(old.declared), stores_of(new.declared)
    usable = {store for store, members in after.items() if before.get(store) == members}
    while True:
        # A row that a peer shares with a baseline that begins anew begins anew with it.
        lost = {
            store
            for baseline in new.declared.values()
            if not usable.issuperset(_stores(baseline))
            for store in _stores(baseline)
        }
        if usable.isdisjoint(lost):
            return usable
        usable -= lost


def stores_of(declared: Mapping[str, m.Baseline]) -> dict[_Store, list[Any]]:
    """For each event and BY the baselines in its rows, in the order in which they lie there."""
    found: dict[_Store, list[Any]] = {}
    for name, baseline in declared.items():
        for part, store in enumerate(_stores(baseline)):
            found.setdefault(store, []).append([name, part, _plain(baseline)])
    return found


def _stores(baseline: m.Baseline) -> list[_Store]:
    own = (baseline.kind, baseline.by)
    return [own] if baseline.peer is None else [own, (baseline.kind, baseline.peer)]


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = {f: _plain(getattr(value, f)) for f in value.__struct_fields__ if f not in _PLACES}
        return {"is": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
