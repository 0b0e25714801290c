"""Changes from device management, findings of threat defence, timelines and packet lists."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from samples import MDM, MTD, MVT_CSV, MVT_ROWS

from engine.sources import Refused, mdm, mtd, mvt
from engine.sources import ndjson as canonical

TIME = 1772442000000
CHANGE = {"type": "mdm.change", "device": "phone-1", "time": TIME, "item": "passcode.is-present"}
FINDING = {"type": "mtd.threat", "device": "phone-1", "time": TIME, "name": "Jailbreak"}


def change(**fields: Any) -> dict[str, Any]:
    (event,) = mdm.parse(json.dumps(CHANGE | fields).encode())
    event.pop("id")
    return event


def test_changes_of_every_sort(read_bytes: Callable) -> None:
    records, refusals = read_bytes(MDM, "mdm")
    assert refusals == []
    events = [dict(record.event) for record in records]
    assert len({event.pop("id") for event in events}) == 4
    common = {"device": "phone-1", "time": TIME, "source": "mdm", "quality": "exact", "attribution": "device"}
    assert events == [
        common
        | {
            "kind": "device.config",
            "item": "os_version",
            "from": "18.6",
            "to": "18.6.1",
            "source": "mdm.acme",
        }
        | {"raw_ref": "mdm:1"},
        common
        | {"kind": "device.posture", "item": "passcode.is-compliant", "from": "true", "to": "false"}
        | {"compliant": False, "os": "ios", "supervised": True, "raw_ref": "mdm:2"},
        common
        | {"kind": "app.lifecycle", "app": "com.acme.chat", "phase": "update", "attribution": "app"}
        | {"from_version": "4.1", "app_version": "4.2", "actor": "mdm", "managed": True, "raw_ref": "mdm:3"},
        common | {"kind": "sensor.health", "sensor": "mdm.check-in", "status": "ok", "raw_ref": "mdm:4"},
    ]


@pytest.mark.parametrize(("item", "expected"), mdm.ITEMS.items())
def test_status_items_have_short_names(item: str, expected: str) -> None:
    assert change(item=item, to="x")["item"] == expected


def test_an_item_that_is_not_known_is_not_lost() -> None:
    event = change(item="something.new", to=7)
    assert (event["kind"], event["item"], event["to"], "from" in event) == (
        "device.config",
        "something.new",
        "7",
        False,
    )


@pytest.mark.parametrize(
    ("before", "after", "phase"), [(None, "1", "install"), ("1", None, "remove"), ("1", "2", "update")]
)
def test_phases_of_apps(before: str | None, after: str | None, phase: str) -> None:
    fields = {"item": "app.managed.list", "app": "a.b", "from": before, "to": after}
    (event,) = mdm.parse(json.dumps(CHANGE | fields).encode())
    assert event["phase"] == phase


def test_risk_and_compromise() -> None:
    assert change(item="risk", to="high")["risk"] == "high"
    assert change(item="compromised", to=True)["compromised"] is True
    assert change(item="attested", to=False)["attested"] is False


def test_the_same_line_twice_is_the_same_change() -> None:
    line = json.dumps(CHANGE).encode()
    assert mdm.parse(line) == mdm.parse(line + b" ")
    assert mdm.parse(line)[0]["id"] != mdm.parse(json.dumps(CHANGE | {"to": 1}).encode())[0]["id"]
    assert mdm.parse(json.dumps(CHANGE | {"id": "x"}).encode())[0]["id"] == "x"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"device": None}, "missing_device"),
        ({"time": None}, "missing_field"),
        ({"time": "2026-03-02"}, "bad_time"),
        ({"time": -1}, "bad_time"),
        ({"time": 1.5}, "wrong_type"),
        ({"item": None}, "missing_field"),
        ({"actor": "ghost"}, "wrong_type"),
        ({"to": [1]}, "wrong_type"),
        ({"item": "compromised", "to": "yes"}, "wrong_type"),
        ({"item": "risk", "to": "huge"}, "wrong_type"),
        ({"item": "risk", "to": ["high"]}, "wrong_type"),
        ({"item": "app", "to": "1"}, "missing_field"),
        ({"item": "app", "app": "a.b"}, "missing_field"),
    ],
)
def test_a_bad_change_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        mdm.parse(json.dumps(CHANGE | fields).encode())
    assert refused.value.reason == reason


def test_findings(read_bytes: Callable) -> None:
    records, refusals = read_bytes(MTD, "mtd")
    assert refusals == []
    events = [dict(record.event) for record in records]
    threat, posture, site = events
    common = {
        "device": "phone-1",
        "time": TIME,
        "source": "mtd.acme",
        "quality": "exact",
        "attribution": "device",
    }
    assert threat == common | {
        "kind": "mtd.threat", "id": "t1", "name": "Jailbreak", "category": "device", "level": "critical",
        "vendor": "acme", "raw_ref": "mtd:1",
    }  # fmt: skip
    assert posture == common | {
        "kind": "device.posture", "id": "t1:posture", "item": "Jailbreak", "compromised": True, "os": "ios",
        "raw_ref": "mtd:1",
    }  # fmt: skip
    assert (site["host"], site["ip"], site["level"], site["source"]) == (
        "bad.example",
        "198.51.100.9",
        "medium",
        "mtd",
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"device": ""}, "missing_device"),
        ({"name": None}, "missing_field"),
        ({"time": None}, "missing_field"),
        ({"severity": "purple"}, "wrong_type"),
        ({"category": "weather"}, "wrong_type"),
        ({"risk": "huge"}, "wrong_type"),
        ({"ip": "x"}, "wrong_type"),
        ({"compromised": "yes"}, "wrong_type"),
    ],
)
def test_a_bad_finding_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        mtd.parse(json.dumps(FINDING | fields).encode())
    assert refused.value.reason == reason


def test_a_timeline(read_bytes: Callable) -> None:
    records, refusals = read_bytes(MVT_CSV, "timeline.csv", device="phone-1")
    assert refusals == []
    first, live, message = (dict(record.event) for record in records)
    assert len({event.pop("id") for event in (first, live, message)}) == 3
    common = {"device": "phone-1", "source": "mvt.timeline"}
    assert first == common | {
        "kind": "net.flow", "time": TIME + 123, "quality": "first_last", "attribution": "app",
        "app": "com.acme.chat", "process": "chat", "raw_ref": "timeline.csv:2",
    }  # fmt: skip
    assert live == common | {
        "kind": "net.flow", "time": TIME + 1000, "quality": "first_last", "attribution": "device",
        "process": "BackupAgent", "bytes_in": 0, "bytes_out": 25, "raw_ref": "timeline.csv:3",
    }  # fmt: skip
    assert message == common | {
        "kind": "forensic.trace", "time": TIME + 2000, "quality": "exact", "attribution": "device",
        "module": "SMS", "event": "sms_received", "text": 'of two\nlines, with "quotes"',
        "raw_ref": "timeline.csv:4",
    }  # fmt: skip


def test_all_forms_of_a_timeline_say_the_same(read_bytes: Callable) -> None:
    forms = [
        json.dumps(MVT_ROWS).encode(),
        json.dumps(MVT_ROWS, indent=4).encode(),
        b"\n".join(json.dumps(row).encode() for row in MVT_ROWS),
        b"UTC Timestamp,Plugin,Event,Description\n"
        + b"".join(",".join(row.values()).encode() + b"\n" for row in MVT_ROWS),
    ]
    found = []
    for form in forms:
        records, refusals = read_bytes(form, device="d")
        assert refusals == []
        found.append([{**record.event, "raw_ref": ""} for record in records])
    assert found == [found[0]] * 4
    assert [event["module"] for event in found[0]] == ["Manifest", "LocationdClients"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b",Datausage,first_usage,x", "missing_field"),
        (b"soon,Datausage,first_usage,x", "bad_time"),
        (b"2026-03-02 09:00:00,SMS,x", "wrong_column_count"),
        (b"2026-03-02 09:00:00,SMS,x,\xff", "not_utf8"),
        (b'2026-03-02 09:00:00,SMS,x,"a"b', "malformed_line"),
        (b'2026-03-02 09:00:00,SMS,x,"open', "truncated"),
    ],
)
def test_a_bad_row_of_a_timeline(read_bytes: Callable, row: bytes, reason: str) -> None:
    _, refusals = read_bytes(MVT_CSV + row + b"\r\n", "t", device="d")
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("t:6", reason)]


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(read_bytes: Callable) -> None:
    data = MVT_CSV + b'2026-03-02 09:00:00,SMS,x,"open\n' + b"and so on for ever\n" * 120_000
    records, refusals = read_bytes(data, "t", device="d")
    assert len(records) == 3
    # One row was swallowed up to the bound; the lines behind it are no rows.
    assert len(refusals) > 1
    assert {refusal.reason for refusal in refusals} == {"malformed_line", "wrong_column_count"}


def test_a_timeline_without_its_columns_or_device(read_bytes: Callable) -> None:
    _, refusals = read_bytes(b"a,b,c,d\n1,2,3,4\n", "t", "mvt.timeline", "d")
    assert [refusal.reason for refusal in refusals] == ["missing_field"]
    _, refusals = read_bytes(MVT_CSV, "t")
    assert [refusal.reason for refusal in refusals] == ["missing_device"]
    with pytest.raises(Refused):
        mvt.parse(b"{}", "")
    assert canonical.SOURCE not in mvt.SOURCE


PACKETS = b"No.,Time,Source,Destination,Protocol,Length,Type\n"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (b"1,0.5,10.0.0.7,198.51.100.9,TCP,60,out", ("10.0.0.7", "198.51.100.9", "bytes_out", "unknown")),
        (b"1,0.5,198.51.100.9,10.0.0.7,TCP,60,out", ("198.51.100.9", "10.0.0.7", "bytes_out", "unknown")),
        (b"1,0.5,198.51.100.9,10.0.0.7,TCP,60,in", ("10.0.0.7", "198.51.100.9", "bytes_in", "unknown")),
        (b"1,0.5,198.51.100.9,10.0.0.7,TLSv1.2,60,", ("10.0.0.7", "198.51.100.9", "bytes_in", "tlsv1.2")),
        (b"1,0.5,10.0.0.7,10.0.0.1,DNS,60,", ("10.0.0.7", "10.0.0.1", "bytes_out", "dns")),
        (
            b"1,0.5,198.51.100.1,198.51.100.9,UDP,60,",
            ("198.51.100.1", "198.51.100.9", "bytes_out", "unknown"),
        ),
    ],
)
def test_packets(read_bytes: Callable, row: bytes, expected: tuple[str, str, str, str]) -> None:
    (record,), refusals = read_bytes(PACKETS + row)
    assert refusals == []
    event = record.event
    device, ip, field, service = expected
    assert (event["device"], event["ip"], event[field], event["service"], event["time"]) == (
        device, ip, 60, service, 500,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,,10.0.0.7,198.51.100.9,TCP,60,out", "missing_field"),
        (b"1,soon,10.0.0.7,198.51.100.9,TCP,60,out", "wrong_type"),
        (b"1,-1,10.0.0.7,198.51.100.9,TCP,60,out", "bad_time"),
        (b"1,0.5,aa:bb,198.51.100.9,ARP,60,out", "wrong_type"),
        (b"1,0.5,10.0.0.7,198.51.100.9,TCP,many,out", "wrong_type"),
    ],
)
def test_a_bad_packet_is_refused(read_bytes: Callable, row: bytes, reason: str) -> None:
    _, refusals = read_bytes(PACKETS + row, "p")
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("p:2", reason)]


def test_a_packet_list_with_absolute_times(read_bytes: Callable) -> None:
    (record,), _ = read_bytes(PACKETS + b"1,2026-03-02 09:00:00.5+0000,10.0.0.7,198.51.100.9,TCP,60,")
    assert record.event["time"] == TIME + 500
