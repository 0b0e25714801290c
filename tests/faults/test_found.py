"""What the campaign has found in the engine, in its smallest form."""

import msgspec
from workload import RULES

import dsl
from engine import Matcher


def test_an_alert_that_can_change_no_more_is_not_created_again() -> None:
    """A late event has the events around it run again; a silence that was reported long before must not come
    back with the id and the revision that it had.
    """
    matcher = Matcher(dsl.load_text(RULES.read_text()))
    seen = set()
    beats = [(7_320, 7_242, "sensor0"), (17_140, 16_870, "sensor1"), (18_040, 15_566, "sensor1")]
    for position, (arrives, time, sensor) in enumerate(beats):
        event = {"kind": "sensor.beat", "device": "d", "time": time, "sensor": sensor}
        for alert in [
            *matcher.advance(arrives),
            *matcher.feed_json(msgspec.json.encode(event), position << 20),
        ]:
            assert (alert.id, alert.revision) not in seen, alert.reason
            seen.add((alert.id, alert.revision))
    assert seen
