"""App Privacy Reports: accesses, and summaries of contacts."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.sources import Refused, app_privacy

REPORT = Path(__file__).parent / "data" / "app_privacy_report.ndjson"
STREAM = "com.apple.privacy.accounting.stream."


def access(**changes: Any) -> bytes:
    row = {
        "type": "access",
        "accessor": {"identifier": "com.acme.chat", "identifierType": "bundleID"},
        "category": "microphone",
        "kind": "intervalBegin",
        "identifier": "A-1",
        "timeStamp": "2026-04-27T10:53:24.555-04:00",
    }
    return json.dumps({name: value for name, value in (row | changes).items() if value != "absent"}).encode()


def network(**changes: Any) -> bytes:
    row = {
        "type": "networkActivity",
        "bundleID": "com.acme.chat",
        "domain": "CDN.acme.example.",
        "hits": 7,
        "firstTimeStamp": "2026-04-27T10:00:00.000-04:00",
        "timeStamp": "2026-04-27T11:00:00.000-04:00",
    }
    return json.dumps({name: value for name, value in (row | changes).items() if value != "absent"}).encode()


def test_an_access_row() -> None:
    (event,) = app_privacy.parse(access(), "phone-1")
    assert len(event.pop("id")) == 32
    assert event == {
        "kind": "app.access",
        "device": "phone-1",
        "time": 1777301604555,
        "source": "ios.app_privacy",
        "quality": "exact",
        "attribution": "app",
        "app": "com.acme.chat",
        "resource": "mic",
        "phase": "begin",
        "access_id": "A-1",
    }


def test_an_access_without_length_begins_and_ends() -> None:
    events = app_privacy.parse(access(kind="event"), "phone-1")
    assert [event["phase"] for event in events] == ["begin", "end"]
    assert events[0]["time"] == events[1]["time"]
    assert events[0]["id"] != events[1]["id"]


@pytest.mark.parametrize(
    ("changes", "resource"),
    [
        ({"category": "location"}, "location"),
        ({"category": "mediaLibrary"}, "media_library"),
        ({"stream": STREAM + "tcc", "tccService": "kTCCServiceMicrophone"}, "mic"),
        ({"stream": STREAM + "tcc", "tccService": "kTCCServiceAddressBook"}, "contacts"),
        ({"stream": STREAM + "location"}, "location"),
        ({"stream": STREAM + "replay-kit"}, "replay_kit"),
    ],
)
def test_names_of_resources(changes: dict[str, str], resource: str) -> None:
    older = {"type": "absent", "category": "absent"} if "stream" in changes else {}
    (event,) = app_privacy.parse(access(**older, **changes), "phone-1")
    assert event["resource"] == resource


def test_older_rows_spell_the_time_differently() -> None:
    line = access(timeStamp="absent", timestamp="2026-04-27T10:53:24.555-04:00")
    assert app_privacy.parse(line, "phone-1") == app_privacy.parse(access(), "phone-1")


def test_a_process_that_is_no_app_is_not_called_one() -> None:
    accessor = {"identifier": "/usr/libexec/x", "identifierType": "path"}
    (event,) = app_privacy.parse(access(accessor=accessor), "p")
    assert (event["process"], event["attribution"], "app" in event) == ("/usr/libexec/x", "device", False)


def test_a_network_row_is_two_events_at_the_two_times_it_knows() -> None:
    first, last = app_privacy.parse(network(), "phone-1")
    assert first.pop("id") != last.pop("id")
    assert last == {
        "kind": "net.flow",
        "device": "phone-1",
        "time": 1777302000000,
        "source": "ios.app_privacy",
        "quality": "first_last",
        "attribution": "app",
        "app": "com.acme.chat",
        "host": "cdn.acme.example",
        "domain": "acme.example",
        "hits": 7,
    }
    assert first == last | {"time": 1777298400000}


@pytest.mark.parametrize("first", ["2026-04-27T11:00:00.000-04:00", "absent"])
def test_a_network_row_that_knows_one_time_is_one_event(first: str) -> None:
    assert len(app_privacy.parse(network(firstTimeStamp=first), "phone-1")) == 1


def test_exports_that_overlap_agree_on_ids_and_phones_do_not() -> None:
    later = network(timeStamp="2026-04-28T11:00:00.000-04:00", hits=9)
    assert app_privacy.parse(network(), "p")[0]["id"] == app_privacy.parse(later, "p")[0]["id"]
    assert app_privacy.parse(network(), "p")[1]["id"] != app_privacy.parse(later, "p")[1]["id"]
    assert app_privacy.parse(network(), "p")[0]["id"] != app_privacy.parse(network(), "q")[0]["id"]
    one, other = network(bundleID="com.a", domain="b.example"), network(bundleID="com.ab", domain=".example")
    assert app_privacy.parse(one, "p")[0]["id"] != app_privacy.parse(other, "p")[0]["id"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (access(accessor=None), "missing_field"),
        (access(accessor={}), "missing_field"),
        (access(category="absent"), "missing_field"),
        (access(timeStamp="absent"), "missing_field"),
        (access(timeStamp="2026-04-27"), "bad_time"),
        (access(timeStamp=1777301604), "wrong_type"),
        (access(kind="paused"), "unsupported_row"),
        (access(kind=None), "unsupported_row"),
        (access(type="weather"), "unsupported_row"),
        (access(type=None), "unsupported_row"),
        (network(domain=""), "missing_field"),
        (network(hits=-1), "wrong_type"),
        (network(hits=2**63), "wrong_type"),
        (network(hits="7"), "wrong_type"),
        (network(firstTimeStamp="2026-04-28T10:00:00.000-04:00"), "bad_time"),
        (b"[]", "wrong_type"),
        (access()[:-5], "malformed_json"),
    ],
)
def test_a_bad_row_is_refused(line: bytes, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        app_privacy.parse(line, "phone-1")
    assert refused.value.reason == reason


def test_without_a_device_the_report_is_refused_once(read_bytes: Callable) -> None:
    for source in (None, "ios.app_privacy"):
        records, refusals = read_bytes(access() + b"\n" + network() + b"\n", "report", source)
        assert records == []
        assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("report", "missing_device")]
        assert "--device" in refusals[0].detail
    with pytest.raises(Refused):
        app_privacy.parse(access(), "")


def test_a_real_report(read_bytes: Callable) -> None:
    records, refusals = read_bytes(REPORT.read_bytes(), "report", device="phone-1")
    assert refusals == []
    kinds = Counter((record.event["kind"], record.event.get("phase")) for record in records)
    # 64 network rows; 35 of them name one moment only.
    assert kinds == {("app.access", "begin"): 4, ("app.access", "end"): 4, ("net.flow", None): 93}
    assert len({record.event["id"] for record in records}) == len(records)
    assert {record.event["resource"] for record in records if "resource" in record.event} == {
        "photos",
        "location",
        "contacts",
    }
