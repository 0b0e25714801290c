"""``python -m benchmarks``: measure, print, write to benchmarks/results/. Exit code 1: a count is wrong."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence

import msgspec
import uvloop
from rich.console import Console

from benchmarks import report as reports
from benchmarks.measure import CountsDiffer
from benchmarks.result import NatsResult, Report, Result
from benchmarks.run import measure
from benchmarks.works import works_of
from benchmarks.works.work import CannotRun
from engine.service.errors import ServiceError, SettingsError

ROUNDS = {"short": 5, "long": 5}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; returns the exit code: 0 fine, 1 wrong counts, 2 nothing could be measured."""
    options = _parser().parse_args(arguments)
    form = "short" if options.short else "long"
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    if options.nats and options.short:
        errors.print("--nats takes too long for the short form; leave out --short")
        return 2
    results: list[Result] = []
    nats: list[NatsResult] = []
    try:
        for work in works_of(form, options.seed, options.work):
            errors.print(f"measuring {work.name}, {len(work.lines):,} events ...", style="dim")
            results.append(measure(work, ROUNDS[form]))
        if not results:
            errors.print(f"no work of the {form} form is called like `{options.work}`")
            return 2
        if options.nats:
            errors.print("measuring through NATS ...", style="dim")
            uvloop.install()
            from benchmarks import through_nats

            nats = through_nats.measure(options.seed)
    except CountsDiffer as wrong:
        errors.print(f"WRONG: {wrong}", style="bold red")
        return 1
    except (CannotRun, ServiceError, SettingsError) as error:
        errors.print(str(error), style="bold red")
        return 2
    report = Report(
        form=form,
        seed=options.seed,
        python=platform.python_version(),
        msgspec=msgspec.__version__,
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        results=results,
        nats=nats,
    )
    written = reports.write(report)
    if options.json:
        sys.stdout.write(reports.encode(report).decode())
    else:
        reports.show(report, Console(width=None if sys.stdout.isatty() else 180))
        names = " and ".join(path.name for path in written)
        errors.print(f"written: {names} in benchmarks/{written[0].parent.name}/", style="dim")
    for sentence in report.wrong:
        errors.print(f"WRONG: {sentence}", style="bold red")
    return 1 if report.wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="thenwire beside bare decoding and hand-written code, on the same events.",
    )
    parser.add_argument(
        "--short", action="store_true", help="fewer events: under a minute, all counts checked"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of tables")
    parser.add_argument(
        "--nats", action="store_true", help="also read through NATS, embedded (not with --short)"
    )
    parser.add_argument("--work", metavar="TEXT", default="", help="only works whose name has this in it")
    parser.add_argument("--seed", type=int, default=1, help="of the events (default: 1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
