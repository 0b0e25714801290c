"""Bad events: each is refused with its reason and its bytes, and takes nothing good with it."""

from pathlib import Path
from random import Random

import bad_events
import msgspec
import pytest
from workload import RULES

import dsl
from engine.service.matching import MatchingProcessor
from engine.service.processor import Outgoing

NOW_MS = 1_790_000_000_000
GOOD = {"kind": "net.flow", "device": "d", "time": NOW_MS, "app": "a", "bytes_out": 3, "id": "x"}
FORMS = {"single": None, "array": None, "lines": "application/x-ndjson", "lines unsaid": None}


@pytest.fixture(scope="module")
def rules() -> dsl.RuleSet:
    return dsl.load_text(Path(RULES).read_text())


def _process(processor: MatchingProcessor, payload: bytes, content_type: str | None = None) -> list[Outgoing]:
    return processor.process(payload, content_type, 7, "EVENTS", "events.x", NOW_MS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [*bad_events.MAKERS, *bad_events.PAIRS])
def test_each_kind_of_bad_has_its_reason_and_its_bytes_and_spoils_no_neighbour(
    rules: dsl.RuleSet, name: str, form: str
) -> None:
    if form == "array" and name not in bad_events.IN_ARRAY:
        pytest.skip("it makes the whole array unreadable: see the test below")
    if form != "array" and name in bad_events.PAIRS:
        pytest.skip("it would be an array itself")
    random = Random(name)
    for _ in range(10):
        processor = MatchingProcessor(rules)
        raw, reason = bad_events.make(name, GOOD, NOW_MS, random)
        good = msgspec.json.encode(GOOD)
        payload = {
            "single": raw,
            "array": b"[" + b",".join([good, raw, good]) + b"]",
            "lines": b"\n".join([good, raw, good]),
            "lines unsaid": b"\n".join([good, raw, good]),
        }[form]
        (letter,) = _process(processor, payload, FORMS[form])
        assert letter.subject == f"dlq.thenwire.{reason}"
        assert letter.headers["Error-Reason"] == reason
        assert letter.headers["Origin-Index"] == ("0" if form == "single" else "1")
        assert letter.payload == raw[:65_536]
        assert processor.events == (0 if form == "single" else 2)
        assert processor.dead_letters == {reason: 1}


@pytest.mark.parametrize("name", bad_events.WHOLE)
def test_a_message_that_is_bad_as_a_whole_is_one_dead_letter(rules: dsl.RuleSet, name: str) -> None:
    random = Random(name)
    for _ in range(10):
        processor = MatchingProcessor(rules)
        raw, reason = bad_events.make(name, GOOD, NOW_MS, random)
        (letter,) = _process(processor, raw)
        assert (letter.subject, letter.payload) == (f"dlq.thenwire.{reason}", raw[:65_536])
        assert processor.events == 0
        assert processor.dead_letters == {reason: 1}


def test_an_array_that_is_no_json_is_one_dead_letter_with_all_of_it(rules: dsl.RuleSet) -> None:
    processor = MatchingProcessor(rules)
    payload = b"[" + msgspec.json.encode(GOOD) + b",{]"
    (letter,) = _process(processor, payload)
    assert (letter.subject, letter.payload) == ("dlq.thenwire.malformed_json", payload)
    assert processor.events == 0


@pytest.mark.parametrize("form", ["array", "lines"])
def test_a_message_of_many_bad_events_makes_no_more_bytes_than_it_has(rules: dsl.RuleSet, form: str) -> None:
    """Each dead letter holds its own event: not the whole message."""
    processor = MatchingProcessor(rules)
    events = [
        msgspec.json.encode(GOOD | ({"time": NOW_MS + 10**9} if number % 2 else {"ip": "nowhere"}))
        for number in range(2_000)
    ]
    payload = b"[" + b",".join(events) + b"]" if form == "array" else b"\n".join(events)
    letters = _process(processor, payload)
    assert [letter.payload for letter in letters] == events


def test_beyond_ten_thousand_bad_events_of_a_message_have_one_dead_letter(rules: dsl.RuleSet) -> None:
    """All are looked at and counted, and the good ones among them processed."""
    processor = MatchingProcessor(rules)
    bad = [b'{"kind":"net.flow","device":5  }'] * 10_003 + [msgspec.json.encode(GOOD | {"time": "?"})] * 4
    foreign = msgspec.json.encode(GOOD | {"kind": "nobody"})
    payload = b"[" + b",".join([*bad, foreign, msgspec.json.encode(GOOD)]) + b"]"
    *letters, last = _process(processor, payload)
    assert [letter.headers["Origin-Index"] for letter in letters] == [str(n) for n in range(10_000)]
    assert (last.subject, last.payload) == ("dlq.thenwire.too_many_bad", payload[:65_536])
    assert last.headers["Error-Detail"].endswith("with letters: 4 bad_time, 3 wrong_type")
    assert (processor.dead_letters, processor.events) == ({"wrong_type": 10_003, "bad_time": 4}, 1)
    assert (processor.unknown, processor.unread) == ({"nobody": 1}, 0)


def test_an_object_over_several_lines_is_kept_whole(rules: dsl.RuleSet) -> None:
    processor = MatchingProcessor(rules)
    payload = msgspec.json.format(msgspec.json.encode(GOOD | {"time": NOW_MS + 10**9}))
    assert payload.count(b"\n") > 3
    (letter,) = _process(processor, payload)
    assert letter.payload == payload


def test_an_unknown_kind_is_counted_and_no_dead_letter(rules: dsl.RuleSet) -> None:
    processor = MatchingProcessor(rules)
    assert _process(processor, msgspec.json.encode(GOOD | {"kind": "nobody"})) == []
    assert processor.unknown == {"nobody": 1}


def test_an_event_without_a_kind_is_a_dead_letter(rules: dsl.RuleSet) -> None:
    processor = MatchingProcessor(rules)
    wire = {name: value for name, value in GOOD.items() if name != "kind"}
    (letter,) = _process(processor, msgspec.json.encode(wire))
    assert letter.subject == "dlq.thenwire.missing_field"
