"""A long stream in which every fiftieth event is bad: the good ones are all processed, and each bad one is
found in the dead letters with its reason and its bytes.

    python tests/faults/bad_stream.py [--events N] [--seed N]
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import bad_events
import msgspec
from checking import caught_up
from faulty_server import FaultyServer
from reference_run import Differences, compare, published, read_stream, reference
from service_process import Service
from stream_feeding import connect
from workload import RULES

from engine.service.subjects import LARGEST_DEAD_LETTER

BAD: Final = 0.02
_DEVICES: Final = 200
_IN_FLIGHT: Final = 256
_MOST_TOGETHER: Final = 100
_WHOLE: Final = 0.01
"""Share of messages that are bad as a whole."""
_FOREIGN: Final = 0.01
"""Share of events of a kind that no EVENT declares: they are for others, and no dead letters."""


class Outcome(msgspec.Struct):
    """What came of it. ``wrong`` are sentences; empty: all is as it should be."""

    events: int
    bad: dict[str, int]
    found: dict[str, int]
    processed: int
    alerts: Differences
    seconds: float
    wrong: list[str]


class Made(msgspec.Struct, frozen=True):
    """A message: how many events are in it and are good, and the bad ones: index, reason and bytes."""

    payload: bytes
    content_type: str | None
    events: int
    good: int
    bad: list[tuple[int, str, bytes]]


def messages(events: int, seed: int) -> Iterator[Made]:
    """So many events, good and bad together, in messages of every form. Times are those of the call."""
    random = Random(seed)
    names = tuple(bad_events.MAKERS)
    left = events
    while left:
        now_ms = int(time.time() * 1000)
        if random.random() < _WHOLE:
            left -= 1
            raw, reason = bad_events.make(
                random.choice(tuple(bad_events.WHOLE)), _wire(random, now_ms), now_ms, random
            )
            yield Made(raw, None, 1, 0, [(0, reason, raw)])
            continue
        form = random.choice(["single", "array", "lines"])
        size = 1 if form == "single" else min(left, random.randrange(2, _MOST_TOGETHER + 1))
        left -= size
        parts: list[bytes] = []
        bad: list[tuple[int, str, bytes]] = []
        foreign = 0
        for index in range(size):
            wire = _wire(random, now_ms)
            how = random.random()
            if how >= 1 - _FOREIGN:
                foreign += 1
                wire["kind"] = "printer.page"
            if how >= BAD:
                parts.append(msgspec.json.encode(wire))
                continue
            name = random.choice(bad_events.IN_ARRAY if form == "array" else names)
            raw, reason = bad_events.make(name, wire, now_ms, random)
            bad.append((index, reason, raw))
            parts.append(raw)
        payload = b"[" + b",".join(parts) + b"]" if form == "array" else b"\n".join(parts)
        yield Made(
            payload, "application/x-ndjson" if form == "lines" else None, size, size - foreign - len(bad), bad
        )


def _wire(random: Random, now_ms: int) -> bad_events.Wire:
    wire = {
        "device": f"device-{random.randrange(_DEVICES)}",
        "time": now_ms,
        "app": f"app{random.randrange(4)}",
    }
    how = random.random()
    if how < 0.01:
        return {"kind": "app.exit", **wire, "class": random.choice(["memory_violation", "abort"])}
    large = how < 0.03
    amount = random.randrange(1_000_001, 9_000_000) if large else random.randrange(100, 9_000)
    return {"kind": "net.flow", **wire, "bytes_out": amount, "ip": "203.0.113.9"}


async def run_bad_stream(
    events: int,
    directory: Path,
    binary: Path,
    *,
    seed: int = 1,
    checkpoint: str = "1s",
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Outcome:
    """Publish the stream while the service reads it, and check what came out.

    Raises:
        AssertionError: the service ended by itself or did not catch up; with its last words.
    """
    begin = time.monotonic()
    with FaultyServer(binary, directory / "nats", configuration="max_payload: 8MB\n") as server:
        service = Service(directory, server.url, checkpoint=checkpoint)
        client = await connect(server.url)
        try:
            service.start()
            await service.ready()
            expected: dict[tuple[str, str], tuple[str, bytes]] = {}
            good = 0
            sent: list[tuple[Made, asyncio.Future[Any]]] = []
            jetstream = client.jetstream(timeout=30.0, publish_async_max_pending=_IN_FLIGHT)
            done = 0

            async def settle() -> None:
                for made, waiting in sent:
                    sequence = (await waiting).seq
                    for index, reason, raw in made.bad:
                        expected[str(sequence), str(index)] = (reason, raw)
                sent.clear()

            for made in messages(events, seed):
                good += made.good
                headers = {"Content-Type": made.content_type} if made.content_type else None
                sent.append((made, await jetstream.publish_async("events.x", made.payload, headers=headers)))
                done += made.events
                if len(sent) == _IN_FLIGHT:
                    await settle()
                    progress("published", done, events)
            await settle()
            await caught_up(client, service, seconds=600.0)
            until = await service.stop()
            said = service.log()
            recorded = await read_stream(client, "EVENTS")
            right = reference(RULES, recorded, until, lambda count: progress("reference", count, until))
            letters = [one for one in await read_stream(client, "DLQ") if one.subject.startswith("dlq.")]
            alerts = compare(
                [one for one in right.published if one.subject.startswith("alerts.")],
                map(published, await read_stream(client, "ALERTS")),
            )
        finally:
            service.end()
            await client.close()
    processed = _number(said, "event")
    wanted = Counter(reason for reason, _ in expected.values())
    found = Counter(one.headers["Error-Reason"] for one in letters)
    wrong: list[str] = []
    if processed != good:
        wrong.append(f"{processed} good events were processed, {good} were published")
    if found != wanted:
        wrong.append(f"the dead letters are {dict(found)}, right were {dict(wanted)}")
    for one in letters:
        key = one.headers["Origin-Sequence"], one.headers["Origin-Index"]
        reason, raw = expected.pop(key, ("none", b""))
        if (one.headers["Error-Reason"], one.payload) != (reason, raw[:LARGEST_DEAD_LETTER]):
            wrong.append(
                f"the dead letter of message {key} says {one.headers['Error-Reason']}, right is {reason}"
            )
    if expected:
        wrong.append(f"{len(expected)} bad events have no dead letter")
    if not alerts.none:
        wrong.append(f"alerts: {alerts.sentence}")
    seconds = round(time.monotonic() - begin, 1)
    return Outcome(events, dict(wanted), dict(found), processed, alerts, seconds, wrong)


def _number(said: str, what: str) -> int:
    match = re.search(rf"([\d,]+) {what}s?\b", said[said.rindex("stopped:") :])
    assert match is not None, said[-500:]
    return int(match[1].replace(",", ""))


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: all as it should be; 1 otherwise."""
    import argparse
    import os
    import tempfile

    from command_line import bars
    from rich.console import Console

    from engine.service.embedded import find_server

    parser = argparse.ArgumentParser(prog="python tests/faults/bad_stream.py", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="good and bad (default: 1000000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", default="1s", help="the checkpoint interval (default: 1s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="thenwire-faults-") as folder, bars() as progress:
        outcome = asyncio.run(
            run_bad_stream(
                options.events,
                Path(folder),
                find_server(None, os.environ),
                seed=options.seed,
                checkpoint=options.checkpoint,
                progress=progress,
            )
        )
    console = Console()
    bad = sum(outcome.bad.values())
    console.print(
        f"{outcome.events:,} events, {bad:,} of them bad: {outcome.processed:,} processed, "
        f"{outcome.alerts.found:,} alerts; {outcome.seconds:,.0f} s"
    )
    for reason, number in sorted(outcome.bad.items()):
        console.print(f"  {reason}: {outcome.found.get(reason, 0):,} of {number:,} in the dead letters")
    for sentence in outcome.wrong[:20]:
        console.print(f"WRONG: {sentence}", style="bold red")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
