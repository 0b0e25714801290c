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


def told(matcher: Matcher) -> dict[str, bytes]:
    """Devices that change, with what was known of each before the first change."""
    found: dict[str, bytes] = {}
    baselines = matcher.baselines

    def note(device: str) -> None:
        if device not in found:
            found[device] = baselines.encode_device(device)

    baselines.tell_changes(note, lambda index, key: None)
    return found


def test_devices_that_change_after_the_cut_are_told() -> None:
    matcher, _ = made()
    changed = told(matcher)
    feed(matcher, "d1")
    feed(matcher, "d2")
    assert set(changed) == {"d1", "d2"}
    for _ in range(2):
        matcher.baselines.begin_cut()
        changed.clear()
        for time in range(3):
            feed(matcher, "d1", START + time)
        assert set(changed) == {"d1"}


def test_a_change_is_told_before_it_happens() -> None:
    matcher, _ = made()
    baselines = matcher.baselines
    feed(matcher, "d1")
    feed(matcher, "d2")
    changed = told(matcher)
    baselines.begin_cut()
    at_cut = baselines.encode_device("d1")
    feed(matcher, "d1")
    feed(matcher, "d1", START + 1)
    assert changed == {"d1": at_cut}
    assert baselines.encode_device("d1") != at_cut


def test_a_device_that_is_forgotten_has_changed() -> None:
    matcher, _ = made()
    baselines = matcher.baselines
    feed(matcher, "d1")
    assert "d1" in baselines
    changed = told(matcher)
    baselines.begin_cut()
    baselines.forget(START + IDLE_MS + 2 * MINUTE)
    assert set(changed) == {"d1"}
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
    changed: set[str] = set()

    def store(device: str) -> None:
        if device in waiting:
            waiting.discard(device)
            stored.pop(device, None)
            if device in baselines:
                stored[device] = baselines.encode_device(device)

    def change(device: str) -> None:
        if device not in changed:
            store(device)
            changed.add(device)

    baselines.tell_changes(change, lambda index, key: None)
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
        waiting, changed = changed, set()
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
