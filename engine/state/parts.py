"""The state in parts, for checkpoints that write only what has changed.

A cut is taken between two events. What it gives is the state at that moment, though events are fed while
it is being packed: a device that is about to change before its turn is packed first.

A device has two parts, each under a key of its own: what rules know of it (its log, the state of each rule,
when it sent which kind), and what its baselines have learned. Most events change the second alone. What is
learned of no device has a part for each key. The rest is small and packed at the cut: clocks, counters, fleet
rules.
Deadlines stand in the parts; the order in which those of one moment were set is not kept, and they are
released by rule and device.

A cut takes no time by the number of devices: the set of those that have changed is swapped for an empty one.

Several matchers may share the parts, as old versions of rules do that drain beside the one in force. What the
others know of a device then stands in its part, under the name of each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine import state
from engine.baselines.declared import OtherState
from engine.sightings import SightingsState
from engine.state import devices
from engine.state.device_parts import all_keys, deadlines, encoded, restore_device
from engine.state.keys import fleet_key, known_key, learned_key, part_of
from engine.state.objects import Reader, Writer

if TYPE_CHECKING:
    from engine.matcher import Matcher

_SIGHTINGS = msgspec.msgpack.Decoder(SightingsState)
_OF_MANY = msgspec.msgpack.Decoder(tuple[bytes | None, dict[str, bytes]])
_TWO: Final = b"\x92"
"""The first byte of a part of which others know something as well: an array of two (MessagePack's fixarray).
The part of one matcher has more elements.
"""
NOBODY: Final[Mapping[str, Any]] = {}


class Changes:
    """Which parts have changed since the last cut, and the cut that is open.

    :meth:`touch` is called with a device before anything changes that rules know of it, :meth:`learn` before
    anything that is learned of it; the first call after a cut costs what packing the part costs, the others
    a look into a dict.
    """

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._noted = False
        # Dicts of None, which the collector of cycles never looks into; a set it would.
        self._touched: dict[str, None] = {}
        self._pending: dict[str, None] = {}
        self._packed: list[bytes] | None = None
        self._lists: dict[str, frozenset[str]] = {}
        self._early: list[tuple[str, bytes | None]] = []
        self._beside: dict[str, Matcher] = {}
        self._followed: Changes | None = None
        matcher.baselines.tell_changes(self._learn, self._learn_of_fleet)

    def touch(self, device: str) -> None:
        """Something that rules know of a device is about to change."""
        if not self._noted and self._followed is None:
            # Nobody takes cuts, or the first will have everything.
            return
        if device < "\1":
            # What belongs to no device stands in no part.
            if device:
                self.change(known_key(device))
            return
        self.change(device)

    def _learn(self, device: str) -> None:
        if self._noted or self._followed is not None:
            self.change(learned_key(device))

    def _learn_of_fleet(self, index: int, key: Any) -> None:
        if self._noted or self._followed is not None:
            self.change(fleet_key(index, key))

    def change(self, key: str) -> None:
        """A part is about to change."""
        if self._followed is not None:
            self._followed.change(key)
            return
        if self._pending and key in self._pending:
            del self._pending[key]
            self._early.append((key, self._part(key)))
        self._touched[key] = None

    @property
    def touched(self) -> Collection[str]:
        """The keys of the parts that have changed since the last cut."""
        return self._touched.keys()

    def packs(self, matcher: Matcher) -> bool:
        """Whether what a matcher knows is still to be packed for the last cut."""
        return bool(self._pending) and any(other is matcher for other in self._beside.values())

    def note_all(self, others: Iterable[str] = ()) -> None:
        """The next cut is to have every part, and the keys ``others``, under which something may be stored.
        That takes time by their number. Where it was not called before the first cut, that one does it.
        """
        self._noted = True
        self._touched = dict.fromkeys(all_keys(self._matcher))
        self._touched.update(dict.fromkeys(others))

    def follow(self, other: Changes) -> None:
        """Whatever changes from now on is told to the changes of another matcher, whose cuts have it."""
        self._followed = other

    def cut(self, beside: Mapping[str, Matcher] = NOBODY) -> Cut:
        """Take a cut now. The one before must be packed. For ``beside`` see :func:`cut`."""
        matcher = self._matcher
        if self._pending or self._early:
            raise RuntimeError("the cut before is not packed yet")
        if not self._noted:
            self.note_all()
        # No copy: there may be hundreds of thousands, and the event loop waits.
        self._pending, self._touched = self._touched, {}
        self._beside = dict(beside)
        shared = _shared(matcher, self._unchanging())
        matcher.baselines.begin_cut()
        others: dict[str, bytes] = {}
        for name, other in beside.items():
            others[name] = _shared(other, other.changes._unchanging())
            other.baselines.begin_cut()
        return Cut(shared, others, self)

    def _part(self, key: str) -> bytes | None:
        """What is known now under a key, by all whose parts these are."""
        own = encoded(self._matcher, key)
        if not self._beside:
            return own
        others: dict[str, bytes] = {}
        for name, other in self._beside.items():
            part = encoded(other, key)
            if part is not None:
                others[name] = part
        return own if not others else msgspec.msgpack.encode([own, others])

    def _unchanging(self) -> list[bytes]:
        """The digest of the rules and the lists: worked out when they change, and not at every cut."""
        lists = {name: test.entries for name, test in self._matcher.plan.lists.items()}
        if self._packed is None or any(self._lists[name] is not entries for name, entries in lists.items()):
            self._lists = lists
            self._packed = [
                msgspec.msgpack.encode(state.digest(self._matcher)),
                msgspec.msgpack.encode({name: sorted(entries) for name, entries in lists.items()}),
            ]
        return self._packed

    def begin(self) -> None:
        """All that is known is in the parts of the last cut: note what changes from now on."""
        self._noted = True
        self._touched = {}

    def pack(self, most: int) -> list[tuple[str, bytes | None]]:
        """See :meth:`Cut.pack`."""
        found, self._early = self._early, []
        while self._pending and len(found) < most:
            key, _ = self._pending.popitem()
            found.append((key, self._part(key)))
        # What rests costs about as much as what is packed.
        self._matcher.baselines.settle(most)
        return found


class Cut:
    """One cut; at most one is open at a time."""

    def __init__(self, shared: bytes, others: dict[str, bytes], changes: Changes) -> None:
        self.shared = shared
        """What belongs to no device."""
        self.others = others
        """The same of each matcher beside."""
        self._changes = changes

    def pack(self, most: int) -> list[tuple[str, bytes | None]]:
        """Some more of the parts that have changed since the cut before, about ``most`` of them, by their
        keys; None for one of which nothing is known any more. Empty when all are packed.
        """
        return self._changes.pack(most)


def cut(matcher: Matcher, beside: Mapping[str, Matcher] = NOBODY) -> Cut:
    """Take a cut now.

    Args:
        matcher: whose changes are noted.
        beside: others that share its parts, by names that no other ever had or will have. Their changes
            must follow those of the matcher (:meth:`Changes.follow`), and what they know must stay until
            the next cut, even if they take no more events.

    Raises:
        RuntimeError: the cut before is not packed yet.
    """
    return matcher.changes.cut(beside)


def restore(
    matcher: Matcher,
    shared: bytes,
    parts: Iterable[tuple[str, bytes]],
    beside: Mapping[str, tuple[Matcher, bytes]] = NOBODY,
) -> None:
    """Go on from the parts of the last cut. To be called before the first event.

    Args:
        matcher: new, of the same rules.
        shared: of the last cut.
        parts: for each key the newest part that any cut gave, unless that was None.
        beside: of each that shares the parts, a new matcher and what belongs to no device.

    Raises:
        OtherState: it is of another version or of other rules, or damaged; make a new matcher then.
    """
    plain: list[tuple[str, bytes]] = []
    of: dict[str, list[tuple[str, bytes]]] = {name: [] for name in beside}
    try:
        for key, part in parts:
            plain += _told_apart(key, part, of)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise OtherState("the state is damaged") from error
    _restore_one(matcher, shared, plain)
    for name, (other, of_other) in beside.items():
        _restore_one(other, of_other, of[name])


def _told_apart(key: str, part: bytes, of: dict[str, list[tuple[str, bytes]]]) -> list[tuple[str, bytes]]:
    """The matcher's own part, if there is one; those of others are put where they belong, and of who is gone
    are left out.
    """
    if part[:1] == _TWO:
        own, others = _OF_MANY.decode(part)
        for name, found in others.items():
            if name in of:
                of[name].append((key, found))
        return [] if own is None else [(key, own)]
    return [(key, part)]


def _restore_one(matcher: Matcher, shared: bytes, parts: Iterable[tuple[str, bytes]]) -> None:
    try:
        version, *rest = msgspec.msgpack.decode(shared, strict=False)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise OtherState("the state is damaged") from error
    if version != state.VERSION:
        raise OtherState(f"the state has version {version}, and this program reads version {state.VERSION}")
    try:
        _restore(matcher, rest, parts)
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, IndexError) as error:
        raise OtherState("the state is damaged") from error


# --- what belongs to no device


def _shared(matcher: Matcher, unchanging: list[bytes]) -> bytes:
    writer = Writer()
    rules = [devices.shared_written(runtime, writer) for runtime in matcher.runtimes]
    # Deadlines of devices stand in their parts; what waits without a device is a storm's.
    clocks = matcher.clocks.state(of_devices=False)
    digest, lists = map(msgspec.Raw, unchanging)
    return msgspec.msgpack.encode(
        [
            state.VERSION,
            digest,
            writer.state,
            rules,
            clocks,
            matcher.debt.state(),
            {kind: made.state() for kind, made in matcher.kinds.items()},
            {kind: fit.state() for kind, fit in matcher.fits.items()},
            matcher.logs.forgotten,
            matcher.position,
            msgspec.msgpack.encode(matcher.sightings.state(of_devices=False)),
            matcher.baselines.encode_counts(),
            lists,
        ]
    )


def _restore(matcher: Matcher, rest: list[Any], parts: Iterable[tuple[str, bytes]]) -> None:
    of, tables, rules, clocks, debt, kinds, fits, forgotten, position, sightings, fleet, lists = rest
    if of != state.digest(matcher):
        raise OtherState("the state is of other rules or PARAMs than these")
    for name, entries in lists.items():
        matcher.plan.lists[name].replace(tuple(entries))
    types = matcher.event_types
    reader = Reader(tables, types)
    for runtime, plain in zip(matcher.runtimes, rules, strict=True):
        devices.shared_restore(runtime, plain, reader)
    matcher.logs.forgotten = forgotten
    matcher.baselines.decode_part(fleet)
    last: dict[str, list[tuple[int, str]]] = {}
    known = Reader.decoder(types)
    waiting: list[tuple[int, int, int, str]] = []
    for key, part in parts:
        device, is_learned = part_of(key)
        if device is None or is_learned:
            matcher.baselines.decode_part(part)
        else:
            restore_device(matcher, device, part, known, last, waiting)
    matcher.clocks.restore(clocks)
    for runtime in matcher.runtimes:
        if runtime.plan.fleet:
            waiting += deadlines(runtime, runtime.devices.get(""))
    for deadline, rule, clock, device in sorted(waiting):
        kinds_of = matcher.runtimes[rule].plan.clock_kinds[clock]
        matcher.clocks.wait(kinds_of, deadline, rule, device, clock)
    matcher.debt.restore(debt, matcher.runtimes)
    matcher.deadlines.restored()
    for kind, cells in kinds.items():
        matcher.kinds[kind].restore(cells)
    for kind, counters in fits.items():
        matcher.fits[kind].restore(counters)
    matcher.position = position
    of_devices = _SIGHTINGS.decode(sightings)
    noted = {kind: {device: time for time, device in sorted(found)} for kind, found in last.items()}
    matcher.sightings.restore(msgspec.structs.replace(of_devices, last={**of_devices.last, **noted}))
    matcher.baselines.begin_cut()
    matcher.changes.begin()
