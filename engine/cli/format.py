"""``thenwire fmt``: one layout for rule files."""

from __future__ import annotations

import contextlib
import difflib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.text import Text

import dsl
from dsl.format import LayoutError, format_text
from dsl.split import MAX_FILE_CHARACTERS
from engine.cli.common import UsageError, complain, err, out, plural

CHANGED, SAME, REFUSED = "changed", "same", "refused"


class Source(msgspec.Struct, frozen=True):
    """A rule file as it was read: its text with plain line ends, and the line ends it had."""

    name: str
    text: str
    line_end: str

    def encode(self, text: str) -> bytes:
        return text.replace("\n", self.line_end).encode()


def fmt(
    *paths: Annotated[str, Parameter(allow_leading_hyphen=True)],
    check: Annotated[bool, Parameter(negative="")] = False,
    diff: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Lay out rule files in the one way that all have. A file with a syntax error stays as it is.

    Parameters
    ----------
    paths
        Files or folders of .rule files; `-` reads standard input and writes standard output.
    check
        Write nothing; exit with 1 if a file would change.
    diff
        Write nothing; show what would change.
    """
    # A lone `-` has to get through, so the parser lets every other hyphen through as well.
    unknown = next((path for path in paths if path.startswith("-") and path != "-"), None)
    if unknown is not None:
        raise UsageError(f"there is no option `{unknown}`")
    if not paths:
        raise UsageError("no rule files are given; `-` reads standard input")
    if "-" in paths:
        if len(paths) > 1:
            raise UsageError("`-` stands alone: standard input is one file")
        outcome = _standard_input(check, diff)
        return 2 if outcome == REFUSED else 1 if check and outcome == CHANGED else 0
    try:
        files = dsl.rule_files(paths)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from None
    if not files:
        raise UsageError(f"there is no .rule file below {', '.join(f'`{path}`' for path in paths)}")
    outcomes = [_file(path, check, diff) for path in files]
    _summary(outcomes, write=not (check or diff))
    return 2 if REFUSED in outcomes else 1 if check and CHANGED in outcomes else 0


def _file(path: Path, check: bool, diff: bool) -> str:
    try:
        if path.stat().st_size > 4 * MAX_FILE_CHARACTERS:
            return _refuse(f"`{path}` is larger than {4 * MAX_FILE_CHARACTERS:,} bytes")
        source = _source(path.read_bytes(), str(path))
        result = _formatted(source)
        if result is None:
            return REFUSED
        if result == source.text:
            return SAME
        if diff:
            _show(source, result)
        elif check:
            out.print(Text(f"would change {path}"))
        else:
            _replace(path, source.encode(result))
            out.print(Text(f"formatted {path}"))
    except UnicodeDecodeError as error:
        return _refuse(f"`{path}` is not UTF-8 text (byte {error.start})")
    except OSError as error:
        return _refuse(f"`{path}`: {(error.strerror or 'not usable').lower()}")
    return CHANGED


def _standard_input(check: bool, diff: bool) -> str:
    try:
        source = _source(sys.stdin.buffer.read(), "<stdin>")
    except UnicodeDecodeError as error:
        return _refuse(f"standard input is not UTF-8 text (byte {error.start})")
    result = _formatted(source)
    if result is None:
        return REFUSED
    if diff:
        _show(source, result)
    elif not check:
        sys.stdout.buffer.write(source.encode(result))
        sys.stdout.buffer.flush()
    return SAME if result == source.text else CHANGED


def _source(raw: bytes, name: str) -> Source:
    text = raw.decode("utf-8")
    first, newline, _ = text.partition("\n")
    line_end = "\r\n" if newline and first.endswith("\r") else "\n"
    return Source(name, text.replace("\r\n", "\n").replace("\r", "\n"), line_end)


def _formatted(source: Source) -> str | None:
    """The layout, or None after saying why there is none."""
    try:
        result = format_text(source.text, source.name)
    except LayoutError as error:
        complain(f"`{source.name}`: {error}")
        return None
    for diagnostic in result.diagnostics:
        err.print(Text(dsl.render(diagnostic, source.text)))
        err.print()
    return None if result.diagnostics else result.text


def _refuse(why: str) -> str:
    complain(why)
    return REFUSED


def _show(source: Source, result: str) -> None:
    for line in difflib.unified_diff(
        source.text.splitlines(), result.splitlines(), source.name, f"{source.name} (formatted)", lineterm=""
    ):
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        out.print(Text(line, style))


def _replace(path: Path, raw: bytes) -> None:
    """Write the whole file or leave it: a reader never sees half of it. A link stays a link."""
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(target, name)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _summary(outcomes: list[str], write: bool) -> None:
    changed, same, refused = (outcomes.count(outcome) for outcome in (CHANGED, SAME, REFUSED))
    parts = [f"{plural(changed, 'file')} {'formatted' if write else 'would change'}"] if changed else []
    parts += [f"{plural(same, 'file')} left as {'it is' if same == 1 else 'they are'}"] if same else []
    parts += [f"{plural(refused, 'file')} not formatted"] if refused else []
    err.print(", ".join(parts))
