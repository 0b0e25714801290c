"""Canonical events pass through as they are."""

from collections.abc import Callable

import pytest

from engine.sources import ndjson


def test_a_line_is_the_event_even_of_an_unknown_kind(read_bytes: Callable) -> None:
    line = b'{"kind":"my.own","device":"d1","time":1,"n":1.5,"tags":["a"]}\n'
    records, refusals = read_bytes(line, "in.ndjson")
    assert refusals == []
    assert records[0].event == {"kind": "my.own", "device": "d1", "time": 1, "n": 1.5, "tags": ["a"]}
    assert records[0].origin == "in.ndjson:1"


def test_null_is_a_missing_value() -> None:
    assert ndjson.parse(b'{"kind":"x","app":null,"port":0}') == [{"kind": "x", "port": 0}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"kind": "x"', "malformed_json"),
        (b'{"kind": "x"} {}', "malformed_json"),
        (b"kind=x", "malformed_json"),
        (b'{"a": NaN}', "malformed_json"),
        (b'{"a": "\\ud800"}', "malformed_json"),
        (b"[]", "wrong_type"),
        (b"17", "wrong_type"),
        (b'{"a": 1e999}', "wrong_type"),
        (b'{"a": ' + b"9" * 5000 + b"}", "wrong_type"),
        (b'{"a": "\xff"}', "not_utf8"),
        (b'{"a": "\0"}', "nul_bytes"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too_deep"),
        (b"[" * 100_000, "too_deep"),
    ],
)
def test_one_bad_line_costs_one_refusal(read_bytes: Callable, line: bytes, reason: str) -> None:
    good = b'{"kind":"x"}\n'
    records, refusals = read_bytes(good + line + b"\n" + good, "in", "ndjson")
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("in:2", reason)]
    assert [record.origin for record in records] == ["in:1", "in:3"]


def test_a_device_from_outside_does_not_replace_that_of_an_event(read_bytes: Callable) -> None:
    records, _ = read_bytes(b'{"kind":"x","device":"own"}\n', device="other")
    assert records[0].event["device"] == "own"
