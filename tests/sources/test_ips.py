"""Apple's diagnostic reports in their layouts. All reports here are synthetic."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from engine.sources import Refused, ips

HEADER = {
    "app_name": "Chat",
    "timestamp": "2026-01-06 15:09:27.00 +0200",
    "app_version": "4.2",
    "bundleID": "com.acme.chat",
    "is_first_party": 0,
    "bug_type": "309",
    "os_version": "iPhone OS 18.6 (22G86)",
    "incident_id": "INCIDENT-1",
    "name": "Chat",
}
BODY: dict[str, Any] = {
    "captureTime": "2026-01-06 15:09:22.6192 +0200",
    "incident": "INCIDENT-1",
    "crashReporterKey": "key-1",
    "procName": "Chat",
    "procRole": "Foreground",
    "bundleInfo": {"CFBundleIdentifier": "com.acme.chat", "CFBundleShortVersionString": "4.2"},
    "exception": {
        "codes": "0x0000000000000001, 0x0000000000000000",
        "type": "EXC_BAD_ACCESS",
        "signal": "SIGSEGV",
        "subtype": "KERN_INVALID_ADDRESS at 0x0000000000000000",
    },
    "termination": {"flags": 0, "code": 11, "namespace": "SIGNAL", "indicator": "Segmentation fault: 11"},
    "threads": [{"frames": [{"imageOffset": 1}]}],
}
EVENT = {
    "kind": "app.exit",
    "device": "key-1",
    "time": 1767704962619,
    "id": "INCIDENT-1",
    "source": "ios.ips",
    "quality": "exact",
    "attribution": "app",
    "app": "com.acme.chat",
    "process": "Chat",
    "app_version": "4.2",
    "os_version": "iPhone OS 18.6 (22G86)",
    "first_party": False,
    "role": "Foreground",
    "exception": "EXC_BAD_ACCESS",
    "signal": "SIGSEGV",
    "subtype": "KERN_INVALID_ADDRESS at 0x0000000000000000",
    "namespace": "SIGNAL",
    "code": "0xb",
    "class": "memory_violation",
}
TEXT = """Incident Identifier: INCIDENT-2
CrashReporter Key:   key-2
Hardware Model:      iPhone11,8
Process:             Chat [692]
Path:                /private/var/containers/Bundle/Chat.app/Chat
Identifier:          com.acme.chat
Version:             77 (4.2)
Role:                Background
Parent Process:      launchd [1]

Date/Time:           2021-10-22 00:14:53.0749 +0300
Launch Time:         2021-10-21 06:37:27.4735 +0300

Exception Type:  EXC_CRASH (SIGKILL)
Exception Codes: 0x0000000000000000, 0x0000000000000000
Termination Reason: Namespace SPRINGBOARD, Code 0x8badf00d
Triggered by Thread:  0

Application Specific Information:
Exception Type:  EXC_BAD_ACCESS (SIGSEGV)

Thread 0 name:  Dispatch queue: com.apple.main-thread
Thread 0:
0   libsystem_kernel.dylib        	0x00000001c3df54fc 0x1c3df1000 + 17660
Role:  Foreground
"""


def report(header: dict[str, Any] | None = None, body: dict[str, Any] | str | None = None) -> bytes:
    first = {name: value for name, value in (HEADER | (header or {})).items() if value != "absent"}
    if not isinstance(body, str):
        body = json.dumps(BODY | (body or {}), indent=2)
    return (json.dumps(first) + "\n" + body).encode()


def test_a_json_body() -> None:
    assert ips.parse(report()) == [EVENT]


def test_a_text_body() -> None:
    (event,) = ips.parse(report({"bug_type": "109", "timestamp": "2021-10-22 00:14:58.00 +0300"}, TEXT))
    assert event == {
        "kind": "app.exit",
        "device": "key-2",
        "time": 1634850893074,
        "id": "INCIDENT-2",
        "source": "ios.ips",
        "quality": "exact",
        "attribution": "app",
        "app": "com.acme.chat",
        "process": "Chat",
        "app_version": "77 (4.2)",
        "os_version": "iPhone OS 18.6 (22G86)",
        "first_party": False,
        "role": "Background",
        "exception": "EXC_CRASH",
        "signal": "SIGKILL",
        "namespace": "SPRINGBOARD",
        "code": "0x8badf00d",
        "class": "watchdog",
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Termination Reason: FRONTBOARD 2343432205 ", ("FRONTBOARD", "0x8badf00d", "watchdog")),
        ("Termination Reason: Namespace <0xF>, Code 0xdead10cc", ("<0xF>", "0xdead10cc", "resource")),
        ("Termination Reason: CODESIGNING, [0x2]", ("CODESIGNING", "0x2", "codesign")),
        ("Termination Reason: DYLD, [0x1] Library missing", ("DYLD", "0x1", "codesign")),
        ("Termination Reason: Namespace", (None, None, "unknown")),
        ("Termination Reason:", (None, None, "unknown")),
        ("", (None, None, "unknown")),
    ],
)
def test_ways_to_write_a_termination_reason(line: str, expected: tuple[str | None, str | None, str]) -> None:
    text = TEXT.replace("Termination Reason: Namespace SPRINGBOARD, Code 0x8badf00d", line)
    (event,) = ips.parse(report({"bug_type": "109"}, text))
    assert (event.get("namespace"), event.get("code"), event["class"]) == expected


def test_fields_end_where_the_threads_begin() -> None:
    (event,) = ips.parse(report({"bug_type": "109"}, TEXT.replace("Role:                Background\n", "")))
    assert "role" not in event


def test_an_invalid_signature_is_not_taken_for_a_memory_violation() -> None:
    text = TEXT.replace("EXC_CRASH (SIGKILL)", "EXC_BAD_ACCESS (Code Signature Invalid)")
    (event,) = ips.parse(report({"bug_type": "109"}, text.replace("Termination Reason", "Ended")))
    assert event["class"] == "codesign"
    body = {"exception": {"type": "EXC_BAD_ACCESS", "signal": "SIGKILL (Code Signature Invalid)"}}
    (event,) = ips.parse(report(body=body))
    assert (event["class"], event["signal"]) == ("codesign", "SIGKILL")


def test_a_strange_byte_does_not_hide_a_crash() -> None:
    document = report({"bug_type": "109"}, TEXT).replace(b"Chat [692]", b"Ch\xffat [692]")
    (event,) = ips.parse(document)
    assert event["process"] == "Ch\ufffdat"


def test_windows_line_ends_and_a_byte_order_mark(read_bytes: Callable) -> None:
    document = report({"bug_type": "109"}, TEXT)
    plain, _ = read_bytes(document, "a.ips")
    dressed, refusals = read_bytes(b"\xef\xbb\xbf" + document.replace(b"\n", b"\r\n"), "a.ips")
    assert (dressed, refusals) == (plain, [])


def test_a_program_that_is_no_app_has_no_app() -> None:
    body = {"procName": "imagent", "bundleInfo": "absent"}
    header = {"bundleID": "absent", "app_version": "", "is_first_party": 1}
    document = report(header, json.dumps({k: v for k, v in (BODY | body).items() if v != "absent"}))
    (event,) = ips.parse(document)
    assert (event["process"], event["first_party"], event["attribution"]) == ("imagent", True, "device")
    assert "app" not in event
    assert "app_version" not in event
    text = TEXT.replace("com.acme.chat", "imagent").replace("77 (4.2)", "???")
    (event,) = ips.parse(report(header | {"bug_type": "109"}, text))
    assert "app" not in event
    assert "app_version" not in event


def test_the_time_is_that_of_the_crash_and_only_else_that_of_the_report() -> None:
    assert ips.parse(report(body={"captureTime": None}))[0]["time"] == 1767704967000
    with pytest.raises(Refused) as refused:
        ips.parse(report({"timestamp": "absent"}, {"captureTime": None}))
    assert refused.value.reason == "missing_field"


def test_a_device_from_outside_goes_before_the_key_and_without_both_there_is_a_refusal() -> None:
    assert ips.parse(report(), "phone-1")[0]["device"] == "phone-1"
    with pytest.raises(Refused) as refused:
        ips.parse(report(body={"crashReporterKey": None}))
    assert refused.value.reason == "missing_device"


@pytest.mark.parametrize(
    ("bug_type", "text", "expected"),
    [
        ("210", "panic(cpu 0 caller 0x1): Kernel data abort", "panic"),
        ("210", "panic(cpu 0 caller 0x1): btn_rst", "user_reset"),
        ("151", "panic(cpu 0 caller 0x1): btn_rst", "user_reset"),
    ],
)
def test_panics_and_resets(bug_type: str, text: str, expected: str) -> None:
    header = {"bug_type": bug_type, "os_version": "iOS 18.6", "timestamp": "2026-01-06 15:09:27.00 +0200"}
    body = {
        "date": "2026-01-06 15:09:25.47 +0200",
        "incident": "P-1",
        "crashReporterKey": "k",
        "string": text,
    }
    document = (json.dumps(header) + "\n" + json.dumps(body)).encode()
    assert ips.parse(document) == [
        {
            "kind": "app.exit",
            "device": "k",
            "time": 1767704965470,
            "id": "P-1",
            "source": "ios.ips",
            "quality": "exact",
            "attribution": "device",
            "os_version": "iOS 18.6",
            "class": expected,
        }
    ]


def jetsam(*reasons: str | None) -> bytes:
    header = {"bug_type": "298", "timestamp": "2026-01-06 15:09:27.00 +0200", "incident_id": "J-1"}
    processes = [{"name": f"p{place}", "pid": place, "rpages": 9, "states": ["daemon"]} |
                 ({"reason": reason} if reason else {}) for place, reason in enumerate(reasons)]  # fmt: skip
    body = {"crashReporterKey": "key-4", "incident": "J-1", "date": "2026-01-06 15:09:26.00 +0200",
            "largestProcess": "p0", "processes": processes}  # fmt: skip
    return (json.dumps(header) + "\n" + json.dumps(body)).encode()


def test_jetsam_ends_only_the_processes_with_a_reason() -> None:
    (event,) = ips.parse(jetsam(None, "per-process-limit", None))
    assert (event["class"], event["process"], event["namespace"], event["code"], event["id"]) == (
        "resource",
        "p1",
        "JETSAM",
        "per-process-limit",
        "J-1",
    )
    several = ips.parse(jetsam("highwater", "vm-pageshortage"))
    assert [event["process"] for event in several] == ["p0", "p1"]
    assert len({event["id"] for event in several}) == 2


def test_jetsam_that_ended_nothing_is_not_an_exit() -> None:
    (event,) = ips.parse(jetsam(None, None))
    assert event["class"] == "not_an_exit"
    assert "process" not in event


def test_analytics_are_not_an_exit_whatever_their_body_is() -> None:
    (event,) = ips.parse(report({"bug_type": "211"}, '{"a":1}\n{"b":2}\n'), "phone-1")
    assert event["class"] == "not_an_exit"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (report(body=""), "truncated"),
        (report()[:-30], "truncated"),
        (report() + b"}", "malformed_json"),
        (report(body="{"), "truncated"),
        (report({"bug_type": "absent"}), "missing_field"),
        (report({"bug_type": ["309"]}), "wrong_type"),
        (report({"is_first_party": "yes"}), "wrong_type"),
        (report(body={"captureTime": 5}), "wrong_type"),
        (report(body={"exception": "EXC_BAD_ACCESS"}), "wrong_type"),
        (report(body={"captureTime": "2026-01-06 15:09:22.6192"}), "bad_time"),
        (jetsam("x").replace(b'"pid": 0', b'"pid": "0"'), "wrong_type"),
        (report()[5:], "malformed_json"),
        (report().replace(b'"Chat"', b'"Ch\0at"', 1), "nul_bytes"),
        (report().replace(b'"Chat"', b'"Ch\xffat"', 1), "not_utf8"),
        (b'{"x":' + b"[" * 200_000, "too_deep"),
        (report(body='{"threads": ' + "[" * 200_000), "too_deep"),
    ],
)
def test_a_bad_report_is_refused(read_bytes: Callable, document: bytes, reason: str) -> None:
    records, refusals = read_bytes(document, "a.ips", "ios.ips")
    assert records == []
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("a.ips", reason)]


def test_a_code_too_long_for_a_code_is_unknown() -> None:
    for code in (10**30, 10**4000, -1):
        body = {"termination": {"namespace": "FRONTBOARD", "code": code}}
        assert "code" not in ips.parse(report(body=body))[0]


def test_a_report_over_the_limit_is_refused_and_not_read_on(read_bytes: Callable) -> None:
    fitting = report(body=TEXT + " " * (ips.MAX_DOCUMENT_BYTES - len(report(body=TEXT))))
    assert len(fitting) == ips.MAX_DOCUMENT_BYTES
    assert read_bytes(fitting, "a.ips")[1] == []
    assert [refusal.reason for refusal in read_bytes(fitting + b" ", "a.ips")[1]] == ["document_too_large"]
    with pytest.raises(Refused):
        ips.parse(fitting + b" ")


def test_the_event_cites_the_file(read_bytes: Callable) -> None:
    records, _ = read_bytes(report(), "Chat-2026.ips")
    assert records[0].event["raw_ref"] == records[0].origin == "Chat-2026.ips"
