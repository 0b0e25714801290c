"""How many keys of a baseline have enough history to answer, by the buckets of their devices."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from engine.baselines.declared import Baselines
from engine.baselines.estimator import Estimator
from engine.report.coverage.observer import Bucket, Observer, bucket_of


class Keys(msgspec.Struct):
    """All keys, those that are warm themselves, and those for which they or their peer are."""

    all: int = 0
    ready: int = 0
    answered: int = 0


KeysByBucket = dict[Bucket | None, Keys]
"""None: keys that are about no device."""


def keys_of(baselines: Baselines, observer: Observer) -> dict[str, KeysByBucket]:
    """For each baseline its keys as they stand."""
    return {name: _keys(estimator, observer) for name, estimator in baselines.estimators.items()}


def within(keys: KeysByBucket, buckets: Collection[Bucket]) -> Keys:
    """The keys of some buckets; those about no device count everywhere."""
    found = Keys()
    for bucket, part in keys.items():
        if bucket is None or bucket in buckets:
            found.all += part.all
            found.ready += part.ready
            found.answered += part.answered
    return found


def _keys(estimator: Estimator, observer: Observer) -> KeysByBucket:
    rows, found = estimator.rows, KeysByBucket()
    by_device = "device" in rows.names
    for outer, holder in rows.outer.items():
        device = outer if rows.inner or rows.names == ("device",) else None
        known = observer.devices.get(device) if device is not None else None
        if by_device and known is None:
            continue
        part = found.setdefault(bucket_of(known) if known is not None else None, Keys())
        for inner, row in [(None, 0)] if holder.rows is None else list(holder.rows.items()):
            part.all += 1
            warm = estimator.warm(rows.layout.unpacked(holder, row))
            part.ready += warm
            part.answered += warm or _peer_warm(estimator, outer, inner)
    return found


def _peer_warm(estimator: Estimator, outer: Any, inner: Any) -> bool:
    peer = estimator.peer
    if peer is None:
        return False
    names = estimator.rows.names
    if estimator.rows.inner:
        rest = inner if isinstance(inner, tuple) else (inner,)
        parts = dict(zip((name for name in names if name != "device"), rest, strict=True))
        parts["device"] = outer
    else:
        parts = dict(zip(names, outer if isinstance(outer, tuple) else (outer,), strict=True))
    found = peer.rows.find(peer.rows.key(tuple(parts[name] for name in peer.rows.names)))
    return found is not None and peer.warm(found)
