"""A source that goes silent is one alert, not one for each of its devices (engine/storms.py)."""

from __future__ import annotations

import msgspec

import dsl
import engine
from engine.storms import LEAST

MINUTE = 60_000
RULES = """
EVENT heartbeat GRACE 1m { app: string? }
EVENT flow { host: string? }
RULE dark { WHEN heartbeat THEN NO heartbeat FOR 15m }
"""


class Fleet:
    """A matcher and devices that send heartbeats; ``said`` holds all alerts."""

    def __init__(self, size: int, rules: str = RULES) -> None:
        self.matcher = engine.Matcher(dsl.load_text(rules))
        assert not self.matcher.diagnostics
        self.names = [f"d{number:03d}" for number in range(size)]
        self.said: list[engine.Alert] = []

    def beat(self, minute: float, names: list[str] | None = None) -> None:
        """Heartbeats at a minute; the wall clock stands there."""
        time = int(minute * MINUTE)
        self.wall(minute)
        for name in self.names if names is None else names:
            event = {"kind": "heartbeat", "device": name, "time": time}
            self.said += self.matcher.feed_json(msgspec.json.encode(event))

    def wall(self, minute: float) -> None:
        self.said += self.matcher.advance(int(minute * MINUTE))

    def wall_in_steps(self, since: int, until: int) -> None:
        for minute in range(since, until + 1):
            self.wall(minute)

    @property
    def of_devices(self) -> list[str]:
        return [alert.device for alert in self.said if alert.device and alert.activity == "create"]

    @property
    def of_source(self) -> list[engine.Alert]:
        return [alert for alert in self.said if not alert.device]


def test_a_silent_source_is_one_alert() -> None:
    fleet = Fleet(100)
    for minute in range(0, 60, 5):
        fleet.beat(minute)
    fleet.wall_in_steps(56, 120)
    assert fleet.of_devices == []
    (alert,) = fleet.of_source
    assert alert.fields["silent"] == alert.fields["waiting"] == 100
    assert "d000" in str(alert.fields["devices"])
    assert "heartbeat" in alert.title + alert.reason
    assert alert.rule.name == "dark"


def test_devices_heard_again_are_not_said_and_the_others_are() -> None:
    fleet = Fleet(100)
    fleet.beat(0)
    fleet.wall_in_steps(1, 60)
    back = fleet.names[:70]
    for minute in range(61, 80, 5):
        fleet.beat(minute, back)
    fleet.beat(90, back)
    opened, closed = fleet.of_source
    assert (opened.activity, closed.activity, closed.revision) == ("create", "close", 2)
    assert opened.id == closed.id
    assert closed.fields == {"heard": 70, "silent": 30}
    assert sorted(fleet.of_devices) == fleet.names[70:]


def test_a_source_that_dies_again_at_once_lets_nothing_out() -> None:
    fleet = Fleet(100)
    fleet.beat(0)
    fleet.wall_in_steps(1, 60)
    fleet.beat(61, fleet.names[:1])
    fleet.wall_in_steps(62, 300)
    assert fleet.of_devices == []
    assert [alert.activity for alert in fleet.of_source] == ["create"]


def test_late_heartbeats_explain_the_silence_after_all() -> None:
    fleet = Fleet(100)
    fleet.beat(0)
    fleet.wall_in_steps(1, 60)
    fleet.wall(70)
    for minute in range(5, 95, 5):
        for name in fleet.names:
            event = {"kind": "heartbeat", "device": name, "time": minute * MINUTE}
            fleet.said += fleet.matcher.feed_json(msgspec.json.encode(event))
    assert fleet.of_devices == []
    assert [alert.activity for alert in fleet.of_source] == ["create", "close"]
    assert fleet.of_source[1].fields["silent"] == 0


def test_a_few_devices_are_no_storm() -> None:
    fleet = Fleet(LEAST - 1)
    fleet.beat(0)
    fleet.wall(60)
    assert sorted(fleet.of_devices) == fleet.names
    assert fleet.of_source == []


def test_a_tenth_of_the_fleet_is_no_storm() -> None:
    fleet = Fleet(300)
    dead, alive = fleet.names[:30], fleet.names[30:]
    fleet.beat(0)
    for minute in range(5, 40, 5):
        fleet.beat(minute, alive)
    assert sorted(fleet.of_devices) == dead
    assert fleet.of_source == []


def test_more_than_a_tenth_is_one() -> None:
    fleet = Fleet(300)
    alive = fleet.names[31:]
    fleet.beat(0)
    for minute in range(5, 25, 5):
        fleet.beat(minute, alive)
    assert fleet.of_devices == []
    (alert,) = fleet.of_source
    assert (alert.fields["silent"], alert.fields["waiting"]) == (31, 300)
    for minute in range(25, 60, 5):
        fleet.beat(minute, alive)
    # The source was heard all the time: its devices had their chance and are said.
    assert sorted(fleet.of_devices) == fleet.names[:31]


def test_the_end_of_input_is_no_storm() -> None:
    fleet = Fleet(100)
    fleet.beat(0)
    fleet.said += fleet.matcher.close()
    assert sorted(fleet.of_devices) == fleet.names


def test_what_a_storm_has_spent_stays_spent_after_a_late_event() -> None:
    fleet = Fleet(100, RULES.replace("heartbeat THEN NO", "heartbeat [app EXISTS] THEN NO"))
    for name in fleet.names:
        event = {"kind": "heartbeat", "device": name, "time": 0, "app": "x"}
        fleet.said += fleet.matcher.feed_json(msgspec.json.encode(event))
    fleet.wall_in_steps(1, 60)
    for minute in (61, 70, 80, 90):
        fleet.beat(minute)
    assert [alert.activity for alert in fleet.of_source] == ["create", "close"]
    # Late, and it explains nothing: the silence it might begin was spoken for.
    event = {"kind": "heartbeat", "device": "d007", "time": 30 * MINUTE, "app": "x"}
    fleet.said += fleet.matcher.feed_json(msgspec.json.encode(event))
    fleet.wall_in_steps(91, 100)
    assert fleet.of_devices in ([], ["d007"])


def test_a_storm_is_told_the_same_way_twice() -> None:
    def run() -> list[bytes]:
        fleet = Fleet(50)
        fleet.beat(0)
        fleet.wall_in_steps(1, 60)
        for minute in (61, 70, 80, 90):
            fleet.beat(minute, fleet.names[:20])
        return [engine.encode(alert) for alert in fleet.said]

    assert run() == run()
