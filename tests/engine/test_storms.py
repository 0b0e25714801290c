"""A source that goes silent is one alert, not one for each of its devices (engine/storms.py)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

import dsl
import engine
from engine import clocks, deadlines
from engine.reload.transfer import transfer
from engine.state import parts
from engine.storms import LEAST

MINUTE = 60_000


@pytest.fixture(params=["at once", "in portions"], autouse=True)
def steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """In what steps devices are judged: a storm is the same storm either way."""
    found: str = request.param
    if found == "in portions":
        monkeypatch.setattr(clocks, "MOST_AT_ONCE", 3)
        monkeypatch.setattr(deadlines, "MOST_AT_ONCE", 3)
    return found


RULES = """
EVENT heartbeat GRACE 1m { app: string? }
EVENT flow { host: string? }
RULE dark { WHEN heartbeat THEN NO heartbeat FOR 15m }
"""


class Fleet:
    """A matcher and devices that send heartbeats; ``said`` holds all alerts."""

    def __init__(
        self, size: int, rules: str = RULES, renewed: Callable[[engine.Matcher], engine.Matcher] | None = None
    ) -> None:
        self.matcher = engine.Matcher(dsl.load_text(rules))
        self._renewed = renewed
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
        now = int(minute * MINUTE)
        self._advance(now)
        while self.matcher.debt.waiting:
            now += 1
            self._advance(now)

    def _advance(self, now: int) -> None:
        if self._renewed is not None:
            self.matcher = self._renewed(self.matcher)
        self.said += self.matcher.advance(now)

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


def test_a_storm_whose_source_was_heard_long_enough_ends_with_the_input() -> None:
    fleet = Fleet(100)
    fleet.beat(0)
    fleet.wall_in_steps(1, 60)
    for minute in (61, 70):
        fleet.beat(minute, fleet.names[:70])
    fleet.said += fleet.matcher.close()
    assert [alert.activity for alert in fleet.of_source] == ["create", "close"]
    assert fleet.of_source[1].fields == {"heard": 70, "silent": 30}
    assert set(fleet.of_devices) >= set(fleet.names[70:])


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


def spread(fleet: Fleet, minute: float, every: float = 5.0, names: list[str] | None = None) -> None:
    """Heartbeats of some minutes, of one device after another."""
    names = fleet.names if names is None else names
    for name in names:
        fleet.beat(minute + every * fleet.names.index(name) / len(fleet.names), [name])


def test_devices_that_send_one_after_another_fall_silent_as_one() -> None:
    fleet = Fleet(200)
    for minute in (0, 5, 10):
        spread(fleet, minute)
    for tenth in range(150, 600):
        fleet.wall(tenth / 10)
    assert fleet.of_devices == []
    (alert,) = fleet.of_source
    # It is said when a tenth are known to be silent, not when all are.
    assert 20 < int(str(alert.fields["silent"])) < 40
    assert alert.fields["waiting"] == 200
    back = fleet.names[:190]
    for minute in (60, 65, 70, 75, 80):
        spread(fleet, minute, names=back)
    assert [one.activity for one in fleet.of_source] == ["create", "close"]
    assert fleet.of_source[1].fields == {"heard": 190, "silent": 10}
    fleet.wall(85)
    assert sorted(fleet.of_devices) == fleet.names[190:]


def test_while_others_are_heard_a_device_is_said_at_its_time() -> None:
    fleet = Fleet(200)
    alive = fleet.names[5:]
    spread(fleet, 0)
    for minute in (5, 10):
        spread(fleet, minute, names=alive)
    # Heartbeats a minute late move the clock of their type to GRACE before them.
    spread(fleet, 15, 1.5, alive)
    assert fleet.of_source == []
    assert sorted(fleet.of_devices) == fleet.names[:5]


def few_before_many() -> Fleet:
    """Twenty devices were heard last at minute 0, and the 280 others at minute 7."""
    fleet = Fleet(300)
    fleet.beat(0)
    fleet.beat(7, fleet.names[20:])
    fleet.wall(15.9)
    assert fleet.said == []
    fleet.wall(16.1)
    assert fleet.said == []
    return fleet


def test_what_is_held_for_a_storm_that_does_not_come_is_said_after_a_tenth_of_the_absence() -> None:
    fleet = few_before_many()
    fleet.wall(17.4)
    assert fleet.said == []
    fleet.wall(17.6)
    assert sorted(fleet.of_devices) == fleet.names[:20]
    assert fleet.of_source == []
    # Then the others, and they are a storm.
    fleet.wall(23.1)
    assert len(fleet.of_devices) == 20
    assert [alert.fields["silent"] for alert in fleet.of_source] == [280]


def test_what_is_held_is_said_as_soon_as_anybody_is_heard() -> None:
    fleet = few_before_many()
    fleet.beat(16.2, [fleet.names[50]])
    fleet.wall(16.3)
    assert sorted(fleet.of_devices) == fleet.names[:20]
    assert fleet.of_source == []


def test_what_is_held_is_said_at_the_end_of_input() -> None:
    fleet = few_before_many()
    fleet.said += fleet.matcher.close(17 * MINUTE)
    assert sorted(fleet.of_devices) == fleet.names[:20]
    fleet.said += fleet.matcher.close()
    assert sorted(fleet.of_devices) == fleet.names
    assert fleet.of_source == []


MIDDLE = """
EVENT lock { app: string? }
EVENT unlock { }
EVENT pin { }
RULE slow { WHEN lock THEN NO unlock FOR 5m THEN pin WITHIN 10m }
RULE dark { WHEN lock THEN NO unlock FOR 5m }
"""


def test_a_silence_in_the_middle_that_a_storm_holds_is_said_when_that_ends() -> None:
    fleet = Fleet(100, MIDDLE)

    def send(kind: str, minute: float, names: list[str]) -> None:
        fleet.wall(minute)
        for name in names:
            event = {"kind": kind, "device": name, "time": int(minute * MINUTE)}
            fleet.said += fleet.matcher.feed_json(msgspec.json.encode(event))

    send("unlock", 0, fleet.names[:1])
    send("lock", 1, fleet.names)
    send("pin", 7, fleet.names)
    for minute in range(8, 30):
        fleet.wall(minute)
    assert fleet.of_devices == []
    assert {alert.rule.name for alert in fleet.of_source} == {"slow", "dark"}
    for minute in range(30, 50):
        send("unlock", minute, fleet.names[:50])
    fleet.wall(60)
    assert (
        sorted(alert.device for alert in fleet.said if alert.device and alert.rule.name == "dark")
        == (fleet.names[50:])
    )
    assert [alert.activity for alert in fleet.of_source if alert.rule.name == "slow"] == ["create", "close"]
    assert (
        sorted(alert.device for alert in fleet.said if alert.device and alert.rule.name == "slow")[-50:]
        == (fleet.names[50:])
    )


def test_a_step_never_judges_more_than_its_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = 0
    judge = engine.matcher.RuleRuntime.judge

    def counted(*args: object) -> None:
        nonlocal judged
        judged += 1
        judge(*args)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(engine.matcher.RuleRuntime, "judge", counted)
    fleet = Fleet(3_000)
    fleet.beat(0)
    most = calls = 0
    now = 60 * MINUTE
    while not calls or fleet.matcher.debt.waiting:
        judged, calls, now = 0, calls + 1, now + 1
        fleet.said += fleet.matcher.advance(now)
        most = max(most, judged)
    assert [alert.fields["silent"] for alert in fleet.said] == [3_000]
    assert calls > 100
    assert most <= 128
    # Events go on meanwhile and help to pay: of a device whose turn has not come, too.
    for minute in range(70, 90, 3):
        for name in fleet.names[:2_900]:
            judged = 0
            event = {"kind": "heartbeat", "device": name, "time": minute * MINUTE}
            fleet.said += fleet.matcher.feed_json(msgspec.json.encode(event))
            most = max(most, judged)
    assert most <= 128
    fleet.said += fleet.matcher.catch_up()
    assert [alert.activity for alert in fleet.of_source] == ["create", "close"]
    assert sorted(fleet.of_devices) == fleet.names[2_900:]


def from_snapshot(matcher: engine.Matcher) -> engine.Matcher:
    found = engine.Matcher(dsl.load_text(RULES))
    found.restore(matcher.snapshot())
    return found


def from_parts(matcher: engine.Matcher) -> engine.Matcher:
    found, cut = engine.Matcher(dsl.load_text(RULES)), parts.cut(matcher)
    packed = []
    while some := cut.pack(100):
        packed += some
    parts.restore(found, cut.shared, [(key, part) for key, part in packed if part is not None])
    # The next cut has everything, as here nothing else is kept.
    found.changes.note_all()
    return found


def over_a_reload(matcher: engine.Matcher) -> engine.Matcher:
    found = engine.Matcher(dsl.load_text("EVENT new { }\nRULE before { WHEN new }\n" + RULES))
    transfer(matcher, found, {"dark"})
    return found


def a_day(renewed: Callable[[engine.Matcher], engine.Matcher] | None = None) -> list[bytes]:
    """Sudden and slow storms, what is no storm, and a few devices that are silent for good."""
    fleet = Fleet(60, renewed=renewed)
    fleet.beat(0)
    spread(fleet, 5)
    fleet.wall(22)
    for minute in (30, 34, 38, 42, 46):
        fleet.beat(minute, fleet.names[:50])
    fleet.wall(100)
    spread(fleet, 101, names=fleet.names[20:58])
    spread(fleet, 106, names=fleet.names[20:58])
    spread(fleet, 111, names=fleet.names[20:58])
    fleet.beat(130, fleet.names[7:8])
    fleet.wall(160)
    return [engine.encode(alert) for alert in fleet.said]


@pytest.mark.parametrize("renewed", [from_snapshot, from_parts, over_a_reload])
def test_a_storm_goes_on_after_any_step(
    renewed: Callable[[engine.Matcher], engine.Matcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "COST", 40)
    whole = a_day()
    assert len(whole) > 6
    assert sorted(a_day(renewed)) == sorted(whole)
