"""Suricata's EVE log: five event types, and the rest refused row by row."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from samples import EVE_ALERT, EVE_ANOMALY, EVE_ANSWER, EVE_FLOW, EVE_QUERY, EVE_TLS

from engine.sources import Refused, eve

COMMON = {
    "device": "10.0.0.7",
    "source": "suricata.eve",
    "quality": "exact",
    "attribution": "ip",
    "client_ip": "10.0.0.7",
}
LOGGED = 1772438405000


def parse(row: dict[str, Any], device: str | None = None) -> dict[str, Any]:
    (event,) = eve.parse(json.dumps(row).encode(), device)
    return event


def test_a_flow_begins_where_it_began_and_not_when_it_was_logged() -> None:
    assert parse(EVE_FLOW) == COMMON | {
        "kind": "net.flow",
        "time": 1772438400000,
        "client_mac": "08:00:07:f8:3d:02",
        "id": "77:2026-03-02T09:00:00.000000+0100",
        "ip": "198.51.100.9",
        "internal": False,
        "port": 443,
        "transport": "tcp",
        "service": "tls",
        "bytes_out": 4096,
        "bytes_in": 812,
        "state": "closed",
        "duration_ms": 4500,
    }


@pytest.mark.parametrize("app_proto", [None, "failed"])
def test_a_protocol_that_was_not_recognised_is_unknown(app_proto: str | None) -> None:
    assert parse(EVE_FLOW | {"app_proto": app_proto})["service"] == "unknown"


def test_icmp_has_no_port() -> None:
    event = parse(EVE_FLOW | {"proto": "IPv6-ICMP", "dest_port": 0})
    assert (event["transport"], "port" in event) == ("icmp", False)


def test_a_question_and_its_answer_are_two_events() -> None:
    question, answer = parse(EVE_QUERY), parse(EVE_ANSWER)
    assert question.pop("id") != answer.pop("id")
    assert question == COMMON | {
        "kind": "net.dns",
        "time": LOGGED,
        "host": "www.example.com",
        "domain": "example.com",
        "query_type": "A",
    }
    assert answer == question | {"response_code": "NOERROR", "answers": ["198.51.100.9"]}


def test_a_handshake() -> None:
    event = parse(EVE_TLS)
    assert event.pop("id")
    assert event == COMMON | {
        "kind": "net.tls",
        "time": LOGGED,
        "host": "files.example.com",
        "domain": "example.com",
        "ip": "198.51.100.9",
        "port": 443,
        "version": "TLS 1.3",
        "issuer": "CN=Example CA",
        "next_protocol": "h2",
        "ja3": "aa",
        "ja4": "t13d",
    }


def test_a_violation_of_a_protocol() -> None:
    event = parse(EVE_ANOMALY)
    assert event.pop("id")
    assert event == COMMON | {
        "kind": "net.anomaly",
        "time": LOGGED,
        "name": "APPLAYER_WRONG_DIRECTION_FIRST_DATA",
        "category": "applayer",
        "service": "http",
        "ip": "198.51.100.9",
        "internal": False,
        "port": 443,
        "transport": "tcp",
    }


def test_an_alert_on_an_answer_is_about_the_side_inside() -> None:
    event = parse(EVE_ALERT)
    assert event.pop("id")
    assert event == COMMON | {
        "kind": "mtd.threat",
        "time": LOGGED,
        "name": "TEST bad answer",
        "category": "network",
        "level": "high",
        "vendor": "Suricata",
        "ip": "198.51.100.9",
    }


@pytest.mark.parametrize(
    ("severity", "level"), [(1, "high"), (2, "medium"), (3, "low"), (4, "info"), (255, "info")]
)
def test_severities(severity: int, level: str) -> None:
    assert parse(EVE_ALERT | {"alert": {"signature": "x", "severity": severity}})["level"] == level


def test_two_sides_inside_leave_the_source_as_the_device() -> None:
    event = parse(EVE_ALERT | {"src_ip": "10.0.0.9"})
    assert (event["device"], event["ip"]) == ("10.0.0.9", "10.0.0.7")


def test_a_named_device_is_no_address() -> None:
    event = parse(EVE_FLOW, "phone-1")
    assert (event["device"], event["attribution"], event["client_ip"]) == ("phone-1", "device", "10.0.0.7")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (EVE_FLOW | {"event_type": "stats"}, "unsupported_row"),
        (EVE_FLOW | {"event_type": None}, "missing_field"),
        (EVE_FLOW | {"src_ip": None}, "missing_field"),
        (EVE_FLOW | {"src_ip": "phone"}, "wrong_type"),
        (EVE_FLOW | {"dest_port": 70_000}, "wrong_type"),
        (EVE_FLOW | {"flow": None}, "missing_field"),
        (EVE_FLOW | {"flow": {}}, "missing_field"),
        (EVE_FLOW | {"flow": 5}, "wrong_type"),
        (EVE_FLOW | {"flow": EVE_FLOW["flow"] | {"bytes_toserver": -1}}, "wrong_type"),
        (EVE_FLOW | {"flow": EVE_FLOW["flow"] | {"end": "2026-03-02T07:00:00Z"}}, "bad_time"),
        (EVE_QUERY | {"dns": {"type": "query", "id": 1}}, "missing_field"),
        (EVE_QUERY | {"timestamp": "2026-03-02T09:00:00"}, "bad_time"),
        (EVE_ALERT | {"alert": {"severity": 1}}, "missing_field"),
        (EVE_ANOMALY | {"anomaly": {}}, "missing_field"),
    ],
)
def test_a_bad_row_is_refused(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(row)
    assert refused.value.reason == reason


def test_rows_that_are_not_read_do_not_stop_the_others(read_bytes: Callable) -> None:
    rows = [EVE_FLOW, EVE_FLOW | {"event_type": "http"}, EVE_TLS]
    records, refusals = read_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows), "eve.json")
    assert [record.origin for record in records] == ["eve.json:1", "eve.json:3"]
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("eve.json:2", "unsupported_row")]
