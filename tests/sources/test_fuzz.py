"""Whatever the bytes are: records or refusals, and never an exception."""

from collections.abc import Iterator
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from samples import GOOD

from engine.sources import EVENTS, REASONS, SOURCES, Record, Refusal, read
from engine.sources.times import zone

ZONE = zone("+01:00")
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
    answers = list(read(BytesIO(data), "in\n", source, device, ZONE))
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
        # Canonical events are handed on as they are, and may say that they come from any source.
        if answer.event.get("raw_ref") == answer.origin and source not in ("ndjson", "fluent_bit", None):
            event = dict(answer.event)
            assert event["kind"] in EVENTS[event["source"] if source not in ("mdm", "mtd") else source]
            assert isinstance(event["time"], int)
            assert isinstance(event["device"], str)
            assert event["device"]
            assert all(isinstance(text, str) for text in event.pop("answers", []))
            assert all(isinstance(value, str | int | bool) for value in event.values())
    assert list(read(cast(BinaryIO, Pieces(data, size)), "in\n", source, device, ZONE)) == answers


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


OBJECTS = [name for name, data in GOOD.items() if data.startswith(b"{") and name != "mvt.timeline json"]


@given(st.sampled_from(OBJECTS), st.integers(min_value=0), JSON, SOURCE, DEVICE, SIZES)
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
    step = 1 if len(data) < 4096 else 97
    for end in range(0, len(data) + 1, step):
        if not only_header_lines(data[:end], None):
            check(data[:end], None, "phone-1", 64)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("depth", [10, 400, 900, 990, 1000, 5000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting(source: str, depth: int, opening: bytes, closing: bytes) -> None:
    nested = opening * depth + b"1" + closing * depth
    for named in (source, None):
        check(nested, named, "d1", 4096)
    rows = GOOD[source].split(b"\n")
    line = rows[-1] or rows[-2]
    if not line.startswith(b"{"):
        return
    fields = b'{"ts":%b,"hits":%b,"string":%b,"flow":%b,"from":%b,"dns":%b,' % ((nested,) * 6)
    inside = GOOD[source].replace(line, fields + line[1:])
    for named in (source, None):
        check(inside, named, "d1", 4096)


def test_the_good_files_are_good() -> None:
    for name, data in GOOD.items():
        answers = list(read(BytesIO(data), "in", None, "phone-1", ZONE))
        assert answers
        assert all(isinstance(answer, Record) for answer in answers), (name, answers)


def only_header_lines(data: bytes, source: str | None) -> bool:
    """A log or a table without rows is no error, and the only input that may give no answer at all."""
    if not list(read(BytesIO(data), "in", source, "d1", ZONE)):
        names = {name.strip() for name in data.splitlines()[0].decode(errors="replace").split(",")}
        if {"UTC Timestamp"} <= names or {'"No."'} <= names or b'"Time"' in data:
            return True
    lines = [line.strip(b" \t\r") for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    return all(line.startswith(b"#") or not line.strip() for line in lines) and any(lines)


def test_the_report_in_the_project_survives_damage() -> None:
    report = (Path(__file__).parent / "data" / "app_privacy_report.ndjson").read_bytes()
    for at in range(0, len(report), 997):
        answers = list(read(BytesIO(report[:at] + b"\0\xff{" + report[at + 3 :]), "in", None, "d1"))
        # Three bytes can join two lines; no other line suffers.
        assert sum(isinstance(answer, Refusal) for answer in answers) in (1, 2)
