"""Messages too large, too deep or of too many parts: one dead letter each, and the next is processed."""

from __future__ import annotations

import msgspec
import pytest

import dsl
from engine.service.limits import ALWAYS_LOOKED_AT, is_overfull, too_dense
from engine.service.matching import MatchingProcessor
from engine.service.processor import Outgoing
from engine.service.subjects import LARGEST_DEAD_LETTER

RULES = """
EVENT flow { app: string }
EVENT crash { app: string }
RULE flow then crash { BY device, app WHEN flow THEN crash WITHIN 10m SEVERITY high }
"""
NOW_MS = 1_772_438_400_000
MILLION = 1_000_000


@pytest.fixture
def processor() -> MatchingProcessor:
    return MatchingProcessor(dsl.load_text(RULES))


def process(processor: MatchingProcessor, payload: bytes) -> list[Outgoing]:
    return processor.process(payload, None, 1, "EVENTS", "events.x", NOW_MS)


def event(kind: str, device: str = "d", **more: object) -> bytes:
    return msgspec.json.encode({"kind": kind, "device": device, "app": "a", "time": NOW_MS, **more})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (event("flow", "x" * 10 * MILLION), "wrong_type"),
        (b"\xff" * 10 * MILLION, "malformed_json"),
        (b" " * 10 * MILLION, "malformed_json"),
        (b'{"kind":"flow","app":"' + b"x" * 10 * MILLION, "malformed_json"),
        (b"[" * 100_000, "nested_too_deep"),
        (b'{"kind":"flow","device":"d","time":1,"app":"a","x":' + b"[" * 100_000, "nested_too_deep"),
        (b'{"kind":"flow","x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "nested_too_deep"),
        (b"[" + b",".join([b"1"] * MILLION) + b"]", "too_many_events"),
        (b"[" + b",".join([b"{}"] * MILLION) + b"]", "too_many_events"),
        (b"\n".join([b"1"] * MILLION), "too_many_events"),
        (b"[" + b",".join([b"1"] * 5_000) + b"]", "too_many_events"),
        (b"\n" * MILLION, "too_many_events"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:12].decode("latin-1"),
)
def test_one_dead_letter_and_the_service_goes_on(
    processor: MatchingProcessor, payload: bytes, reason: str
) -> None:
    letters = process(processor, payload)
    assert [letter.subject for letter in letters] == [f"dlq.thenwire.{reason}"]
    assert letters[0].payload == payload[:LARGEST_DEAD_LETTER]
    assert process(processor, event("flow")) == []
    assert len(process(processor, event("crash"))) == 1


def test_a_bad_batch_of_usual_size_keeps_a_letter_for_each_event(processor: MatchingProcessor) -> None:
    payload = b"[" + b",".join([b"1"] * ALWAYS_LOOKED_AT) + b"]"
    assert len(process(processor, payload)) == ALWAYS_LOOKED_AT


def test_real_batches_are_not_too_dense(processor: MatchingProcessor) -> None:
    smallest = b'{"kind":"a","device":"b","time":1}'
    for count in (1_001, 20_000):
        assert not too_dense(count, len(b"[" + b",".join([smallest] * count) + b"]"))
    many = b"[" + b",".join([event("flow")] * 10_000) + b"]"
    assert not is_overfull(many)
    assert process(processor, many) == []
    assert processor.events == 10_000
    # Many commas inside of events are not many events.
    wide = b"[" + b",".join([event("flow", x=[1] * 1_000)] * 300) + b"]"
    assert not is_overfull(wide)


def test_an_event_that_is_large_but_right_is_processed(processor: MatchingProcessor) -> None:
    assert process(processor, event("flow", unread="x" * 8 * MILLION)) == []
    assert len(process(processor, event("crash"))) == 1
