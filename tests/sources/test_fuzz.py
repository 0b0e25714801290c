"""Whatever the bytes are: records or refusals, and never an exception."""

from collections.abc import Iterator
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.sources import REASONS, SOURCES, Record, Refusal, read

GOOD = {
    "ndjson": b'{"kind":"net.flow","device":"d1","time":1700000000000,"bytes_out":5,"app":"com.acme"}\n' * 3,
    "zeek.conn": (
        b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
        b"#fields\tts\tuid\tid.orig_h\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tconn_state\n"
        b"1601998398.945854\tC1\t192.0.2.7\t8.8.8.8\t443\ttcp\tssl\t1.5\t4096\tSF\n"
        b"1601998399.5\tC2\tfe80::1\tff02::fb\t5353\tudp\t-\t-\t-\tS0\n"
        b'{"ts":1.5,"uid":"C3","id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","id.resp_p":80,"proto":"tcp",'
        b'"duration":0.0018720000000023163,"orig_bytes":97,"conn_state":"SF"}\n'
    ),
    "ios.app_privacy": (
        b'{"type":"access","accessor":{"identifier":"com.acme","identifierType":"bundleID"},"category":"camera",'
        b'"kind":"intervalBegin","identifier":"A1","timeStamp":"2022-04-27T10:53:24.555-04:00"}\n'
        b'{"type":"networkActivity","bundleID":"com.acme","domain":"a.example","hits":2,'
        b'"firstTimeStamp":"2022-04-27T10:53:24.555-04:00","timeStamp":"2022-04-27T10:59:24.555-04:00"}\n'
    ),
    "ios.powerlog": (
        b'{"table":"PLStorageOperator_EventForward_TimeOffset","ID":1,"timestamp":1635848600.25,"system":-411.5}\n'
        b'{"table":"PLProcessNetworkAgent_EventInterval_UsageDiff","ID":7,"timestamp":1635848700.5,'
        b'"timestampEnd":1635848760.5,"BundleName":"com.acme","ProcessName":"acme","WifiOut":10,"WifiIn":20}\n'
        b'{"table":"PLApplicationAgent_EventForward_Application","ID":9,"timestamp":1635848800.5,'
        b'"Identifier":"com.acme","State":8}\n'
    ),
    "ios.ips": (
        b'{"bug_type":"309","timestamp":"2022-01-06 15:09:22.00 +0200","incident_id":"I1"}\n'
        b'{"captureTime":"2022-01-06 15:09:22.6192 +0200","crashReporterKey":"k","procName":"p",'
        b'"exception":{"type":"EXC_CRASH","signal":"SIGKILL","codes":"0x0, 0x0"},'
        b'"termination":{"code":2343432205,"namespace":"FRONTBOARD"}}'
    ),
    "ios.ips text": (
        b'{"bug_type":"109","timestamp":"2022-01-06 15:09:22.00 +0200","incident_id":"I1"}\n'
        b"CrashReporter Key:   k\nProcess:   p [1]\nDate/Time:   2021-10-22 00:14:53.0749 +0300\n"
        b"Exception Type:  EXC_BAD_ACCESS (SIGSEGV)\nTermination Reason: SIGNAL, [0xb]\nThread 0:\n"
    ),
    "ios.ips jetsam": (
        b'{"bug_type":"298","timestamp":"2022-01-06 15:09:22.00 +0200","incident_id":"I1"}\n'
        b'{"crashReporterKey":"k","date":"2022-01-06 15:09:22.00 +0200","processes":[{"name":"p","pid":1,'
        b'"reason":"highwater"},{"name":"q","pid":2}]}'
    ),
}
SOURCE = st.sampled_from([None, *SOURCES])
DEVICE = st.sampled_from([None, "", "phone-1"])
NASTY = st.sampled_from(
    [
        b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\t", b"{", b"}", b'"', b"\\", b"-", b"#", b"%",
        b"[" * 3000, b'{"a":' * 3000, b"[]", b"{}", b'""', b"null", b"true", b"NaN", b"\\ud800", b"\\u0000",
        b"-1", b"1e999", b"9" * 4400, b"9" * 4200, b"253402300800", b"298", b"210", b"211", b"288", b"::",
        b"\\xff", b"\\x", b"#fields\t", b"#separator ", b"(empty)", b"\x1b[2J", "\u202e".encode(),
        b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:60-23:59",
    ]
)  # fmt: skip


class Pieces(RawIOBase):
    """A stream that hands over its bytes in pieces of a given size."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__()
        self._pieces: Iterator[bytes] = (data[at : at + size] for at in range(0, len(data), size))

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good file, or two, in which something was cut out, put in or written over."""
    data = draw(st.sampled_from(list(GOOD.values())))
    if draw(st.booleans()):
        data += draw(st.sampled_from(list(GOOD.values())))
    for _ in range(draw(st.integers(min_value=1, max_value=4))):
        start = draw(st.integers(min_value=0, max_value=len(data)))
        end = draw(st.integers(start, start + 12) | st.just(start) | st.just(len(data)))
        data = data[:start] + draw(st.one_of(NASTY, st.binary(max_size=6), st.just(b""))) + data[end:]
    return data


def check(data: bytes, source: str | None, device: str | None, size: int) -> None:
    answers = list(read(BytesIO(data), "in\n", source, device))
    assert answers, "not even a refusal" if not data.startswith(b"#") else ""
    for answer in answers:
        assert answer.origin.startswith("in\\n")
        if isinstance(answer, Refusal):
            assert answer.reason in REASONS
            assert answer.detail.isprintable()
            assert 0 < len(answer.detail) < 1200
            continue
        assert isinstance(answer, Record)
        assert None not in answer.event.values()
        msgspec.json.encode(answer.event)
        if answer.event.get("source") in SOURCES and answer.event.get("raw_ref") == answer.origin:
            assert isinstance(answer.event["time"], int)
            assert isinstance(answer.event["device"], str)
            assert answer.event["device"]
            assert all(isinstance(value, str | int | bool) for value in answer.event.values())
    assert list(read(cast(BinaryIO, Pieces(data, size)), "in\n", source, device)) == answers


SIZES = st.integers(min_value=1, max_value=200)


@given(st.binary(max_size=300), SOURCE, DEVICE, SIZES)
@example(b"", None, None, 1)
@example(b"\xff\xfe", None, None, 1)
@settings(deadline=None)
def test_any_bytes(data: bytes, source: str | None, device: str | None, size: int) -> None:
    if not only_header_lines(data, source):
        check(data, source, device, size)


@given(mutated(), SOURCE, DEVICE, SIZES)
@settings(deadline=None, max_examples=400)
def test_damaged_files(data: bytes, source: str | None, device: str | None, size: int) -> None:
    if not only_header_lines(data, source):
        check(data, source, device, size)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(list(GOOD)), st.integers(min_value=0), JSON, SOURCE, DEVICE, SIZES)
@settings(deadline=None, max_examples=400)
def test_wrong_types(
    name: str, which: int, value: object, source: str | None, device: str | None, size: int
) -> None:
    lines = GOOD[name].split(b"\n")
    objects = [at for at, line in enumerate(lines) if line.startswith(b"{")]
    places = [(at, key) for at in objects for key in msgspec.json.decode(lines[at])]
    at, key = places[which % len(places)]
    lines[at] = msgspec.json.encode(msgspec.json.decode(lines[at]) | {key: value})
    check(b"\n".join(lines), source, device, size)


@pytest.mark.parametrize("name", GOOD)
def test_every_way_to_cut_a_good_file(name: str) -> None:
    data = GOOD[name]
    for end in range(len(data) + 1):
        if not only_header_lines(data[:end], None):
            check(data[:end], None, "phone-1", 64)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("depth", [10, 400, 900, 990, 1000, 5000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting(source: str, depth: int, opening: bytes, closing: bytes) -> None:
    nested = opening * depth + b"1" + closing * depth
    line = GOOD[source].split(b"\n")[-1 if source == "ios.ips" else -2]
    fields = b'{"ts":%b,"hits":%b,"string":%b,' % (nested, nested, nested)
    inside = GOOD[source].replace(line, fields + line[1:])
    for named in (source, None):
        check(nested, named, "d1", 4096)
        check(inside, named, "d1", 4096)


def test_the_good_files_are_good() -> None:
    for name, data in GOOD.items():
        answers = list(read(BytesIO(data), "in", None, "phone-1"))
        assert answers
        assert all(isinstance(answer, Record) for answer in answers), name


def only_header_lines(data: bytes, source: str | None) -> bool:
    """A connection log without rows is no error, and the one input that may give no answer at all."""
    lines = [line.strip(b" \t\r") for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    return all(line.startswith(b"#") or not line.strip() for line in lines) and any(lines)


def test_the_report_in_the_project_survives_damage() -> None:
    report = (Path(__file__).parent / "data" / "app_privacy_report.ndjson").read_bytes()
    for at in range(0, len(report), 997):
        answers = list(read(BytesIO(report[:at] + b"\0\xff{" + report[at + 3 :]), "in", None, "d1"))
        # Three bytes can join two lines; no other line suffers.
        assert sum(isinstance(answer, Refusal) for answer in answers) in (1, 2)
