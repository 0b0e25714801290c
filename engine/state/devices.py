"""What a rule knows of its devices, as plain data."""

from __future__ import annotations

import msgspec

from engine.alerts import Alert
from engine.caps import Caps
from engine.device_log import DeviceLogs
from engine.device_state import DeviceState, Published, Stale, new_state
from engine.rule_runtime import RuleRuntime
from engine.state import automata
from engine.state.objects import Plain, Reader, Writer
from engine.storms import Storm, Suspicion

_ALERT = msgspec.msgpack.Decoder(Alert)
_STORM = msgspec.msgpack.Decoder(Storm)
_SUSPICION = msgspec.msgpack.Decoder(Suspicion)


def written(runtime: RuleRuntime, to: Writer) -> list[Plain]:
    """All that one rule knows."""
    buckets = [
        [number, [state.device for state in bucket]] for number, bucket in runtime.expiry.buckets.items()
    ]
    return [
        _own(runtime),
        [buckets, runtime.expiry.next],
        [device_written(state, to) for state in runtime.devices.values()],
    ]


def restore(runtime: RuleRuntime, plain: list[Plain], of: Reader, logs: DeviceLogs) -> None:
    """Give a new runtime of the same rule what another knew. ``logs``: of the devices, restored before."""
    own, (buckets, next_), devices = plain
    _restore_own(runtime, own)
    for row in devices:
        state = device_restored(runtime, row, of, logs)
        runtime.devices[state.device] = state
    runtime.expiry.buckets.update(
        {number: [runtime.devices[device] for device in of_bucket] for number, of_bucket in buckets}
    )
    runtime.expiry.next = next_


def shared_written(runtime: RuleRuntime, to: Writer) -> list[Plain]:
    """What one rule knows of no device; all of it for a fleet rule."""
    fleet = [device_written(state, to) for state in runtime.devices.values()] if runtime.plan.fleet else []
    return [_own(runtime), fleet]


def shared_restore(runtime: RuleRuntime, plain: list[Plain], of: Reader) -> None:
    """Take back what :func:`shared_written` gave."""
    own, fleet = plain
    _restore_own(runtime, own)
    for row in fleet:
        state = _restored(runtime, row, of)
        runtime.devices[state.device] = state
        last = runtime.last(state)
        runtime.expiry.add(state, max(last, 0))


def device_restored(runtime: RuleRuntime, row: list[Plain], of: Reader, logs: DeviceLogs) -> DeviceState:
    """What one rule knows of one device, from what :func:`device_written` gave."""
    state = _restored(runtime, row, of)
    log = logs.logs.get(state.device)
    if log is not None and runtime.plan.index in log.states:
        state.log = log
    return state


def _own(runtime: RuleRuntime) -> list[Plain]:
    counters = [runtime.fits, runtime.starts, runtime.unkeyed, runtime.reruns, runtime.duplicates]
    said = [runtime.said.matches, runtime.said.suppressed]
    storms = runtime.storms
    active = [msgspec.msgpack.encode(storm) for storm in storms.all]
    suspected = [msgspec.msgpack.encode(suspicion) for suspicion in storms.suspicions]
    return [
        [*counters, *said, runtime.forgotten],
        _caps(runtime.caps),
        [active, suspected, list(storms.devices), storms.left],
        runtime.waiting,
    ]


def _restore_own(runtime: RuleRuntime, plain: list[Plain]) -> None:
    counters, caps, (active, suspected, stormy, left), runtime.waiting = plain
    runtime.fits, runtime.starts, runtime.unkeyed, runtime.reruns, runtime.duplicates = counters[:5]
    runtime.said.matches, runtime.said.suppressed, runtime.forgotten = counters[5:]
    runtime.caps.total, recent = caps
    runtime.caps.recent.update(recent)
    known: list[Storm | Suspicion] = [*map(_STORM.decode, active), *map(_SUSPICION.decode, suspected)]
    runtime.storms.restore(known, stormy, left)


def _caps(caps: Caps) -> list[Plain]:
    return [caps.total, caps.recent]


def device_written(state: DeviceState, to: Writer) -> list[Plain]:
    """What one rule knows of one device."""
    numbers = {id(published): number for number, published in enumerate(state.published)}
    published = [
        [
            to.match(p.match),
            None if p.alert is None else msgspec.msgpack.encode(p.alert),
            p.id,
            list(p.group),
            p.open,
            # The alert that suppressed it may be forgotten by now.
            None if p.suppressed_by is None else numbers.get(id(p.suppressed_by)),
        ]
        for p in state.published
    ]
    stale = state.stale
    return [
        state.device,
        [to.kept(kept) for kept in state.history],
        automata.written(state.automaton, to),
        [to.match(match) for match in state.held],
        list(state.armed.items()),
        published,
        [[list(group), count] for group, count in state.counts.items()],
        [state.advanced, state.known_from, state.longest, state.started, state.told],
        None if stale is None else [to.kept(stale.cause), stale.first, stale.last],
    ]


def _restored(runtime: RuleRuntime, row: list[Plain], of: Reader) -> DeviceState:
    device, history, automaton, held, armed, published, counts, times, stale = row
    state = new_state(runtime.plan, device, times[1])
    state.advanced, _, state.longest, state.started, state.told = times
    state.history = [of.kept(number) for number in history]
    automata.restore(state.automaton, automaton, of)
    if held:
        state.held = [of.match(match) for match in held]
    if armed:
        state.armed = dict(armed)
    if counts:
        state.counts = {tuple(group): count for group, count in counts}
    if published:
        state.published = [
            Published(
                of.match(match), None if alert is None else _ALERT.decode(alert), id_, tuple(group), None
            )
            for match, alert, id_, group, _, _ in published
        ]
        for found, (*_, open_, by) in zip(state.published, published, strict=True):
            found.open = open_
            found.suppressed_by = None if by is None else state.published[by]
    if stale is not None:
        cause, first, last = stale
        state.stale = Stale(of.kept(cause))
        state.stale.first, state.stale.last = first, last
    return state


def _alert(raw: bytes | None) -> Alert | None:
    return None if raw is None else _ALERT.decode(raw)
