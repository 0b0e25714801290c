"""What baselines have learned, moved to another rule set.

Baselines of one event and BY share their rows: size, age and eviction of a row are those of all of them.
So they are kept together, if none of them was changed, added or removed, and begin anew together if one
was. A baseline that was added beside warm ones would otherwise pass for as old as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dsl import model as m
from engine.baselines.declared import Baselines, OtherState

_PLACES = frozenset({"file", "span", "text"})
_Store = tuple[str, tuple[str, ...]]


def transfer_baselines(old: Baselines, new: Baselines) -> frozenset[str]:
    """Give new baselines what old ones have learned; the names of those that are as they were."""
    if not len(old) or not len(new):
        return frozenset()
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
            break
        usable -= lost
    kept = frozenset(name for name, b in new.declared.items() if usable.issuperset(_stores(b)))
    version, _, stores = msgspec.msgpack.decode(old.encode())
    _, digest, fresh = msgspec.msgpack.decode(new.encode())
    places = list(before)
    if len(stores) != len(places) or len(fresh) != len(after):
        raise OtherState("the state of the baselines has another form than the reload knows")
    moved = [
        stores[places.index(store)] if store in usable else empty
        for store, empty in zip(after, fresh, strict=True)
    ]
    new.decode(msgspec.msgpack.encode([version, digest, moved]))
    return kept


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
