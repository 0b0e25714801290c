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

from benchmarks import devices, history
from benchmarks import report as reports
from benchmarks.measure import CountsDiffer
from benchmarks.peers.compare import Failed, compare
from benchmarks.result import DevicesResult, LatencyResult, NatsResult, PeerResult, Report, Result
from benchmarks.run import measure
from benchmarks.tables import rich_table
from benchmarks.works import EVENTS, works_of
from benchmarks.works.work import CannotRun
from engine.service.errors import ServiceError, SettingsError

ROUNDS = {"short": 5, "long": 5}
PARTS = {"short": ("works", "peers"), "long": ("works", "nats", "latency", "devices", "peers")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; returns the exit code: 0 fine, 1 wrong counts, 2 nothing could be measured."""
    options = _parser().parse_args(arguments)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    if options.what == "history":
        return _history(errors)
    form = "short" if options.short else "long"
    parts = options.only or (("works",) if options.work else PARTS[form])
    results: list[Result] = []
    nats: list[NatsResult] = []
    latency: LatencyResult | None = None
    many: list[DevicesResult] = []
    peers: list[PeerResult] = []
    skipped: list[str] = []

    def say(text: str) -> None:
        errors.print(text, style="dim")

    try:
        if "works" in parts:
            for work in works_of(form, options.seed, options.work):
                say(f"measuring {work.name}, {len(work.lines):,} events ...")
                results.append(measure(work, ROUNDS[form]))
            if not results:
                errors.print(f"no work of the {form} form is called like `{options.work}`")
                return 2
        if "nats" in parts or "latency" in parts:
            uvloop.install()
        if "nats" in parts:
            from benchmarks import through_nats

            say("measuring through NATS ...")
            nats = through_nats.measure(options.seed)
        if "latency" in parts:
            from benchmarks import latency as latencies

            say("measuring the latency of alerts ...")
            try:
                latency = latencies.measure(options.seed)
            except latencies.TooSlow as slow:
                skipped.append(f"latency: {slow}")
        if "devices" in parts:
            say("measuring many devices ...")
            many = devices.measure(form)
        if "peers" in parts:
            peers, absent = compare(form, options.seed, EVENTS[form], say)
            skipped += absent
    except CountsDiffer as wrong:
        errors.print(f"WRONG: {wrong}", style="bold red")
        return 1
    except (CannotRun, Failed, ServiceError, SettingsError) as error:
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
        latency=latency,
        devices=many,
        peers=peers,
        skipped=skipped,
    )
    written = reports.write(report)
    if options.json:
        sys.stdout.write(reports.encode(report).decode())
    else:
        reports.show(report, Console(width=None if sys.stdout.isatty() else 190))
        names = ", ".join(path.name for path in written)
        say(f"written: {names} in benchmarks/{written[0].parent.name}/")
    if options.remember:
        say(f"remembered as {history.remember(report).commit} in {history.FILE.name}")
    for sentence in report.wrong:
        errors.print(f"WRONG: {sentence}", style="bold red")
    return 1 if report.wrong else 0


def _history(errors: Console) -> int:
    try:
        runs = history.read()
    except ValueError as error:
        errors.print(str(error), style="bold red")
        return 2
    if not runs:
        errors.print("nothing is remembered yet: python -m benchmarks --remember")
        return 2
    heads, *rows = history.table(runs)
    out = Console(width=None if sys.stdout.isatty() else 190)
    about = f"{runs[-1].form} form, {runs[-1].machine}"
    out.print(f"{about}; higher is worse; ! is a drift of {history.DRIFT:g} or more")
    out.print(rich_table(heads, rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="thenwire beside bare decoding, hand-written code and other engines, on the same events.",
    )
    parser.add_argument("what", nargs="?", choices=("run", "history"), default="run")
    parser.add_argument(
        "--short", action="store_true", help="fewer events: a minute or two, all counts checked"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=PARTS["long"],
        help="only this part (may be given again); the short form alone has works and peers",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of tables")
    parser.add_argument("--work", metavar="TEXT", default="", help="only works whose name has this in it")
    parser.add_argument("--seed", type=int, default=1, help="of the events (default: 1)")
    parser.add_argument(
        "--remember", action="store_true", help="append the ratios to benchmarks/results/history.jsonl"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
