"""The campaign in its short form: killed at random points, and the stream with bad events."""

import asyncio
from pathlib import Path

from bad_stream import run_bad_stream
from campaign import Plan, run_short


def test_kills_at_random_points_lose_nothing_and_double_nothing(binary: Path, tmp_path: Path) -> None:
    outcome = run_short(Plan(service_kills=4, server_kills=1, both_kills=1), tmp_path, binary)
    found = outcome.found
    assert found.wrong == [], found.alerts.examples + found.letters.examples
    # Otherwise nothing was shown.
    assert found.alerts.expected > 100
    assert found.letters.expected > 5
    assert found.late > 0
    assert found.ticks > 0
    assert sum(found.reloads.values()) >= 3, found.reloads


def test_rules_that_are_filled_before_they_come_into_force_survive_kills_too(
    binary: Path, tmp_path: Path
) -> None:
    """What they were filled with is made again from the stream."""
    plan = Plan(service_kills=4, server_kills=1, both_kills=0, warm="10s", seed=3)
    found = run_short(plan, tmp_path, binary).found
    assert found.wrong == [], found.alerts.examples + found.letters.examples
    assert found.alerts.expected > 100
    assert found.fates["filled"] >= 2, found.fates


def test_the_state_in_a_bucket_survives_kills_too(binary: Path, tmp_path: Path) -> None:
    plan = Plan(service_kills=3, server_kills=1, both_kills=0, state="kv:STATE", seed=2)
    found = run_short(plan, tmp_path, binary).found
    assert found.wrong == [], found.alerts.examples + found.letters.examples
    assert found.alerts.expected > 100
    assert sum(found.reloads.values()) >= 2, found.reloads


def test_of_twenty_thousand_events_the_good_are_processed_and_the_bad_are_dead_letters(
    binary: Path, tmp_path: Path
) -> None:
    outcome = asyncio.run(run_bad_stream(20_000, tmp_path, binary))
    assert outcome.wrong == []
    assert set(outcome.bad) == {
        *("malformed_json", "wrong_type", "missing_field", "bad_time", "bad_ip", "future_time"),
        *("nested_too_deep", "not_an_object", "too_many_events"),
    }
    assert outcome.alerts.expected > 20
