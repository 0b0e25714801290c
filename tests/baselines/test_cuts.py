"""State in parts: which devices have changed since a cut, and what they were at it."""

from __future__ import annotations

from test_inline import START, Stream, made

from engine import Matcher
from engine.baselines.rows import IDLE_MS

MINUTE = 60_000


def feed(matcher: Matcher, device: str, time: int = START, **fields: object) -> None:
    wire = {"kind": "flow", "device": device, "time": time, "app": "a", "bytes": 5} | fields
    event = matcher.decoder.convert(wire)
    assert event is not None
    matcher.feed(event)


def test_devices_that_changed_since_the_cut_are_known() -> None:
    matcher, _ = made()
    baselines = matcher.baselines
    feed(matcher, "d1")
    feed(matcher, "d2")
    assert set(baselines.changed_since_cut()) == {"d1", "d2"}
    baselines.begin_cut()
    assert not baselines.changed_since_cut()
    for time in range(3):
        feed(matcher, "d1", START + time)
    assert set(baselines.changed_since_cut()) == {"d1"}
    baselines.begin_cut()
    assert not baselines.changed_since_cut()


def test_a_change_is_told_before_it_happens() -> None:
    matcher, _ = made()
    baselines = matcher.baselines
    feed(matcher, "d1")
    feed(matcher, "d2")
    told: list[tuple[str, bytes]] = []
    baselines.before_change = lambda device: told.append((device, baselines.encode_device(device)))
    baselines.begin_cut()
    at_cut = baselines.encode_device("d1")
    feed(matcher, "d1")
    feed(matcher, "d1", START + 1)
    assert told == [("d1", at_cut)]
    assert baselines.encode_device("d1") != at_cut


def test_a_device_that_is_forgotten_has_changed() -> None:
    matcher, _ = made()
    baselines = matcher.baselines
    feed(matcher, "d1")
    assert "d1" in baselines
    baselines.begin_cut()
    baselines.forget(START + IDLE_MS + 2 * MINUTE)
    assert set(baselines.changed_since_cut()) == {"d1"}
    assert "d1" not in baselines


def test_changed_devices_alone_are_enough_for_a_copy() -> None:
    """As a service does it: at each cut it stores what is shared and, later, the devices that had changed; a
    device that changes before its turn is stored first.
    """
    matcher, observe = made()
    twin, observe_too = made()
    baselines = matcher.baselines
    stream = Stream(7, 25, 40, 20_000, 5 * MINUTE)
    stored: dict[str, bytes] = {}
    waiting: set[str] = set()

    def store(device: str) -> None:
        if device in waiting:
            waiting.discard(device)
            stored.pop(device, None)
            if device in baselines:
                stored[device] = baselines.encode_device(device)

    baselines.before_change = store
    for cut in range(8):
        for number in range(60 + 50 * (cut % 3)):
            event = matcher.decoder.convert(stream.next())
            assert event is not None
            observe(event)
            observe_too(event)
            if waiting and number % 7 == 0:
                store(min(waiting))
            if number % 50 == 30:
                baselines.forget(stream.time)
                twin.baselines.forget(stream.time)
        for device in sorted(waiting):
            store(device)
        shared = baselines.encode_fleet()
        waiting = set(baselines.changed_since_cut())
        baselines.begin_cut()
        expected = {n: (c.keys, c.evicted, c.forgotten) for n, c in baselines.counts().items()}
    for device in sorted(waiting):
        store(device)
    # The other has never taken a cut, nor packed anything.
    whole = {d: twin.baselines.encode_device(d) for d in twin.baselines.devices()}
    assert stored == whole
    assert shared == twin.baselines.encode_fleet()
    other, _ = made()
    other.baselines.decode_part(shared)
    for state in stored.values():
        other.baselines.decode_part(state)
    assert {d: other.baselines.encode_device(d) for d in other.baselines.devices()} == whole
    assert other.baselines.encode_fleet() == shared
    assert {n: (c.keys, c.evicted, c.forgotten) for n, c in other.baselines.counts().items()} == expected
