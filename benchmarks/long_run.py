"""The command line that the runs against memory share: soak and flood."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Result(Protocol):
    """``wrong``: sentences on what is not as it should be."""

    @property
    def wrong(self) -> list[str]: ...


R = TypeVar("R", bound=Result)


def bar() -> Progress:
    """A progress bar on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def main(
    name: str,
    about: str | None,
    short: str,
    run: Callable[[str, int, Progress], R],
    show: Callable[[R, Console], None],
    arguments: Sequence[str] | None,
) -> int:
    """Run once and say what was found.

    Args:
        name: of the module below ``benchmarks``.
        about: what it does, for ``--help``.
        short: what the short form does.
        run: takes the form, ``short`` or ``long``, and the seed.
        show: prints the result for people.
        arguments: of the command line; None for those of the process.

    Returns:
        The exit code: 0 all right, 1 something is wrong.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--short", action="store_true", help=short)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--seed", type=int, default=1, help="of the events (default: 1)")
    options = parser.parse_args(arguments)
    with bar() as progress:
        result = run("short" if options.short else "long", options.seed, progress)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        show(result, Console(width=None if sys.stdout.isatty() else 160))
    for sentence in result.wrong:
        Console(stderr=True).print(f"WRONG: {sentence}", style="bold red")
    return 1 if result.wrong else 0
