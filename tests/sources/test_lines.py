"""Lines come out as they went in, in bounded memory."""

import io
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.sources import Refusal, raw_lines, read
from engine.sources.lines import MAX_LINE_BYTES, Input, lines


class Pieces(io.RawIOBase):
    """A stream that hands over exactly the pieces it was given, as a pipe does."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


def in_pieces(*pieces: bytes) -> BinaryIO:
    return cast(BinaryIO, Pieces(iter([piece for piece in pieces if piece])))


def reasons(answers: list[tuple[str, bytes] | Refusal]) -> list[tuple[str, str]]:
    return [(answer.origin, answer.reason) for answer in answers if isinstance(answer, Refusal)]


def test_lines_carry_file_and_number_and_lose_their_end() -> None:
    answers = list(raw_lines(BytesIO(b"one\r\n\n  \t\r\ntwo\nthree"), "log"))
    assert answers == [("log:1", b"one"), ("log:4", b"two"), ("log:5", b"three")]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert list(raw_lines(in_pieces(b"\xef", b"\xbb", b"\xbf", b"{}\n"), "log")) == [("log:1", b"{}")]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32"])
def test_utf16_is_refused_as_a_whole_and_once(codec: str) -> None:
    text = "\ufeff" if codec.endswith("be") else ""
    data = (text + '{"kind": "x"}\n' * 5).encode(codec)
    assert reasons(list(raw_lines(BytesIO(data), "log"))) == [("log", "not_utf8")]


@pytest.mark.parametrize("data", [b"", b"\n\n", b" \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_file_of_nothing_is_refused(data: bytes) -> None:
    assert reasons(list(raw_lines(BytesIO(data), "log"))) == [("log", "empty_file")]


def test_nul_bytes_cost_their_line_only() -> None:
    answers = list(raw_lines(BytesIO(b"one\n\0\0\0two\nthree\n"), "log"))
    assert answers[0] == ("log:1", b"one")
    assert answers[2] == ("log:3", b"three")
    assert reasons(answers) == [("log:2", "nul_bytes")]


def test_the_longest_line_is_accepted_and_one_byte_more_is_not() -> None:
    longest = b"x" * MAX_LINE_BYTES
    answers = list(raw_lines(BytesIO(longest + b"\n" + longest + b"x\n" + b"next\n"), "log"))
    assert answers[0] == ("log:1", longest)
    assert reasons(answers) == [("log:2", "line_too_long")]
    assert answers[2] == ("log:3", b"next")


def test_an_unfinished_long_line_is_refused_too() -> None:
    answers = list(lines(Input(BytesIO(b"ok\n" + b"x" * 11)), "log", limit=10))
    assert reasons(answers) == [("log:2", "line_too_long")]
    assert "11 bytes" in cast(Refusal, answers[1]).detail


def test_a_line_of_100_mb_is_skipped_without_being_held() -> None:
    def hundred_megabytes() -> Iterator[bytes]:
        yield b'{"kind": "first"}\n{"text": "'
        for _ in range(1600):
            yield b"x" * 65536
        yield b'"}\n{"kind": "last"}\n'

    tracemalloc.start()
    answers = list(read(cast(BinaryIO, Pieces(hundred_megabytes())), "log", "ndjson"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [answer.origin for answer in answers] == ["log:1", "log:2", "log:3"]
    assert cast(Refusal, answers[1]).reason == "line_too_long"
    assert "104857612 bytes" in cast(Refusal, answers[1]).detail
    assert peak < 8 * 1024 * 1024


def test_a_long_file_is_not_held() -> None:
    def much() -> Iterator[bytes]:
        for _ in range(40):
            yield b'{"kind": "x"}\n' * 4000

    tracemalloc.start()
    count = sum(1 for _ in read(cast(BinaryIO, Pieces(much())), "log"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 160_000
    assert peak < 8 * 1024 * 1024


class Failing(io.RawIOBase):
    """A disk that fails after the first read."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = None
        self._later = error

    def read(self, size: int = -1) -> bytes:
        if self.error is not None:
            raise self.error
        self.error = self._later
        return b'{"kind": "x"}\n{"ki'


@pytest.mark.parametrize("error", [OSError("no such device\x1b[2J"), EOFError()])
def test_a_stream_that_fails_keeps_what_it_gave_and_says_so(error: Exception) -> None:
    answers = list(raw_lines(cast(BinaryIO, Failing(error)), "log"))
    assert answers[0] == ("log:1", b'{"kind": "x"}')
    assert reasons(answers) == [("log", "read_error")]
    assert cast(Refusal, answers[-1]).detail.isprintable()


def test_a_stream_with_nothing_ready_is_not_taken_for_its_end() -> None:
    class Empty(io.RawIOBase):
        def read(self, size: int = -1) -> None:  # type: ignore[override]  # what a non-blocking stream does
            return None

    assert reasons(list(raw_lines(cast(BinaryIO, Empty()), "log"))) == [("log", "read_error")]


def test_a_name_cannot_carry_control_characters() -> None:
    answers = list(raw_lines(BytesIO(b"one\n"), "evil\n\x1b[31m\udcff"))
    assert answers == [("evil\\n\\x1b[31m\\udcff:1", b"one")]


PART = st.sampled_from(
    [b"a", b"a", b"bc" * 6, b"\n", b"\n", b"\r\n", b"\r", b"\0", b" ", b"\t", b"\xef\xbb\xbf"]
)


@given(st.lists(PART, min_size=1, max_size=30), st.lists(st.integers(min_value=1, max_value=7)))
@example([b"bc" * 6, b"\n"], [])
@example([b"bc" * 6], [7])
@example([b"a", b"\n", b" ", b"\n"], [])
@example([b"a", b"\n", b"a", b"a", b"\r\n"], [4])
@settings(max_examples=500)
def test_pieces_do_not_matter_and_nothing_is_lost(parts: list[bytes], sizes: list[int]) -> None:
    data = b"".join(parts)
    pieces, rest = [], data
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    answers = list(lines(Input(in_pieces(*pieces, rest)), "log", limit=10))

    expected: list[tuple[str, bytes | str]] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        content = line.removesuffix(b"\r")
        if len(line) > 10:
            expected.append((f"log:{number}", "line_too_long"))
        elif content.strip() and b"\0" in content:
            expected.append((f"log:{number}", "nul_bytes"))
        elif content.strip():
            expected.append((f"log:{number}", content))
    got = [(a.origin, a.reason) if isinstance(a, Refusal) else a for a in answers]
    assert got == (expected or [("log", "empty_file")])
