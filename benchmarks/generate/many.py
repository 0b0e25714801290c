"""Lines for many devices of which little is known each: what ``benchmarks.devices`` feeds.

Events come in order of time, all devices in turn, as from a fleet.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.generate.draw import START_MS
from benchmarks.generate.mobile import flow

APPS = 10
KEPT = 16
BUCKETS = 2
VALUES = 11
"""Domains an app of a phone, as measured (docs/explanation/baselines.md)."""
_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000

ROBUST = """
EVENT net flow { app: string bytes_out: int bytes_in: int packets: int domain: string }
BASELINE sent = bytes_out OF net flow BY device, app EVERY 5m USING robust
"""
ROBUST_THREE = (
    ROBUST
    + """
BASELINE received = bytes_in OF net flow BY device, app EVERY 5m USING robust
BASELINE parcels = packets OF net flow BY device, app EVERY 5m USING robust
"""
)
NOVELTY = """
EVENT net flow { app: string bytes_out: int bytes_in: int packets: int domain: string }
BASELINE domains = domain OF net flow BY device, app USING novelty
"""


def idle(devices: int) -> Iterator[bytes]:
    """Two flows each, for the rule of the work w1: neither fits."""
    for number, score in enumerate(("0.50", "1.25")):
        yield from _flows(devices, number, START_MS + number * _MINUTE_MS, score)


def ended(devices: int) -> Iterator[bytes]:
    """A flow that begins a run of w1, and four days later, when nothing of then can still matter, one that
    fits nothing.
    """
    for number, score in enumerate(("5.50", "1.25")):
        yield from _flows(devices, number, START_MS + number * 96 * _HOUR_MS, score)


def waiting(devices: int) -> Iterator[bytes]:
    """A flow that begins a run of w1."""
    return _flows(devices, 0, START_MS, "5.50")


def kept(devices: int) -> Iterator[bytes]:
    """Crashes: each would end a run of w1, and none has begun. They are kept because a flow may be late."""
    for number in range(KEPT):
        for device in range(devices):
            time = START_MS + number * 10_000 + device * 9_000 // devices
            yield _of_w1("app.crash", device, time, number, '"class":"memory","signal":"SIGSEGV"')


def quiet(devices: int) -> Iterator[bytes]:
    """Under the mobile pack: a report of posture, a change of state and a lookup, and no app."""
    for number in range(2):
        for device in range(devices):
            time = START_MS + number * _HOUR_MS + device * _MINUTE_MS // devices
            yield from _of_phone(device, time)


def apps(devices: int) -> Iterator[bytes]:
    """Under the mobile pack: :func:`quiet`, and of each app two buckets of flows and a sensor used."""
    yield from quiet(devices)
    for bucket in range(BUCKETS):
        for app in range(APPS):
            time = START_MS + 2 * _HOUR_MS + bucket * 300_000 + app * 1_000
            for device in range(devices):
                yield flow(time, f"phone-{device:07}", app, 5_000 + 97 * app)
    for app in range(APPS):
        time = START_MS + 3 * _HOUR_MS + app * 1_000
        for device in range(devices):
            yield (
                _head("app.access", f"phone-{device:07}", time, f"a{app}")
                + (
                    f'"app":"com.example.app{app:02}","resource":"location","phase":"begin","locked":false}}'
                ).encode()
            )


def rows(devices: int, flows: int = BUCKETS) -> Iterator[bytes]:
    """Flows of every app, each to another domain, a few minutes apart: for one baseline or more."""
    for value in range(flows):
        for app in range(APPS):
            time = START_MS + value * 300_000 + app * 1_000
            for device in range(devices):
                rest = f'"bytes_out":{500 + device % 97},"bytes_in":70,"packets":{3 + value}'
                yield (
                    _head("net.flow", f"phone-{device:07}", time, f"{value}")
                    + (f'"app":"com.example.app{app:02}","domain":"d{value}.example",{rest}}}').encode()
                )


def values(devices: int) -> Iterator[bytes]:
    """The same with as many domains as an app has."""
    return rows(devices, VALUES)


def _flows(devices: int, number: int, begin: int, score: str) -> Iterator[bytes]:
    for device in range(devices):
        rest = f'"ip":"198.51.100.1","port":443,"bytes_out":5,"score":{score}'
        yield _of_w1("net.flow", device, begin + device * 50_000 // devices, number, rest)


def _of_w1(kind: str, device: int, time: int, number: int, rest: str) -> bytes:
    host = '"app":"com.example.app01","process":"App01","host":"edge.example",'
    return _head(kind, f"device-{device:07}", time, f"{number}-{device}") + f"{host}{rest}}}".encode()


def _of_phone(device: int, time: int) -> Iterator[bytes]:
    name = f"phone-{device:07}"
    yield _head("device.posture", name, time, "p") + b'"compromised":false,"compliant":true,"risk":"low"}'
    yield _head("device.state", name, time, "s") + b'"item":"screen","locked":true}'
    yield _head("net.dns", name, time, "q") + b'"host":"edge.example","domain":"edge.example"}'


def _head(kind: str, device: str, time: int, name: str) -> bytes:
    return f'{{"kind":"{kind}","device":"{device}","time":{time},"id":"{name}","source":"bench",'.encode()
