"""The state in parts, for checkpoints that write only what has changed.

A cut is taken between two events. What it gives is the state at that moment, though events are fed while
it is being packed: a device that is about to change before its turn is packed first.

A part is one device: its log, what each rule knows of it, when it sent which kind, and its baselines. What
belongs to no device is small and packed at the cut: clocks, counters, fleet rules, baselines of the fleet.
Deadlines stand in the parts; the order in which those of one moment were set is not kept, and they are
released by rule and device.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from engine import state
from engine.baselines.declared import OtherState
from engine.device_state import ALWAYS_KNOWN, DeviceState
from engine.rule_runtime import RuleRuntime
from engine.sightings import SightingsState
from engine.state import devices, logs
from engine.state.objects import Plain, Reader, Writer

if TYPE_CHECKING:
    from engine.matcher import Matcher

_SIGHTINGS = msgspec.msgpack.Decoder(SightingsState)


class Changes:
    """Which devices have changed since the last cut, and the cut that is open.

    :meth:`touch` is called with a device before anything that a part holds changes; its first call after a
    cut costs what packing the device costs, the others a look into a set.
    """

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._noted = False
        self._touched: set[str] = set()
        self._pending: set[str] = set()
        self._packed: list[bytes] | None = None
        self._lists: dict[str, frozenset[str]] = {}
        self._early: list[tuple[str, bytes | None]] = []
        matcher.baselines.before_change = self.touch

    def touch(self, device: str) -> None:
        """Something of a device is about to change."""
        if not self._noted:
            # Nobody takes cuts, or the first will have everything.
            return
        if self._pending and device in self._pending:
            self._pending.discard(device)
            self._early.append((device, _encoded(self._matcher, device)))
        self._touched.add(device)

    @property
    def touched(self) -> Collection[str]:
        """The devices that have changed since the last cut."""
        return self._touched

    def cut(self) -> Cut:
        """Take a cut now. The one before must be packed."""
        matcher = self._matcher
        if self._pending or self._early:
            raise RuntimeError("the cut before is not packed yet")
        if not self._noted:
            self._noted = True
            self._touched = _all_devices(matcher)
        self._touched.discard("")
        # No copy: there may be hundreds of thousands, and the event loop waits.
        self._pending, self._touched = self._touched, set()
        shared = _shared(matcher, self._unchanging())
        matcher.baselines.begin_cut()
        return Cut(shared, self)

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
        self._touched.clear()

    def pack(self, most: int) -> list[tuple[str, bytes | None]]:
        """See :meth:`Cut.pack`."""
        found, self._early = self._early, []
        while self._pending and len(found) < most:
            device = self._pending.pop()
            found.append((device, _encoded(self._matcher, device)))
        return found


class Cut:
    """One cut; at most one is open at a time."""

    def __init__(self, shared: bytes, changes: Changes) -> None:
        self.shared = shared
        """What belongs to no device."""
        self._changes = changes

    def pack(self, most: int) -> list[tuple[str, bytes | None]]:
        """The state of some more of the devices that have changed since the cut before, about ``most`` of
        them; None for one of which nothing is known any more. Empty when all are packed.
        """
        return self._changes.pack(most)


def cut(matcher: Matcher) -> Cut:
    """Take a cut now.

    Raises:
        RuntimeError: the cut before is not packed yet.
    """
    return matcher.changes.cut()


def restore(matcher: Matcher, shared: bytes, parts: Iterable[tuple[str, bytes]]) -> None:
    """Go on from the parts of the last cut. To be called before the first event.

    Args:
        matcher: new, of the same rules.
        shared: of the last cut.
        parts: for each device the newest part that any cut gave, unless that was None.

    Raises:
        OtherState: it is of another version or of other rules, or damaged; make a new matcher then.
    """
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
            matcher.baselines.encode_fleet(),
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
    for device, part in parts:
        _restore_device(matcher, device, part, known, last, waiting)
    matcher.clocks.restore(clocks)
    for runtime in matcher.runtimes:
        if runtime.plan.fleet:
            waiting += _deadlines(runtime, runtime.devices.get(""))
    for deadline, rule, clock, device in sorted(waiting):
        kinds_of = matcher.runtimes[rule].plan.clock_kinds[clock]
        matcher.clocks.wait(kinds_of, deadline, rule, device, clock)
    matcher.debt.restore(debt, matcher.runtimes)
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


# --- one device


def _all_devices(matcher: Matcher) -> set[str]:
    """Every device of which anything is known."""
    found = {*matcher.logs.logs, *matcher.baselines.devices()}
    for runtime in matcher.runtimes:
        found.update(runtime.devices)
    for last in matcher.sightings.last.values():
        found.update(last)
    return found


def _encoded(matcher: Matcher, device: str) -> bytes | None:
    """What is known of a device now; None if nothing is."""
    writer = Writer()
    log = matcher.logs.logs.get(device)
    of_log = None if log is None else logs.log_written(log, writer)
    rules: list[Plain] = []
    for runtime in matcher.runtimes:
        found = None if runtime.plan.fleet else runtime.devices.get(device)
        if found is not None:
            rules.append([runtime.plan.index, devices.device_written(found, writer)])
    seen = {kind: last[device] for kind, last in matcher.sightings.last.items() if device in last}
    learned = matcher.baselines.encode_device(device) if device in matcher.baselines else None
    if of_log is None and not rules and not seen and learned is None:
        return None
    return msgspec.msgpack.encode([writer.state, of_log, rules, seen, learned])


def _restore_device(
    matcher: Matcher,
    device: str,
    part: bytes,
    known: Any,
    last: dict[str, list[tuple[int, str]]],
    waiting: list[tuple[int, int, int, str]],
) -> None:
    tables, of_log, rules, seen, learned = msgspec.msgpack.decode(part, strict=False)
    reader = Reader(tables, known)
    if of_log is not None:
        log = logs.log_restored(of_log, reader)
        matcher.logs.logs[device] = log
        matcher.logs.expiry.add(log, log.entries[-1].time if log.entries else 0)
    for index, row in rules:
        runtime = matcher.runtimes[index]
        found = devices.device_restored(runtime, row, reader, matcher.logs)
        runtime.devices[device] = found
        ended = runtime.last(found)
        runtime.expiry.add(found, 0 if ended == ALWAYS_KNOWN else ended)
        waiting += _deadlines(runtime, found)
    for kind, time in seen.items():
        last.setdefault(kind, []).append((time, device))
    if learned is not None:
        matcher.baselines.decode_part(learned)


def _deadlines(runtime: RuleRuntime, found: DeviceState | None) -> list[tuple[int, int, int, str]]:
    if found is None:
        return []
    return [(deadline, runtime.plan.index, clock, found.device) for clock, deadline in found.armed.items()]
