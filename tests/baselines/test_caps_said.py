"""A baseline whose keys are dropped at a cap says so."""

import msgspec

import dsl
import engine
from engine.baselines.rows import MAX_INNER

RULES = """
EVENT net flow { app: string  bytes_out: int }
BASELINE egress = bytes_out OF net flow BY device, app EVERY 5m USING robust
RULE odd { WHEN net flow [deviation(egress) >= 4] }
"""


def test_a_device_with_too_many_apps_is_said() -> None:
    matcher = engine.Matcher(dsl.load_text(RULES))
    for number in range(MAX_INNER + 3):
        event = {"kind": "net.flow", "device": "d1", "time": number, "app": f"a{number}", "bytes_out": 1}
        matcher.feed_json(msgspec.json.encode(event))
    (warning,) = matcher.cap_warnings()
    assert (warning.of, warning.rule, warning.count) == ("baseline", "egress", 3)
    assert str(warning).startswith("baseline egress: 3 keys dropped")
    assert matcher.cap_warnings() == []
