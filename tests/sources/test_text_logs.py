"""The mobile installation log of iOS and the tombstones of Android."""

from collections.abc import Callable
from typing import Any

import pytest
from samples import INSTALLATION, TOMBSTONE

from engine.sources import Refused, tombstone
from engine.sources.times import zone

LISBON = zone("Europe/Lisbon")


def line(message: str, time: str = "Mon Mar  2 09:00:00 2026") -> bytes:
    return f"{time} [829] <notice> (0x16d16b000) {message}\n".encode()


def test_installations_and_removals(read_bytes: Callable) -> None:
    records, refusals = read_bytes(INSTALLATION, "log", device="phone-1", zone=zone("+01:00"))
    assert refusals == []
    installed, removed = (dict(record.event) for record in records)
    assert installed.pop("id") != removed.pop("id")
    assert installed == {
        "kind": "app.lifecycle",
        "device": "phone-1",
        "time": 1772438402000,
        "source": "ios.mobile_installation",
        "quality": "exact",
        "attribution": "app",
        "app": "com.acme.chat",
        "phase": "install",
        "app_version": "4.2",
        "raw_ref": "log:5",
    }
    assert (removed["app"], removed["phase"], removed["time"]) == ("com.acme.game", "remove", 1772442000000)


def test_an_announced_patch_makes_an_update(read_bytes: Callable) -> None:
    data = (
        line("Attempting Delta patch update of com.acme.chat from 4.1 (76)")
        + line("Install Successful for (Placeholder:com.acme.chat)")
        + line("Install Successful for (Customer:com.acme.chat)")
        + line("Install successful for (Customer:com.acme.chat) [Distributor: x]")
    )
    records, _ = read_bytes(data, device="d", zone=LISBON)
    assert [(record.event["phase"], record.event.get("from_version")) for record in records] == [
        ("update", "4.1"),
        ("install", None),
    ]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("Wed Aug 11 05:51:02 2021", 1628657462000),  # summer: one hour ahead of UTC
        ("Sun Jan 17 14:30:18 2021", 1610893818000),
        ("Sun Oct 31 01:30:00 2021", 1635640200000),  # comes twice; the first is meant
    ],
)
def test_local_times_follow_the_zone(read_bytes: Callable, time: str, expected: int) -> None:
    (record,), _ = read_bytes(line("Uninstalling identifier a.b", time), device="d", zone=LISBON)
    assert record.event["time"] == expected


def test_what_the_log_does_not_know_must_be_said(read_bytes: Callable) -> None:
    for device, where, reason in ((None, LISBON, "missing_device"), ("d", None, "missing_zone")):
        records, refusals = read_bytes(INSTALLATION, "log", device=device, zone=where)
        assert records == []
        assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("log", reason)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (line("Uninstalling identifier a.b", "Mon Feb 30 09:00:00 2026"), ["bad_time"]),
        (line("Uninstalling identifier a.b", "Mon Xyz  2 09:00:00 2026"), ["bad_time"]),
        (line("Uninstalling identifier a.b", "Mon Mar  2 25:00:00 2026"), ["bad_time"]),
        (line("Uninstalling identifier a.b", "Mon Mar  2 09:00:00 1950"), ["bad_time"]),
        (line("Made container live for a.b at /x"), ["unsupported_row"]),
        (b"nonsense\n" + line("Uninstalling identifier a.b"), ["malformed_line"]),
        (b"nonsense\nmore\n", ["malformed_line", "malformed_line"]),
    ],
)
def test_bad_lines_of_the_log(read_bytes: Callable, data: bytes, expected: list[str]) -> None:
    _, refusals = read_bytes(data, "log", "ios.mobile_installation", "d", LISBON)
    assert [refusal.reason for refusal in refusals] == expected


def test_versions_that_are_never_installed_do_not_pile_up(read_bytes: Callable) -> None:
    many = b"".join(line(f"Attempting Delta patch update of com.a{n} from 1") for n in range(1000))
    done = line("Install Successful for (Customer:com.a0)") + line(
        "Install Successful for (Customer:com.a999)"
    )
    records, _ = read_bytes(many + done, device="d", zone=LISBON)
    assert [record.event["phase"] for record in records] == ["install", "update"]


@pytest.mark.parametrize("text", ["", "Mars/Olympus", "+25:00", "../../etc/passwd", "\0", "+2"])
def test_no_time_zone(text: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        zone(text)


def test_a_tombstone() -> None:
    (event,) = tombstone.parse(TOMBSTONE, "phone-1")
    assert event.pop("id")
    assert event == {
        "kind": "app.exit",
        "device": "phone-1",
        "time": 1772438611123,
        "source": "android.tombstone",
        "quality": "exact",
        "attribution": "app",
        "app": "com.acme.chat",
        "process": "com.acme.chat:remote",
        "signal": "SIGSEGV",
        "subtype": "SEGV_MAPERR",
        "os_version": "Android 14 (AB1A.240101.001)",
        "class": "memory_violation",
    }


@pytest.mark.parametrize(
    ("signal", "message", "expected"),
    [
        ("6 (SIGABRT), code -1 (SI_QUEUE from pid 1, uid 2)", "", ("abort", None)),
        ("6 (SIGABRT), code -1 (SI_QUEUE)", "Check failed: size() <= left", ("abort", None)),
        ("6 (SIGABRT), code -1 (SI_QUEUE)", "stack corruption detected (-fstack-protector)",
         ("memory_violation", "stack corruption detected")),
        ("6 (SIGABRT), code -1 (SI_QUEUE)", "Scudo ERROR: corrupted chunk header",
         ("memory_violation", "Scudo ERROR")),
        ("6 (SIGABRT)", "FORTIFY: strcpy: prevented", ("memory_violation", "FORTIFY")),
        ("4 (SIGILL), code 1 (ILL_ILLOPC)", "", ("bad_instruction", None)),
        ("31 (SIGSYS), code 1 (SYS_SECCOMP)", "", ("sandbox", None)),
        ("7 (SIGBUS), code 2 (BUS_ADRERR)", "", ("memory_violation", None)),
        ("8 (SIGFPE), code 1 (FPE_INTDIV)", "", ("unknown", None)),
    ],
)  # fmt: skip
def test_classes_of_tombstones(signal: str, message: str, expected: tuple[str, str | None]) -> None:
    text = TOMBSTONE.decode().replace("11 (SIGSEGV), code 1 (SEGV_MAPERR)", signal)
    text += f"Abort message: '{message}'\n" if message else ""
    (event,) = tombstone.parse(text.encode(), "d")
    assert (event["class"], event.get("exception")) == expected


def test_a_program_that_is_no_package_has_no_app() -> None:
    data = TOMBSTONE.replace(b"Cmdline: com.acme.chat:remote\n", b"").replace(
        b"com.acme.chat:remote", b"/system/bin/x"
    )
    (event,) = tombstone.parse(data, "d")
    assert (event["process"], event["attribution"], "app" in event) == ("/system/bin/x", "device", False)


def test_several_tombstones_in_one_file(read_bytes: Callable) -> None:
    other = TOMBSTONE.replace(b"3559", b"4000")
    records, refusals = read_bytes(TOMBSTONE + b"memory near x0:\n\0\0\n" * 50 + other, "t", device="d")
    assert [record.origin for record in records] == ["t:1", "t:110"]
    # NUL bytes in the head cost a line; in the memory behind it they cost nothing.
    assert {refusal.reason for refusal in refusals} <= {"nul_bytes"}
    assert len(refusals) < 40


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"signal 11 (SIGSEGV)", b"signal (none)", "missing_field"),
        (b">>> com.acme.chat:remote <<<", b"", "missing_field"),
        (b"Timestamp: 2026-03-02 09:03:31.123456789+0100", b"", "missing_field"),
        (b"09:03:31.123456789+0100", b"09:03:31", "bad_time"),
        (b"2026-03-02 09", b"2026-02-30 09", "bad_time"),
    ],
)
def test_a_bad_tombstone_is_refused(read_bytes: Callable, old: bytes, new: bytes, reason: str) -> None:
    assert old in TOMBSTONE
    records, refusals = read_bytes(TOMBSTONE.replace(old, new), "t", device="d")
    assert records == []
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("t:1", reason)]


def test_text_that_is_no_tombstone(read_bytes: Callable) -> None:
    _, refusals = read_bytes(b"a\nb\n", "t", "android.tombstone", "d")
    assert [refusal.reason for refusal in refusals] == ["malformed_line"] * 2
    _, refusals = read_bytes(TOMBSTONE, "t")
    assert [refusal.reason for refusal in refusals] == ["missing_device"]
    with pytest.raises(Refused):
        tombstone.parse(TOMBSTONE, "")


def parsed(data: bytes) -> dict[str, Any]:
    (event,) = tombstone.parse(data, "d")
    return event


def test_the_same_crash_read_twice_has_one_id() -> None:
    assert parsed(TOMBSTONE)["id"] == parsed(TOMBSTONE)["id"]
    assert parsed(TOMBSTONE)["id"] != parsed(TOMBSTONE.replace(b"tid: 3568", b"tid: 3569"))["id"]
