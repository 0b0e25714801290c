"""What is remembered of kinds and devices, and how it is forgotten."""

from __future__ import annotations

import msgspec

import dsl
from engine.matcher import Matcher
from engine.sightings import EVERY_MS, LATELY_MS, Sightings, SightingsState

HOUR = EVERY_MS
DAY = 24 * HOUR


def sightings() -> Sightings:
    found = Sightings()
    found.need("update", 0, DAY)
    return found


def test_a_kind_is_kept_for_the_longest_that_any_rule_asks() -> None:
    found = sightings()
    found.need("update", 20 * DAY, DAY)
    found.need("update", DAY, DAY)
    found.note("update", "d1", 0)
    found.forget(21 * DAY + HOUR)
    assert list(found.last["update"]) == ["d1"]
    found.forget(21 * DAY + HOUR + 1)
    assert list(found.last["update"]) == []


def test_devices_that_do_not_return_are_forgotten_by_themselves() -> None:
    found = sightings()
    for hour in range(40 * 24):
        found.note("update", f"d{hour}", hour * HOUR)
    assert len(found.last["update"]) <= (LATELY_MS + DAY) // HOUR + 3
    assert found.seen_at_all("update")


def test_a_kind_that_no_longer_comes_is_forgotten_by_the_wall_clock() -> None:
    found = sightings()
    for number in range(100):
        found.note("update", f"d{number}", number)
    found.tend(8 * DAY)
    assert len(found.last["update"]) == 100
    found.tend(8 * DAY + EVERY_MS - 1)
    assert len(found.last["update"]) == 100
    found.tend(8 * DAY + 2 * EVERY_MS)
    assert found.last["update"] == {}


def test_the_matcher_gives_its_wall_clock() -> None:
    matcher = Matcher(dsl.load_text("EVENT a {} EVENT g {} RULE r { WHEN a THEN a WITHIN 1m UNLESS g }"))
    matcher.feed_json(b'{"kind": "g", "device": "d1", "time": 1000}')
    assert list(matcher.sightings.last["g"]) == ["d1"]
    matcher.advance(10 * DAY)
    assert matcher.sightings.last["g"] == {}


def test_an_older_event_changes_nothing_and_a_later_one_moves_to_the_end() -> None:
    found = sightings()
    found.note("update", "d1", 5 * HOUR)
    found.note("update", "d2", 6 * HOUR)
    found.note("update", "d1", HOUR)
    assert found.last["update"] == {"d1": 5 * HOUR, "d2": 6 * HOUR}
    found.note("update", "d1", 9 * HOUR)
    assert list(found.last["update"].items()) == [("d2", 6 * HOUR), ("d1", 9 * HOUR)]


def test_lately_allows_for_the_hour_in_which_a_time_is_not_noted_again() -> None:
    found = sightings()
    found.note("update", "d1", 0)
    assert found.lately("update", "d1", LATELY_MS + HOUR)
    assert not found.lately("update", "d1", LATELY_MS + HOUR + 1)
    assert found.lately("update", "d1", 10 * DAY, 10 * DAY)
    assert not found.lately("update", "d2", 0)


def test_a_copy_goes_on_where_the_original_was() -> None:
    found = sightings()
    found.watch_since(DAY)
    found.watch_since(5 * DAY)
    found.note("update", "d1", 2 * DAY)
    packed = msgspec.msgpack.encode(found.state())
    again = sightings()
    table = again.last["update"]
    again.restore(msgspec.msgpack.decode(packed, type=SightingsState))
    assert again.state() == found.state()
    assert again.last["update"] is table, "generated code holds the table"
    assert (again.since, again.seen_at_all("update")) == (DAY, True)


def test_a_kind_that_is_new_in_a_copy_is_watched_from_then() -> None:
    found = sightings()
    found.watch_since(DAY)
    found.note("update", "d1", 2 * DAY)
    more = Sightings()
    more.need("update", 0, DAY)
    more.need("posture", 0, DAY)
    more.restore(found.state())
    assert more.since_of(("update",)) == DAY
    assert more.since_of(("update", "posture")) == 2 * DAY
    again = Sightings()
    again.need("posture", 0, DAY)
    again.restore(more.state())
    assert again.since_of(("posture",)) == 2 * DAY
