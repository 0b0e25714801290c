"""The device logs as plain data."""

from __future__ import annotations

from engine.device_log import DeviceLog, DeviceLogs, Logged, new_log
from engine.state.objects import Plain, Reader, Writer


def written(logs: DeviceLogs, to: Writer) -> list[Plain]:
    """All logs, and when each is looked at again."""
    buckets = [[number, [log.device for log in bucket]] for number, bucket in logs.expiry.buckets.items()]
    return [
        [log_written(log, to) for log in logs.logs.values()],
        [buckets, logs.expiry.next],
        logs.forgotten,
    ]


def restore(logs: DeviceLogs, plain: list[Plain], of: Reader) -> None:
    """Give new logs what others held."""
    rows, (buckets, next_), logs.forgotten = plain
    for row in rows:
        log = log_restored(row, of)
        logs.logs[log.device] = log
    logs.expiry.buckets.update({number: [logs.logs[device] for device in found] for number, found in buckets})
    logs.expiry.next = next_


def log_written(log: DeviceLog, to: Writer) -> list[Plain]:
    """One log."""
    entries = [
        [
            to.event(entry.event),
            entry.position,
            [list(fit) for fit in entry.fits],
            to.readings(entry.readings),
        ]
        for entry in log.entries
    ]
    return [
        log.device,
        entries,
        [list(log.states), list(log.active)],
        [log.known_from, log.longest],
        list(log.cut.items()),
    ]


def log_restored(row: list[Plain], of: Reader) -> DeviceLog:
    """One log from what :func:`log_written` gave."""
    device, entries, (states, active), (known_from, longest), cut = row
    log = new_log(device, known_from)
    log.longest = longest
    for event, position, fits, readings in entries:
        found = of.event(event)
        log.entries.append(
            Logged(
                found.time,  # type: ignore[arg-type]  # it was an int when it was kept
                position,
                found,
                tuple((rule, mask) for rule, mask in fits),
                of.readings(readings),
            )
        )
    for rule in states:
        log.begin(rule)
        log.rest(rule)
    for rule in active:
        log.activate(rule)
    if cut:
        log.cut = dict(cut)
    return log
