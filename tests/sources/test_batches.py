"""Arrays of events, as log shippers send them."""

import json
import tracemalloc
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import GOOD
from test_lines import Pieces

import dsl
from engine.events import BadEvent, EventDecoder
from engine.sources import Refusal, fluent_bit
from engine.sources.json_elements import elements
from engine.sources.lines import Input

EVENT = {"kind": "net.flow", "device": "d1", "bytes_out": 5}


def without(event: dict[str, Any]) -> dict[str, Any]:
    """What is left when the place is taken away, and with it the ids that are hashes of a line."""
    return event | {"raw_ref": "", "id": ""}


def split(data: bytes, limit: int = 1000) -> list[tuple[str, bytes] | tuple[str, str]]:
    answers = elements(Input(BytesIO(data)), "in", limit)
    return [(answer.origin, answer.reason) if isinstance(answer, Refusal) else answer for answer in answers]


def test_the_forms_of_fluent_bit(read_bytes: Callable) -> None:
    records, refusals = read_bytes(GOOD["fluent_bit"], "batch")
    assert refusals == []
    assert [(record.origin, record.event["time"]) for record in records] == [
        ("batch:1[0]", 1772442000250),
        ("batch:1[1]", 7),
        ("batch:2[0]", 1772442002500),
        ("batch:2[1]", 1500),
    ]
    assert records[3].event["source"] == "zeek.conn"


@pytest.mark.parametrize("name", [name for name in GOOD if name.split()[0] in ("suricata.eve", "mdm", "mtd")])
def test_lines_of_other_formats_may_be_shipped(read_bytes: Callable, name: str) -> None:
    lines = [json.loads(line) for line in GOOD[name].splitlines()]
    expected, _ = read_bytes(GOOD[name], "x")
    for batch in ([[1.5, line] for line in lines], [[1.5, {"log": json.dumps(line)}] for line in lines]):
        records, refusals = read_bytes(json.dumps(batch).encode(), "x", device=None)
        assert refusals == []
        ignored = {"raw_ref": "", "id": ""}
        assert [record.event | ignored for record in records] == [
            record.event | ignored for record in expected
        ]


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ([1.5, {"log": "not json"}], "unsupported_row"),
        ([1.5, {"log": 5, "message": "{}"}], "unsupported_row"),
        ([1.5, {}], "unsupported_row"),
        ([1.5], "wrong_type"),
        ([1.5, 2], "wrong_type"),
        (["soon", EVENT], "wrong_type"),
        ([[], EVENT], "wrong_type"),
        ([-5, EVENT], "bad_time"),
        (5, "wrong_type"),
        ("x", "wrong_type"),
    ],
)
def test_a_bad_element_costs_itself(read_bytes: Callable, element: Any, reason: str) -> None:
    data = json.dumps([[1.5, EVENT], element, [2.5, EVENT]]).encode()
    records, refusals = read_bytes(data, "b", "fluent_bit")
    assert [record.event["time"] for record in records] == [1500, 2500]
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("b:1[1]", reason)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[1, 2]", [("in:1[0]", b"1"), ("in:1[1]", b"2")]),
        (b'[\n  {"a": [1, "]"]},\n  2\n]\n', [("in:2[0]", b'{"a": [1, "]"]}'), ("in:3[1]", b"2")]),
        (b'["\\"],", "\\\\"]', [("in:1[0]", b'"\\"],"'), ("in:1[1]", b'"\\\\"')]),
        (b"[1]\n[2]", [("in:1[0]", b"1"), ("in:2[0]", b"2")]),
        (b"[]", [("in", "empty_file")]),
        (b" \n", [("in", "empty_file")]),
        (b"[1", [("in:1[0]", "truncated")]),
        (b"1 [2] 3", [("in:1", "malformed_json"), ("in:1[0]", b"2"), ("in:1", "malformed_json")]),
        (b'["open\n[1]', [("in:1[0]", "malformed_json"), ("in:2[0]", b"1")]),
    ],
)
def test_where_elements_begin_and_end(data: bytes, expected: list[Any]) -> None:
    assert split(data) == expected


def test_an_element_that_is_too_long_is_skipped() -> None:
    assert split(b"[1, " + b"x" * 1001 + b", 2]") == [
        ("in:1[0]", b"1"),
        ("in:1[1]", "line_too_long"),
        ("in:1[2]", b"2"),
    ]


def test_a_long_array_is_not_held() -> None:
    def much() -> Iterator[bytes]:
        yield b"["
        for _ in range(400):
            yield b'{"kind": "x", "device": "d", "time": 1},' * 100
        yield b"{}]"

    tracemalloc.start()
    count = sum(1 for _ in elements(Input(cast(BinaryIO, Pieces(much()))), "in"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 40_001
    assert peak < 4 * 1024 * 1024


def test_a_huge_element_is_skipped_without_being_held() -> None:
    def much() -> Iterator[bytes]:
        yield b"[1, "
        for _ in range(400):
            yield b"x" * 65536
        yield b", 2]"

    tracemalloc.start()
    answers = list(elements(Input(cast(BinaryIO, Pieces(much()))), "in"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [isinstance(answer, Refusal) for answer in answers] == [False, True, False]
    assert peak < 6 * 1024 * 1024


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=3),
    st.sampled_from([None, 0, 2]),
    st.integers(min_value=1, max_value=40),
)
@settings(deadline=None)
def test_every_element_of_every_array_comes_out(
    arrays: list[list[Any]], indent: int | None, size: int
) -> None:
    data = "\n".join(json.dumps(array, indent=indent) for array in arrays).encode()
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    found = list(elements(Input(cast(BinaryIO, Pieces(pieces))), "in"))
    decoded = [json.loads(answer[1]) for answer in found if not isinstance(answer, Refusal)]
    assert decoded == [value for array in arrays for value in array]
    assert len(decoded) == len(found)


def test_the_service_takes_the_envelope_too() -> None:
    events = dsl.load([Path(__file__).resolve().parents[2] / "rules" / "mobile"]).events
    decoder = EventDecoder(events, {"net.flow": frozenset({"bytes_out"})})
    batch = [[1772442000.25, EVENT], [[1.5, {}], EVENT | {"time": 7}], EVENT | {"time": 8}, [1, 2], [5, {}]]
    found = decoder.decode_payload(json.dumps(batch).encode())
    assert [getattr(event, "time", None) for event in found[:3]] == [1772442000250, 7, 8]
    assert [event.reason for event in found[3:] if isinstance(event, BadEvent)] == [
        "wrong_type",
        "missing_field",
    ]


def test_a_record_without_fields_gets_no_time() -> None:
    assert fluent_bit.with_time(b"{ }", 5) == b"{ }"
    assert json.loads(fluent_bit.with_time(b'{"a":1}', 5)) == {"time": 5, "a": 1}
    assert fluent_bit.with_time(b'{"time":1}', 5) == b'{"time":1}'
