"""``thenwire demo``: the main job once, end to end, on a real NATS server that lives as long as it."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import nats
from nats.aio.msg import Msg
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

import dsl
from engine import packs
from engine.alerts import Alert
from engine.cli.common import complain, err, out, plural
from engine.cli.show import alert_panel, alert_table, latest, safe
from engine.demo import scenario
from engine.demo.moved import moved
from engine.demo.real import real_events
from engine.service.errors import ServiceError
from engine.service.matching import MatchingProcessor
from engine.sources import Refusal

RULE_PACK = "mobile"
PUBLISH_SECONDS = 60.0
"""The demo gives up when the service has not taken all events by then."""
_POLL_SECONDS = 0.05
_QUIET_SECONDS = 0.5
"""After the last event, how long an alert may still be on its way to the subscriber."""


class Outcome(msgspec.Struct, frozen=True):
    """What the demo saw: the alerts as they arrived on NATS and how many events went in."""

    alerts: list[Alert]
    synthetic: int
    real: int
    refused: int
    seconds: float


def demo() -> int:
    """Show what thenwire does: real telemetry and a synthetic attack through a NATS server on this machine.

    The attack is harmless and synthetic: made-up events of made-up devices, marked as such.
    """
    from engine.service.serve import run_loop

    ruleset = dsl.load([packs.rules_folder() / RULE_PACK])
    processor = MatchingProcessor(ruleset)
    try:
        outcome = run_loop(_play(processor))
    except ServiceError as error:
        complain(str(error))
        return 2
    _show(outcome, processor)
    missing = {c.device for c in scenario.CHAINS} - {a.device for a in outcome.alerts}
    wrong = {a.device for a in outcome.alerts} - {c.device for c in scenario.CHAINS}
    if missing or wrong:
        complain(f"not as it should be: no alert for {sorted(missing)}, an alert for {sorted(wrong)}")
        return 1
    return 0


def wire_events(now_ms: int) -> tuple[list[dict[str, Any]], int, int]:
    """The events of the demo by time, moved so that they end now; how many are real; how many refused."""
    real: list[dict[str, Any]] = []
    refused = 0
    for item in real_events():
        if isinstance(item, Refusal):
            refused += 1
        else:
            real.append(item.event)
    made = scenario.events()
    real = _ending(real, now_ms)
    events = sorted([*real, *_ending(made, now_ms)], key=lambda event: int(event["time"]))
    return events, len(real), refused


def _ending(events: list[dict[str, Any]], now_ms: int) -> list[dict[str, Any]]:
    if not events:
        return []
    by = now_ms - max(int(event["time"]) for event in events)
    return [moved(event, by) for event in events]


async def _play(processor: MatchingProcessor) -> Outcome:
    from engine.service.embedded import EmbeddedServer, find_server
    from engine.service.run import run
    from engine.service.settings import Settings

    events, real, refused = wire_events(int(time.time() * 1000))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="thenwire-demo-") as folder:
        async with EmbeddedServer(Path(folder) / "nats", binary=find_server(None, os.environ)) as server:
            settings = Settings(servers=(server.url,), token=server.token)
            stop, ready = asyncio.Event(), asyncio.Event()
            service = asyncio.create_task(run(settings, processor, stop=stop, on_ready=ready.set))
            waiting = asyncio.create_task(ready.wait())
            await asyncio.wait({service, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if service.done():
                waiting.cancel()
                service.result()
            alerts = await _publish(events, server.url, server.token, processor, service)
            stop.set()
            await service
    return Outcome(alerts, len(events) - real, real, refused, time.monotonic() - began)


async def _publish(
    events: list[dict[str, Any]],
    url: str,
    token: str | None,
    processor: MatchingProcessor,
    service: asyncio.Task[Any],
) -> list[Alert]:
    """Send every event as a producer would, and listen for alerts as a consumer would."""
    client = await nats.connect(url, token=token, name="thenwire-demo")
    received: list[Alert] = []

    async def on_alert(message: Msg) -> None:
        received.append(msgspec.json.decode(message.data, type=Alert))

    await client.subscribe("alerts.>", cb=on_alert)
    await client.flush()
    stream = client.jetstream()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("publishing events", total=len(events))
        for event in events:
            await stream.publish(f"events.{event['kind']}", msgspec.json.encode(event))
            progress.advance(task)
    deadline = time.monotonic() + PUBLISH_SECONDS
    while _taken(processor) < len(events) and not service.done():
        if time.monotonic() > deadline:
            raise ServiceError(f"The service took {_taken(processor)} of {len(events)} events in time.")
        await asyncio.sleep(_POLL_SECONDS)
    await asyncio.sleep(_QUIET_SECONDS)
    await client.close()
    return received


def _taken(processor: MatchingProcessor) -> int:
    return (
        processor.events
        + processor.unread
        + sum(processor.dead_letters.values())
        + sum(processor.unknown.values())
    )


def _show(outcome: Outcome, processor: MatchingProcessor) -> None:
    rules = processor.matcher.rules
    total = outcome.synthetic + outcome.real
    out.print(
        f"{plural(total, 'event')} through NATS in {outcome.seconds:.1f} s: {outcome.real:,} real "
        f"(two test devices, Apache-2.0 samples), {outcome.synthetic:,} synthetic; moved to end now"
    )
    names = ", ".join(name.replace("_", " ") for name in rules)
    out.print(f"{plural(len(rules), 'rule')}: {names}")
    read = processor.events
    bad = sum(processor.dead_letters.values())
    out.print(f"{read:,} of the events are of kinds that a rule reads, {bad} were bad")
    out.print()
    alerts = latest(outcome.alerts)
    out.print(
        Text(
            f"{plural(len(alerts), 'alert')}, on synthetic devices; the events behind them are made up",
            "bold",
        )
    )
    out.print(alert_table(alerts))
    out.print()
    if alerts:
        out.print(alert_panel(alerts[0]))
        out.print()
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title="look-alikes, all synthetic",
        title_justify="left",
    )
    for heading in ("device", "what it shows", "why it stays silent"):
        table.add_column(heading, overflow="fold")
    alerted = {alert.device for alert in alerts}
    for lookalike in scenario.LOOKALIKES:
        why = (
            Text("ALERTED, and must not", "bold red") if lookalike.device in alerted else safe(lookalike.why)
        )
        table.add_row(safe(lookalike.device), safe(lookalike.shows), why)
    out.print(table)
    silent = sum(lookalike.device not in alerted for lookalike in scenario.LOOKALIKES)
    out.print(f"{silent} of {len(scenario.LOOKALIKES)} look-alikes and all real events stayed silent")
