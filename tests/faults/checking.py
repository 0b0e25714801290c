"""The end of every run: wait until all is done, stop, and compare with the reference."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import nats
from reference_run import Differences, compare, published, read_stream, reference
from reloading import Reloader, Replayed, read_changes
from service_process import Service
from workload import RULES, Workload

from engine.service.rules.refusals import REFUSED

SETTLE_SECONDS: Final = 7.0
"""After the last event: longer than the service's ``tick_after`` and the longest absence."""
JOURNAL: Final = "journal.jsonl"
"""Where `child.py` writes what each checkpoint says."""
_CATCH_UP_SECONDS: Final = 120.0


class Found(msgspec.Struct):
    """What a run came to. ``wrong`` are sentences; empty: all is as it should be."""

    messages: int
    events: int
    bad: int
    late: int
    ticks: int
    alerts: Differences
    letters: Differences
    """Dead letters and late events."""
    wrong: list[str]
    reloads: dict[str, int] = {}
    """What was changed while the service ran, how often."""
    fates: dict[str, int] = {}
    """How many rules were kept, drained, dropped or cold, over all reloads."""
    refused: int = 0
    """Sets that were refused."""


async def caught_up(client: Any, service: Service, seconds: float = _CATCH_UP_SECONDS) -> None:
    """Return when the service has acknowledged all that is published."""
    jetstream = client.jetstream()
    last = (await jetstream.stream_info("EVENTS")).state.last_seq
    deadline = time.monotonic() + seconds
    while await floor(client) < last:
        service.check()
        assert time.monotonic() < deadline, f"the service does not catch up: {service.log()[-2000:]}"
        await asyncio.sleep(0.1)


async def floor(client: Any) -> int:
    """The stream sequence up to which the service has acknowledged; 0 if the server does not say."""
    with contextlib.suppress(nats.errors.Error, TimeoutError):
        info = await client.jetstream().consumer_info("EVENTS", "thenwire")
        return info.ack_floor.stream_seq if info.ack_floor is not None else 0
    return 0


async def settled(client: Any, service: Service, seconds: float = SETTLE_SECONDS) -> int:
    """Wait until nothing is open any more, and stop the service: the sequence up to which it has done all."""
    await caught_up(client, service)
    await asyncio.sleep(seconds)
    return await service.stop()


async def judge(
    client: Any,
    workload: Workload,
    until: int,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    reloads: tuple[Reloader, Path] | None = None,
) -> Found:
    """Compare what the streams hold with an uninterrupted run of the input up to ``until``.

    Args:
        client: an operator's.
        workload: what was sent.
        until: the last sequence that the service has done.
        progress: called with what is done, how much of it, and how much there is.
        reloads: what changed the rules, and the folder of the journal and of the reference's rules.
    """
    recorded = await read_stream(client, "EVENTS")
    replayed = None
    if reloads is not None:
        reloader, folder = reloads
        replayed = Replayed(reloader, read_changes(folder / JOURNAL), folder / "reference-rules")
    right = reference(
        *(Path(RULES), recorded, until, lambda count: progress("reference", count, until)), replayed=replayed
    )
    alerts = compare(
        [one for one in right.published if one.subject.startswith("alerts.")],
        map(published, await read_stream(client, "ALERTS")),
    )
    letters = compare(
        [one for one in right.published if not one.subject.startswith("alerts.")],
        (
            published(one)
            for one in await read_stream(client, "DLQ")
            if reloads is None or not one.subject.endswith(f".{REFUSED}")
        ),
    )
    wrong = []
    for name, found in (("alerts", alerts), ("dead letters and late events", letters)):
        if not found.none:
            wrong.append(f"{name}: {found.sentence}")
    if right.repeated:
        wrong.append(f"the uninterrupted run publishes twice: {', '.join(right.repeated[:5])}")
    # The stream itself is whole: otherwise the comparison would compare two halves.
    if right.events != workload.events:
        wrong.append(f"the stream has {right.events} good events, {workload.events} were published")
    if right.bad != workload.bad:
        wrong.append(f"the stream has the bad events {right.bad}, published were {workload.bad}")
    if reloads is not None:
        letters_of = await reloads[0].letters()
        good = [one.kind for one in reloads[0].versions.values() if one.good and one.hash in letters_of]
        if good:
            wrong.append(f"good sets were refused: {', '.join(good)}")
    ticks = sum(not one.headers.get("Nats-Msg-Id", "").startswith("input:") for one in recorded)
    bad = sum(right.bad.values())
    found = Found(len(recorded), right.events, bad, right.late, ticks, alerts, letters, wrong)
    if reloads is not None and replayed is not None:
        found.reloads, found.fates = dict(replayed.kinds), dict(replayed.fates)
        found.refused = len(reloads[0].refused)
    return found
