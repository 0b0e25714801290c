"""The format is found by content, and a file of no known format is refused."""

import json
from collections.abc import Callable

import pytest
from samples import CANONICAL, GOOD, MVT_ROWS, database

from engine.sources import SOURCES, read
from engine.sources.detect import recognise
from engine.sources.times import zone

ZEEK_JSON = b'{"ts":1.5,"id.orig_h":"192.0.2.7","id.resp_h":"8.8.8.8","proto":"tcp","conn_state":"SF"}\n'
OLD_PRIVACY = (
    b'{"stream":"com.apple.privacy.accounting.stream.tcc","tccService":"kTCCServiceCamera","kind":"event",'
    b'"accessor":{"identifier":"com.acme"},"timestamp":"2026-04-27T10:53:24Z"}\n'
)
IPS = (
    b'{"bug_type":"210","timestamp":"2026-04-27 10:53:24.00 +0000","os_version":"x"}\n'
    b'{"crashReporterKey":"k"}\n'
)
SAMPLES = GOOD | {
    "zeek json": ZEEK_JSON,
    "ios.app_privacy old": OLD_PRIVACY,
    "ios.ips panic": IPS,
    "mvt.timeline one line": json.dumps(MVT_ROWS).encode(),
    "fluent_bit written over lines": json.dumps([[1.5, {"kind": "a", "device": "d"}]], indent=2).encode(),
}
BINARY = {"ios.netusage", "ios.tcc"}
ZONE = zone("+01:00")


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n \r\n"])
def test_each_format_is_found(read_bytes: Callable, name: str, before: bytes) -> None:
    if name in BINARY and before:
        return
    data = before + SAMPLES[name]
    found, refusals = read_bytes(data, device="d1", zone=ZONE)
    assert refusals == []
    expected, _ = read_bytes(data, source=name.split()[0], device="d1", zone=ZONE)
    assert found == expected
    assert len(found) >= 1
    first = SAMPLES[name].split(b"\n")[0].strip()
    if name not in BINARY and not first.startswith(b"["):
        assert recognise(first, True) == name.split()[0]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_last_line_without_its_end_is_a_line(read_bytes: Callable, name: str) -> None:
    records, refusals = read_bytes(SAMPLES[name].rstrip(b"\n"), device="d1", zone=ZONE)
    assert refusals == []
    assert records == read_bytes(SAMPLES[name], device="d1", zone=ZONE)[0]


def test_every_source_has_a_sample() -> None:
    assert {name.split()[0] for name in SAMPLES} == set(SOURCES)


def test_bad_lines_before_the_first_good_one_do_not_hide_the_format(read_bytes: Callable) -> None:
    records, refusals = read_bytes(b"{broken\n[]\n" + b"x" * 100_000 + b"\n" + CANONICAL + ZEEK_JSON, "in")
    assert [record.origin for record in records] == ["in:4", "in:5"]
    assert len(refusals) == 3


def test_a_report_is_only_found_at_the_start(read_bytes: Callable) -> None:
    _, refusals = read_bytes(b"{broken\n" + IPS)
    assert [refusal.reason for refusal in refusals] == ["unknown_format"]


@pytest.mark.parametrize(
    ("data", "reason", "word"),
    [
        (b"", "empty_file", "nothing"),
        (b"\n\n  \n", "empty_file", "nothing"),
        (b"\xef\xbb\xbf", "empty_file", "nothing"),
        (CANONICAL.decode().encode("utf-16"), "not_utf8", "UTF-16"),
        (b"\x1f\x8b\x08\x00" + bytes(50), "unknown_format", "gzip"),
        (b"SQLite format 3\0" + bytes(5000), "malformed_database", "SQLite"),
        (database("CREATE TABLE notes (a)"), "unknown_format", "notes"),
        (b"time,source,destination\n1,2,3\n", "unknown_format", "time,source"),
        (b'{"table": "x"}\n' * 10, "unknown_format", "table"),
        (b'["kind", {"kind":"x","device":"d"}]', "unknown_format", "kind"),
        (b"{" * 300_000, "unknown_format", "name the source"),
        (b"\x1b[31mred", "unknown_format", "\\x1b"),
        (b'{"x":"' + b"x" * 3_000_000 + b'"}\n' + CANONICAL, "unknown_format", "name the source"),
    ],
)
def test_what_is_not_known_is_refused_once(read_bytes: Callable, data: bytes, reason: str, word: str) -> None:
    records, refusals = read_bytes(data, "file")
    assert records == []
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("file", reason)]
    assert word in refusals[0].detail
    assert refusals[0].detail.isprintable()


def test_a_pipe_is_not_read_further_than_needed() -> None:
    class Pipe:
        def __init__(self) -> None:
            self.pieces = [CANONICAL, CANONICAL]
            self.waiting = False

        def read1(self, size: int) -> bytes:
            if not self.pieces:
                self.waiting = True
                return b""
            return self.pieces.pop(0)

        def read(self, size: int) -> bytes:
            raise AssertionError("read waits until a whole chunk has come")

    pipe = Pipe()
    reading = read(pipe, "-")  # type: ignore[arg-type]  # only the method that is used
    next(reading)
    assert not pipe.waiting
    assert len(pipe.pieces) == 1


def test_a_source_that_does_not_exist_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="suricata"):
        read(None, "x", source="zeek.conn")  # type: ignore[arg-type]  # refused before the stream is touched
