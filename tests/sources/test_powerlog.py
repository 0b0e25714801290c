"""Power logs: bytes of processes in intervals, states of apps, and a clock that must be corrected."""

import json
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sources import REASONS, Record, Refusal, Refused, powerlog
from engine.sources.lines import Input

OFFSET = {"table": powerlog.OFFSETS, "ID": 1, "timestamp": 1635848600.25, "system": -411.5}
USAGE = {
    "table": powerlog.USAGE,
    "ID": 1806,
    "timestamp": 1635848665.6520019,
    "timestampEnd": 1635848982.834258,
    "BundleName": "com.acme.chat",
    "ProcessName": "com.acme.chat",
    "WifiIn": 200,
    "WifiOut": 30,
    "CellIn": 7,
    "CellOut": 5,
}
STATE = {
    "table": powerlog.STATES,
    "ID": 4161,
    "timestamp": 1635848665.5,
    "Identifier": "com.acme.chat",
    "pid": 308,
    "State": 8,
    "Reason": 0,
}


def document(*rows: dict[str, Any] | bytes) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def read(data: bytes, device: str | None = "ipad") -> list[Record | Refusal]:
    return list(powerlog.read(Input(BytesIO(data)), "log", device))


def reasons(data: bytes, device: str | None = "ipad") -> list[str]:
    return [answer.reason for answer in read(data, device) if isinstance(answer, Refusal)]


def test_an_interval_ends_at_its_time_and_is_corrected_by_the_offset() -> None:
    (record,) = read(document(USAGE, OFFSET))
    assert isinstance(record, Record)
    assert record.origin == "log:1"
    assert len(record.event.pop("id")) == 32
    assert record.event == {
        "kind": "net.flow",
        "device": "ipad",
        "time": 1635848571334,
        "start": 1635848254152,
        "source": "ios.powerlog",
        "quality": "interval",
        "attribution": "app",
        "app": "com.acme.chat",
        "process": "com.acme.chat",
        "bytes_out": 35,
        "bytes_in": 207,
        "raw_ref": "log:1",
    }


def test_a_process_without_a_bundle_is_no_app() -> None:
    (event,) = powerlog.parse(document(OFFSET, USAGE | {"BundleName": None, "ProcessName": "apsd"}), "ipad")
    assert (event["process"], event["attribution"], "app" in event) == ("apsd", "device", False)


def test_bytes_that_were_not_counted_are_absent_and_not_zero() -> None:
    (event,) = powerlog.parse(document(OFFSET, USAGE | {"WifiOut": None, "CellOut": None}), "ipad")
    assert "bytes_out" not in event
    (event,) = powerlog.parse(document(OFFSET, USAGE | {"WifiOut": None}), "ipad")
    assert event["bytes_out"] == 5


@pytest.mark.parametrize(("state", "phase"), powerlog.PHASES.items())
def test_states_of_apps(state: int, phase: str) -> None:
    (event,) = powerlog.parse(document(OFFSET, STATE | {"State": state}), "ipad")
    assert len(event.pop("id")) == 32
    assert event == {
        "kind": "app.lifecycle",
        "device": "ipad",
        "time": 1635848254000,
        "source": "ios.powerlog",
        "quality": "exact",
        "attribution": "app",
        "app": "com.acme.chat",
        "phase": phase,
    }


def test_the_offset_in_force_is_the_last_before_the_time_and_the_first_before_all() -> None:
    later = OFFSET | {"timestamp": 1635848700.0, "system": 10}
    before = STATE | {"timestamp": 1635848000.0}
    between = STATE | {"timestamp": 1635848699.999}
    at = STATE | {"timestamp": 1635848700.0}
    events = powerlog.parse(document(before, between, at, later, OFFSET), "ipad")
    assert [event["time"] for event in events] == [1635847588500, 1635848288499, 1635848710000]


def test_ids_differ_by_row_and_device_and_agree_between_exports() -> None:
    def one(row: dict[str, Any], device: str) -> str:
        return str(powerlog.parse(document(OFFSET, row), device)[0]["id"])

    assert one(STATE, "a") == one(STATE | {"Reason": 1}, "a")
    assert len({one(STATE, "a"), one(STATE, "b"), one(STATE | {"ID": 2}, "a"), one(USAGE, "a")}) == 4


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (USAGE | {"timestamp": None}, "missing_field"),
        (USAGE | {"timestampEnd": "soon"}, "wrong_type"),
        (USAGE | {"timestampEnd": 1635848665.0}, "bad_time"),
        (USAGE | {"timestampEnd": 1e14}, "bad_time"),
        (USAGE | {"timestamp": 100.0}, "bad_time"),
        (USAGE | {"BundleName": None, "ProcessName": None}, "missing_field"),
        (USAGE | {"WifiOut": -1}, "wrong_type"),
        (USAGE | {"WifiOut": 2**63 - 1}, "wrong_type"),
        (USAGE | {"WifiOut": "12"}, "wrong_type"),
        (STATE | {"State": 3}, "unsupported_row"),
        (STATE | {"State": None}, "unsupported_row"),
        (STATE | {"Identifier": ""}, "missing_field"),
        (STATE | {"table": "PLBatteryAgent"}, "unsupported_row"),
        (STATE | {"table": None}, "wrong_type"),
        (OFFSET | {"system": None}, "missing_field"),
        (OFFSET | {"system": "slow"}, "wrong_type"),
        (b'{"table": "%s", "timestamp": 1e999999999}' % powerlog.STATES.encode(), "missing_field"),
        (b'{"table": "%s", "system": 1, "timestamp": 1e99999}' % powerlog.OFFSETS.encode(), "wrong_type"),
        (b"[]", "wrong_type"),
        (b'{"table": ', "malformed_json"),
        (b"\0", "nul_bytes"),
    ],
)
def test_a_bad_row_is_refused_and_the_others_are_read(row: dict[str, Any] | bytes, reason: str) -> None:
    answers = read(document(OFFSET, row, STATE))
    assert [getattr(answer, "reason", "read") for answer in answers] == [reason, "read"]
    assert answers[0].origin == "log:2"
    if reason != "nul_bytes":  # `lines` finds these, which `parse` does not use
        with pytest.raises(Refused) as refused:
            powerlog.parse(document(OFFSET, row), "ipad")
        assert refused.value.reason == reason


def test_a_log_is_refused_once_where_its_times_or_its_device_cannot_be_known() -> None:
    assert reasons(document(USAGE, STATE)) == ["missing_field"]
    assert reasons(document(OFFSET, USAGE, STATE), None) == ["missing_device"]
    assert reasons(document(OFFSET, USAGE, STATE), "") == ["missing_device"]
    assert reasons(b"") == ["empty_file"]
    for data, device in ((document(USAGE), "ipad"), (document(OFFSET, USAGE), "")):
        with pytest.raises(Refused):
            powerlog.parse(data, device)


@pytest.mark.parametrize("line", [b"{}", b"[]", json.dumps(STATE).encode()])
def test_a_log_that_is_too_large_is_refused_before_it_is_held(
    line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(powerlog, "MAX_DOCUMENT_BYTES", 2000)
    assert reasons(document(OFFSET, *[line] * 5)) != ["document_too_large"]
    assert reasons(document(OFFSET, *[line] * 50)) == ["document_too_large"]


@given(
    st.binary(max_size=60), st.integers(min_value=0, max_value=700), st.integers(min_value=0, max_value=40)
)
@settings(deadline=None)
def test_a_damaged_log_gives_records_or_refusals(junk: bytes, at: int, cut: int) -> None:
    data = document(OFFSET, USAGE, STATE)
    for answer in read(data[:at] + junk + data[at + cut :]):
        if isinstance(answer, Refusal):
            assert answer.reason in REASONS
        else:
            assert isinstance(answer.event["time"], int)
            assert None not in answer.event.values()


def test_the_real_log(real_file: Callable[[str], Path]) -> None:
    path = real_file("ios/powerlog/powerlog_part1_before_2021-11-02T1200.ndjson")
    answers = read(path.read_bytes())
    kinds = Counter(
        answer.event["kind"] if isinstance(answer, Record) else answer.reason for answer in answers
    )
    # 1,240 rows: 3 are offsets, and 4 of the 7 tables are not read.
    assert kinds == {"net.flow": 119, "app.lifecycle": 129, "unsupported_row": 989}
    events = [answer.event for answer in answers if isinstance(answer, Record)]
    assert len({event["id"] for event in events}) == len(events)
    assert sum("app" in event for event in events if event["kind"] == "net.flow") == 30
