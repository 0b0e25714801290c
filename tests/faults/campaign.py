"""A campaign: the service and its server are killed again and again while events come in, and in the end
everything published is compared with an uninterrupted run.

    python tests/faults/campaign.py [--short] [--seed N] [--service N] [--server N] [--both N] [--break WHAT]
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from checking import JOURNAL, Found, judge, settled
from faulty_server import FaultyServer
from reloading import Reloader
from service_process import Service
from stream_feeding import Feeder, connect
from workload import RULES, Workload

Progress = Callable[[str, int, int], None]
_PATIENCE_SECONDS: Final = 180.0
_RELOAD_SECONDS: Final = 5.0
_SHORT: Final = (3, 1, 1)
_LONG: Final = (200, 20, 20)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is done in one campaign."""

    seed: int = 1
    service_kills: int = 3
    server_kills: int = 1
    both_kills: int = 1
    devices: int = 300
    stories: int = 80
    checkpoint: str = "300ms"
    state: str | None = None
    """``kv:BUCKET`` for the other store; None for a file."""
    broken: str | None = None
    """A fault of child.py, for the controls."""
    reloads: bool = True
    """Whether rules and lists change meanwhile, and the clock of the service's machine jumps."""
    warm: str | None = None
    """How far back rules that change are filled; None: they begin cold."""


class Outcome(msgspec.Struct):
    """What came of it. ``found.wrong`` are sentences; empty: all is as it should be."""

    plan: Plan
    kills: dict[str, int]
    killed_before_ready: int
    published_again: int
    seconds: float
    found: Found


async def run_campaign(
    plan: Plan, directory: Path, binary: Path, progress: Progress = lambda *_: None
) -> Outcome:
    """Run one campaign in an empty directory.

    Raises:
        AssertionError: the service ended by itself, did not start or did not catch up; with its last words.
    """
    begin = time.monotonic()
    reloader = Reloader(directory / "rules", plan.seed, directory / JOURNAL) if plan.reloads else None
    faults = [f"journal:{directory / JOURNAL}", "clock"] if plan.reloads else []
    faults += [plan.broken] if plan.broken else []
    with FaultyServer(binary, directory / "nats") as server:
        service = Service(
            *(directory, server.url),
            checkpoint=plan.checkpoint,
            broken="+".join(faults) or None,
            state=plan.state,
            rules=RULES if reloader is None else reloader.folder,
            options=() if plan.warm is None else ("--warm", plan.warm),
        )
        client = await connect(server.url)
        changing: asyncio.Future[None] | None = None
        try:
            service.start()
            # It makes the streams.
            await service.ready()
            feeder = Feeder(
                client, Workload(plan.seed, devices=plan.devices, stories=plan.stories), plan.seed
            )
            feeding = asyncio.create_task(feeder.run())
            if reloader is not None:
                reloader.client = client
                await _first_checkpoint(directory / JOURNAL)
                changing = asyncio.ensure_future(reloader.run())
            kills, early = await _kill(plan, server, service, progress, reloader)
            await service.ready()
            await asyncio.sleep(1.0)
            if reloader is not None and changing is not None:
                reloader.stop()
                await changing
            feeder.stop()
            await feeding
            until = await settled(client, service)
            found = await judge(
                *(client, feeder.workload, until, progress),
                reloads=None if reloader is None else (reloader, directory),
            )
        finally:
            if changing is not None:
                changing.cancel()
            service.end()
            await client.close()
    seconds = round(time.monotonic() - begin, 1)
    return Outcome(plan, kills, early, feeder.again, seconds, found)


async def _first_checkpoint(journal: Path) -> None:
    """A start without any state has the rules of its files, whatever a run before has said with others."""
    await asyncio.to_thread(_wait_for_lines, journal, 2)


def _wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline, "the service stores no checkpoint"
        time.sleep(0.05)


def run_short(plan: Plan, directory: Path, binary: Path) -> Outcome:
    """For tests: `run_campaign` with an end to its patience."""

    async def inside() -> Outcome:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await run_campaign(plan, directory, binary)

    return asyncio.run(inside())


async def _kill(
    plan: Plan, server: FaultyServer, service: Service, progress: Progress, reloader: Reloader | None
) -> tuple[dict[str, int], int]:
    """Kill what the plan says, at random points: while it starts, reads what it missed, runs, or has just
    been given other rules.
    """
    random = Random(plan.seed + 3)
    kinds = ["service"] * plan.service_kills + ["server"] * plan.server_kills + ["both"] * plan.both_kills
    random.shuffle(kinds)
    early = 0
    for number, kind in enumerate(kinds):
        progress("kills", number, len(kinds))
        if kind != "server" and random.random() < 0.25:
            await asyncio.sleep(random.uniform(0.0, 1.0))
        else:
            await service.ready()
            if reloader is not None and random.random() < 0.5:
                reloader.written.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reloader.written.wait(), _RELOAD_SECONDS)
            await asyncio.sleep(random.uniform(0.0, 1.5))
        if kind != "server":
            early += not service.is_ready()
            service.kill()
        if kind == "service":
            service.start()
            continue
        server.kill()
        await asyncio.sleep(random.uniform(0.0, 0.6))
        service_first = kind == "both" and random.random() < 0.5
        if service_first:
            service.start()
        server.start()
        if kind == "both" and not service_first:
            service.start()
    progress("kills", len(kinds), len(kinds))
    return {kind: kinds.count(kind) for kind in ("service", "server", "both")}, early


def _show(outcome: Outcome) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    found = outcome.found
    table = Table("", "expected", "found", "missing", "duplicate", "different", "unexpected", "misordered")
    for name, one in (("alerts", found.alerts), ("dead letters, late events", found.letters)):
        numbers = (one.expected, one.found, one.missing, one.duplicate, one.different, one.unexpected)
        table.add_row(name, *(f"{number:,}" for number in (*numbers, one.misordered)))
    console.print(table)
    kills = ", ".join(f"{kind} {number}" for kind, number in outcome.kills.items())
    console.print(
        f"kills: {kills} ({outcome.killed_before_ready} while it started). {found.messages:,} messages, "
        f"{found.events:,} events, {found.bad:,} bad, {found.late:,} too late, {found.ticks:,} ticks, "
        f"{outcome.published_again:,} attempts published again; {outcome.seconds:,.0f} s"
    )
    if found.reloads:
        console.print(
            "changes in force: "
            + ", ".join(f"{kind} {n}" for kind, n in sorted(found.reloads.items()))
            + f"; {found.refused} sets refused; rules "
            + ", ".join(f"{state} {n:,}" for state, n in found.fates.items())
        )
    for example in (*found.alerts.examples, *found.letters.examples):
        console.print(example, markup=False, highlight=False)
    for sentence in found.wrong:
        console.print(f"WRONG: {sentence}", style="bold red", markup=False)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: nothing lost, nothing twice, nothing wrong; 1 otherwise."""
    import argparse
    import tempfile

    from command_line import bars

    from engine.service.embedded import find_server

    parser = argparse.ArgumentParser(prog="python tests/faults/campaign.py", description=__doc__)
    parser.add_argument("--short", action="store_true", help="few kills: 3, 1 and 1")
    parser.add_argument("--service", type=int, help=f"kills of the service (default: {_LONG[0]})")
    parser.add_argument("--server", type=int, help=f"kills of the server (default: {_LONG[1]})")
    parser.add_argument("--both", type=int, help=f"kills of both (default: {_LONG[2]})")
    parser.add_argument("--seed", type=int, default=1, help="of the events and the kills (default: 1)")
    parser.add_argument("--checkpoint", default="300ms", help="the checkpoint interval (default: 300ms)")
    parser.add_argument("--state", help="kv:BUCKET, to keep the state there instead of in a file")
    parser.add_argument("--no-reloads", action="store_true", help="the rules stay as they are")
    parser.add_argument("--warm", help="how far back rules that change are filled, such as 10s")
    parser.add_argument("--break", dest="broken", help="a fault of child.py, to see that it is found")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument("--keep", type=Path, help="keep the logs and the store in this directory")
    options = parser.parse_args(arguments)
    given = (options.service, options.server, options.both)
    usual = _SHORT if options.short else _LONG
    service, server, both = (n if g is None else g for g, n in zip(given, usual, strict=True))
    plan = Plan(
        seed=options.seed,
        service_kills=service,
        server_kills=server,
        both_kills=both,
        checkpoint=options.checkpoint,
        state=options.state,
        broken=options.broken,
        reloads=not options.no_reloads,
        warm=options.warm,
    )
    with tempfile.TemporaryDirectory(prefix="thenwire-faults-") as folder, bars() as progress:
        directory = options.keep or Path(folder)
        outcome = asyncio.run(run_campaign(plan, directory, find_server(None, os.environ), progress))
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(outcome), indent=2).decode())
    else:
        _show(outcome)
    return 1 if outcome.found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
