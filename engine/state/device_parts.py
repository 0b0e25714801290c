"""One part of a state: what rules know of a device, what is learned of it, or what is learned of none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from engine.device_state import ALWAYS_KNOWN, DeviceState
from engine.events import Event
from engine.rule_runtime import RuleRuntime
from engine.state import devices, logs
from engine.state.keys import KNOWN, LEARNED, fleet_key, fleet_of, known_key, learned_key
from engine.state.objects import Plain, Reader, Writer

if TYPE_CHECKING:
    from engine.matcher import Matcher


def all_keys(matcher: Matcher) -> Iterator[str]:
    """The keys of all parts under which anything is known."""
    yield from map(known_key, known_devices(matcher))
    yield from map(learned_key, matcher.baselines.devices())
    for index, key in matcher.baselines.fleet_keys():
        yield fleet_key(index, key)


def known_devices(matcher: Matcher) -> set[str]:
    """Every device of which rules know anything."""
    found = set(matcher.logs.logs)
    for runtime in matcher.runtimes:
        found.update(runtime.devices)
    for last in matcher.sightings.last.values():
        found.update(last)
    return found - {""}


def encoded(matcher: Matcher, key: str) -> bytes | None:
    """What is known now under a key; None if nothing is."""
    if key[:1] != "\0":
        return _known(matcher, key)
    device = key[len(LEARNED) :]
    if key.startswith(LEARNED):
        return matcher.baselines.encode_device(device) if device in matcher.baselines else None
    if key.startswith(KNOWN):
        return _known(matcher, device)
    return matcher.baselines.encode_key(*fleet_of(key))


def _known(matcher: Matcher, device: str) -> bytes | None:
    """What rules know of a device now; None if nothing."""
    writer = Writer()
    log = matcher.logs.logs.get(device)
    of_log = None if log is None else logs.log_written(log, writer)
    rules: list[Plain] = []
    for runtime in matcher.runtimes:
        found = None if runtime.plan.fleet else runtime.devices.get(device)
        if found is not None:
            rules.append([runtime.plan.index, devices.device_written(found, writer)])
    seen = {kind: last[device] for kind, last in matcher.sightings.last.items() if device in last}
    if of_log is None and not rules and not seen:
        return None
    return msgspec.msgpack.encode([writer.state, of_log, rules, seen])


def restore_device(
    matcher: Matcher,
    device: str,
    part: bytes,
    known: Callable[[bytes], Event],
    last: dict[str, list[tuple[int, str]]],
    waiting: list[tuple[int, int, int, str]],
) -> None:
    tables, of_log, rules, seen = msgspec.msgpack.decode(part, strict=False)
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
        waiting += deadlines(runtime, found)
    for kind, time in seen.items():
        last.setdefault(kind, []).append((time, device))


def deadlines(runtime: RuleRuntime, found: DeviceState | None) -> list[tuple[int, int, int, str]]:
    if found is None:
        return []
    return [(deadline, runtime.plan.index, clock, found.device) for clock, deadline in found.armed.items()]
