"""Streams are created when allowed, else checked, and never altered."""

from typing import Any

import pytest
from nats.js.api import RetentionPolicy, StreamConfig

from engine.service.errors import ServiceError
from engine.service.settings import Settings
from engine.service.streams import ensure_streams, plan_streams, subject_covers, verify_stream

INPUT, ALERTS, _ = plan_streams(Settings())


@pytest.mark.parametrize(
    ("pattern", "subject", "covers"),
    [
        ("events.>", "events.>", True),
        ("events.>", "events.a.*", True),
        (">", "events.>", True),
        ("events.*", "events.>", False),
        ("events.*", "events.a", True),
        ("events.*.x", "events.*.x", True),
        ("events.a", "events.*", False),
        ("events.>", "events", False),
        ("events", "events.a", False),
        ("events.a.b", "events.a", False),
        ("other.>", "events.>", False),
    ],
)
def test_whether_a_pattern_covers_a_subject(pattern: str, subject: str, covers: bool) -> None:
    assert subject_covers(pattern, subject) is covers


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"retention": RetentionPolicy.WORK_QUEUE}, "workqueue retention"),
        ({"retention": "interest"}, "interest retention"),
        ({"no_ack": True}, "no_ack"),
        ({"subjects": ["alerts.high.>"]}, "does not take in alerts.>"),
        ({"subjects": None}, "its subjects are none"),
        ({"duplicate_window": 120}, "duplicate window of 120 s"),
    ],
)
def test_an_existing_stream_that_does_not_fit_is_a_sentence(changes: dict[str, Any], words: str) -> None:
    fitting = {"subjects": ["alerts.>"], "retention": RetentionPolicy.LIMITS, "duplicate_window": 7200}
    verify_stream(ALERTS, StreamConfig(**fitting))
    with pytest.raises(ServiceError, match=words):
        verify_stream(ALERTS, StreamConfig(**{**fitting, **changes}))


def test_the_input_may_be_a_mirror_and_its_duplicate_window_is_the_producers_affair() -> None:
    from nats.js.api import StreamSource

    verify_stream(INPUT, StreamConfig(mirror=StreamSource(name="X"), duplicate_window=1))


def test_missing_streams_are_created_or_named(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            jetstream = client.jetstream()
            with pytest.raises(ServiceError, match=r"no stream EVENTS .* manage_streams is off"):
                await ensure_streams(jetstream, tools.settings(server, manage_streams=False))
            await ensure_streams(jetstream, tools.settings(server))
            created = (await jetstream.stream_info("ALERTS")).config
            assert created.subjects == ["alerts.>"]
            assert created.duplicate_window == 7200
            assert created.retention == "limits"
            # Once more: what it made itself must fit.
            await ensure_streams(jetstream, tools.settings(server, manage_streams=False))

    tools.with_server(scenario)


def test_a_stream_of_others_is_refused_as_it_is(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            jetstream = client.jetstream()
            await jetstream.add_stream(name="ALERTS", subjects=["alerts.>"], duplicate_window=60)
            with pytest.raises(ServiceError, match="duplicate window of 60 s"):
                await ensure_streams(jetstream, tools.settings(server))
            await jetstream.delete_stream("ALERTS")
            await jetstream.add_stream(name="OTHER", subjects=["alerts.high.>"])
            with pytest.raises(ServiceError, match="ALERTS could not be created: subjects overlap"):
                await ensure_streams(jetstream, tools.settings(server))

    tools.with_server(scenario)
