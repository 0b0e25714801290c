"""The baselines of a rule set: their rows, their state as bytes, and what a TEST gives.

Baselines over one event kind with the same BY share their rows. PEER is a BY of its own, so its rows may be
those of another baseline as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any

import msgspec

from dsl import model as m
from engine.baselines.cadence import Cadence
from engine.baselines.estimator import Estimator, Fixed, Terms
from engine.baselines.fanout import Fanout
from engine.baselines.hours import Hours
from engine.baselines.layout import Holder, Room, new_holder
from engine.baselines.novelty import Novelty
from engine.baselines.prevalence import Prevalence
from engine.baselines.robust import Robust
from engine.baselines.rows import MINUTE_MS, Rows
from engine.baselines.ticks import Ticks
from engine.caps import KEYS, VALUES, CapWarning

ESTIMATORS: dict[str, type[Estimator]] = {
    estimator.using: estimator for estimator in (Robust, Novelty, Prevalence, Cadence, Fanout, Hours)
}
STATE_VERSION = 2
_NOT_MEANING = frozenset({"file", "span", "text"})


class OtherState(Exception):
    """State that cannot be restored here; the message is one sentence."""


class BaselineCount(msgspec.Struct, frozen=True):
    """How one baseline stands: keys with a row, keys evicted at a cap, keys (or devices) forgotten because
    they were idle, values dropped because a key had too many. Baselines of one BY share the first three.
    """

    keys: int
    evicted: int
    forgotten: int
    dropped_values: int


class Baselines:
    """All baselines of a rule set, empty at first.

    Args:
        declared: by name.
        events: the event types by kind: their GRACE says what is late.

    Attributes:
        estimators: by baseline name.
    """

    def __init__(self, declared: Mapping[str, m.Baseline], events: Mapping[str, m.EventType]) -> None:
        self.declared = dict(declared)
        self._stores: dict[tuple[str, tuple[str, ...]], Rows] = {}
        rooms: dict[str, tuple[Rows, Room, tuple[Rows, Room] | None]] = {}
        for name, baseline in declared.items():
            estimator = ESTIMATORS[baseline.using]
            # All rooms are reserved before the first estimator is made: it notes how long a row is.
            own = self._room(baseline.kind, baseline.by, estimator)
            peer = None if baseline.peer is None else self._room(baseline.kind, baseline.peer, estimator)
            rooms[name] = (*own, peer)
        self._ticks: dict[str, Ticks] = {}
        self._warned: dict[tuple[str, str], int] = {}
        self.estimators: dict[str, Estimator] = {}
        for name, (rows, room, other) in rooms.items():
            terms = _terms(declared[name], events)
            make = ESTIMATORS[declared[name].using]
            of_peer = None if other is None else make(terms, *other)
            self.estimators[name] = make(terms, rows, room, of_peer)
        self._digest = _digest(self.declared, events)

    def tell_changes(self, of_device: Callable[[str], None], of_fleet: Callable[[int, Any], None]) -> None:
        """Have this called before the first change of each row since :meth:`begin_cut`, and before rows go.

        Args:
            of_device: called with the device whose row it is: what :meth:`encode_device` gives at the first
                call is what it was at the cut.
            of_fleet: called with the number of the rows and their outer key, where they are of no device;
                for :meth:`encode_key`.
        """
        for index, rows in enumerate(self._stores.values()):
            rows.touched = of_device if _of_device(rows) else partial(of_fleet, index)

    def _room(self, kind: str, names: tuple[str, ...], estimator: type[Estimator]) -> tuple[Rows, Room]:
        rows = self._stores.setdefault((kind, names), Rows(names, kind=kind))
        return rows, rows.layout.reserve(
            estimator.doubles, estimator.ints, estimator.objects, estimator.remembered
        )

    def __len__(self) -> int:
        return len(self.estimators)

    def ticks(self, kind: str) -> Ticks:
        """What the baselines over a kind have worked out of the last event's time."""
        return self._ticks.setdefault(kind, Ticks(f"tick{len(self._ticks)}_"))

    def groups(self, kind: str) -> list[tuple[Rows, list[str]]]:
        """The baselines over a kind, those of the same key together."""
        found: dict[tuple[str, ...], list[str]] = {}
        for name, baseline in self.declared.items():
            if baseline.kind == kind:
                found.setdefault(baseline.by, []).append(name)
        return [(self._stores[kind, by], names) for by, names in found.items()]

    def counts(self) -> dict[str, BaselineCount]:
        """How each stands."""
        found: dict[str, BaselineCount] = {}
        for name, estimator in self.estimators.items():
            dropped = getattr(estimator, "dropped", 0) + getattr(estimator.peer, "dropped", 0)
            rows = estimator.rows
            found[name] = BaselineCount(len(rows), rows.evicted, rows.forgotten, dropped)
        return found

    def forget(self, now_ms: int) -> int:
        """Give back the memory of keys idle for 30 days (or the longest OVER); how many devices or keys went.
        It changes no answer: such a key starts anew in any case.
        """
        return sum(rows.forget(now_ms // MINUTE_MS) for rows in self._stores.values())

    def tend(self, now_ms: int) -> None:
        """The time is ``now_ms``: :meth:`forget`, a few keys at a time."""
        for rows in self._stores.values():
            rows.tend(now_ms // MINUTE_MS)

    def cap_warnings(self) -> list[CapWarning]:
        """What was dropped at a cap since the last call."""
        found: list[CapWarning] = []
        for name, count in self.counts().items():
            for what, total in ((KEYS, count.evicted), (VALUES, count.dropped_values)):
                new = total - self._warned.get((name, what), 0)
                if new:
                    self._warned[name, what] = total
                    found.append(CapWarning(name, "", what, new, "baseline"))
        return found

    def fix(self, name: str, key: tuple[Any, ...], state: Mapping[str, Any], time_ms: int) -> None:
        """Set a key, or by a key of the coarser length its peer, as a TEST's GIVEN says.

        Raises:
            Fixed: the state does not fit the estimator.
        """
        estimator = self.estimators[name]
        if len(key) != len(estimator.rows.names) and estimator.peer is not None:
            estimator = estimator.peer
        if len(key) != len(estimator.rows.names):
            names = ", ".join(self.estimators[name].rows.names)
            raise Fixed(f"the key of this baseline is ({names})")
        estimator.fix(estimator.rows.key(key), state, time_ms)

    # --- state in parts

    def begin_cut(self) -> None:
        """Tell from here on which devices change. What is known now is what :meth:`encode_device` gives of
        a device until it changes, which :meth:`tell_changes` tells. The first event of each key after a cut
        costs about a microsecond more, the others nothing. The cut itself takes no time by what is known.
        """
        for rows in self._stores.values():
            rows.turn()

    def settle(self, most: int) -> None:
        """Give memory back that rows needed while events came for them: some of them, for who has time
        between events. It changes no answer.
        """
        for rows in self._stores.values():
            rows.settle_old(most)

    def __contains__(self, device: str) -> bool:
        """Whether anything is known of a device."""
        return any(device in rows for rows in self._stores.values() if _of_device(rows))

    def fleet_keys(self) -> Iterator[tuple[int, Any]]:
        """The rows of no device: their number and their outer key."""
        for index, rows in enumerate(self._stores.values()):
            if not _of_device(rows):
                for key in rows:
                    yield index, key

    def taken_apart(self) -> Iterator[tuple[int | None, Any]]:
        """Let go of everything, a step at a time; gives the device that a step let go of, or the number of
        rows of no device and their outer key. Not to be used any more.
        """
        for index, rows in enumerate(self._stores.values()):
            of = None if _of_device(rows) else index
            for key in rows.taken_apart():
                yield of, key

    # --- state

    def devices(self) -> Iterator[str]:
        """All devices that have rows, each once."""
        seen: dict[str, None] = {}
        for rows in self._stores.values():
            if "device" in rows.names:
                seen.update(dict.fromkeys(rows))
        return iter(seen)

    def encode(self) -> bytes:
        """Everything that is learned, as bytes: restored, it gives the same answers to whatever comes."""
        stores = [
            [
                rows.hand,
                [self._encode_holder(index, key, holder) for key, holder in rows.outer.items()],
                rows.evicted,
                rows.forgotten,
            ]
            for index, rows in enumerate(self._stores.values())
        ]
        return msgspec.msgpack.encode([STATE_VERSION, self._digest, stores])

    def decode(self, state: bytes) -> None:
        """Replace everything by what :meth:`encode` gave.

        Raises:
            OtherState: it is of another version or of other declarations, or damaged. Nothing is changed
            then.
        """
        stores = self._checked(state)
        made: list[tuple[list[Any], dict[Any, Holder], int, int]] = []
        try:
            for index, (rows, (hand, holders, evicted, forgotten)) in enumerate(
                zip(self._stores.values(), stores, strict=True)
            ):
                outer = dict(self._decode_holder(index, stored) for stored in holders)
                made.append(([_key(rows, key) for key in hand], outer, evicted, forgotten))
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise OtherState("the state of the baselines is damaged") from error
        for rows, (hand, outer, evicted, forgotten) in zip(self._stores.values(), made, strict=True):
            rows.replace(outer)
            rows.hand = hand
            rows.evicted, rows.forgotten = evicted, forgotten

    def encode_device(self, device: str) -> bytes:
        """What is learned of one device."""
        wanted = [(i, device) for i, rows in enumerate(self._stores.values()) if _of_device(rows)]
        return self._encode_some(wanted, None)

    def encode_fleet(self) -> bytes:
        """What is learned of no device in particular: peers, and keys without ``device``; and the counts."""
        return self._encode_some(list(self.fleet_keys()), self._counts())

    def encode_key(self, index: int, key: Any) -> bytes | None:
        """A part of :meth:`encode_fleet`: what is learned under one key; None if nothing."""
        stores = list(self._stores.values())
        if index >= len(stores) or _of_device(stores[index]) or key not in stores[index]:
            return None
        return self._encode_some([(index, key)], None)

    def encode_counts(self) -> bytes:
        """The rest of it."""
        return self._encode_some([], self._counts())

    def _counts(self) -> list[list[int]]:
        return [[rows.evicted, rows.forgotten] for rows in self._stores.values()]

    def _encode_some(self, wanted: list[tuple[int, Any]], counts: list[list[int]] | None) -> bytes:
        stores = list(self._stores.values())
        found = [
            [index, self._encode_holder(index, key, holder)]
            for index, key in wanted
            if (holder := stores[index].pack(key)) is not None
        ]
        return msgspec.msgpack.encode([STATE_VERSION, self._digest, [found, counts]])

    def decode_part(self, state: bytes) -> None:
        """Add what :meth:`encode_device` or :meth:`encode_fleet` gave, replacing what there is of its keys.

        Raises:
            OtherState: as :meth:`decode`.
        """
        stores = list(self._stores.values())
        try:
            parts, counts = self._checked(state)
            found = [(index, *self._decode_holder(index, stored)) for index, stored in parts]
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise OtherState("the state of the baselines is damaged") from error
        for index, key, holder in found:
            stores[index].put(key, holder)
        if counts is not None:
            for rows, (evicted, forgotten) in zip(stores, counts, strict=True):
                rows.evicted, rows.forgotten = evicted, forgotten

    def _checked(self, state: bytes) -> Any:
        try:
            version, digest, content = msgspec.msgpack.decode(state)
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            raise OtherState("the state of the baselines is damaged") from error
        if version != STATE_VERSION:
            raise OtherState(
                f"the state of the baselines is of version {version}, this engine reads {STATE_VERSION}"
            )
        if digest != self._digest:
            raise OtherState("the state is of other BASELINE declarations than those loaded")
        return content

    def _objects(self, index: int) -> list[Estimator]:
        """For each object of a row the estimator whose it is."""
        rows = list(self._stores.values())[index]
        found: dict[int, Estimator] = {}
        for estimator in self.estimators.values():
            for one in (estimator, estimator.peer):
                if one is not None and one.rows is rows and one.objects:
                    found[one.room.x] = one
        return [found[at] for at in range(rows.layout.objects)]

    def _encode_holder(self, index: int, key: Any, holder: Holder) -> list[Any]:
        owners = self._objects(index)
        packed = [owners[i % len(owners)].pack(held) for i, held in enumerate(holder.x)]
        inner = None if holder.rows is None else list(holder.rows.items())
        return [key, holder.doubles, holder.numbers, inner, packed]

    def _decode_holder(self, index: int, stored: list[Any]) -> tuple[Any, Holder]:
        rows = list(self._stores.values())[index]
        owners = self._objects(index)
        key, doubles, ints, inner, packed = stored
        holder = new_holder(rows.inner)
        if doubles:
            holder.doubles = bytearray(doubles)
        holder.numbers = bytearray(ints)
        holder.x = tuple(owners[i % len(owners)].unpack(held) for i, held in enumerate(packed))
        if rows.inner:
            many = len(rows.names) > 2
            names = [(tuple(name) if many else name, row) for name, row in inner]
            holder.rows = {rows.shared(name): row for name, row in names}
        layout = rows.layout
        size = len(holder.numbers) // (4 * layout.ints)
        fits = (
            len(holder.numbers) == size * 4 * layout.ints and len(holder.doubles) == size * 8 * layout.doubles
        )
        if not fits or len(holder.x) != size * layout.objects:
            raise ValueError("rows are cut short")
        return _key(rows, key), holder


def _of_device(rows: Rows) -> bool:
    return "device" in rows.names


def _key(rows: Rows, key: Any) -> Any:
    """An outer key as it was before it was packed."""
    return tuple(key) if isinstance(key, list) else key


def _terms(baseline: m.Baseline, events: Mapping[str, m.EventType]) -> Terms:
    return Terms(
        baseline.name, baseline.every_ms, baseline.over_ms, baseline.warmup, events[baseline.kind].grace_ms
    )


def _digest(declared: Mapping[str, m.Baseline], events: Mapping[str, m.EventType]) -> bytes:
    """Of what the declarations mean, in order. The order of bytes in a number counts as well."""

    def plain(value: Any) -> Any:
        if isinstance(value, msgspec.Struct):
            fields = {f: plain(getattr(value, f)) for f in value.__struct_fields__ if f not in _NOT_MEANING}
            return {"is": type(value).__name__, **fields}
        return [plain(v) for v in value] if isinstance(value, tuple | list) else value

    parts = [[plain(baseline), events[baseline.kind].grace_ms] for baseline in declared.values()]
    return blake2b(msgspec.json.encode([sys.byteorder, parts]), digest_size=8).digest()
