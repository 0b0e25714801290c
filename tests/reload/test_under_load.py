"""Fifty reloads of a service that runs under load, against a real server: its alerts, and what it counts as
kept, drained and dropped, are what the document says (`load_model.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import nats
import pytest
from load_model import Expected, Model, Settings, Told, other, stories

from engine.cli.running_rules import begin, in_force_at
from engine.service.checkpoints.sqlite import SqliteStore
from engine.service.embedded import EmbeddedServer, find_server
from engine.service.errors import ServiceError, SettingsError
from engine.service.rules.processor import ReloadingProcessor
from engine.service.run import run
from engine.service.serve import run_loop
from engine.service.settings import Settings as ServiceSettings

RELOADS = 50
STORIES = 2_000
BETWEEN = 10
SPREAD = 1_600
"""In slots: some reloads lie between the events of a story."""
AHEAD = 3
"""So many of fifty parts of the load wait for the service."""
IN_MESSAGE = 12
IN_FLIGHT = 48
PATIENCE = 240.0


@pytest.fixture
def binary() -> Path:
    try:
        return find_server(None, os.environ)
    except (SettingsError, ServiceError) as error:
        pytest.skip(f"needs a real server: {error}")


class Load:
    """What was sent, reloaded and said."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.told = stories(self.random, STORIES, BETWEEN, SPREAD)
        self.placed: list[tuple[int, Told]] = []
        self.settings = [Settings()]
        self.reports: list[Any] = []
        self.alerts: list[dict[str, Any]] = []

    async def send(self, client: Any) -> None:
        """All events, as quickly as the server takes them, but not far ahead of the reloads."""
        jetstream, zero = client.jetstream(), int(time.time() * 1000)
        slots = asyncio.Semaphore(IN_FLIGHT)
        messages = [self.told[at : at + IN_MESSAGE] for at in range(0, len(self.told), IN_MESSAGE)]

        async def publish(events: list[Told]) -> None:
            lines = b"\n".join(json.dumps(told.wire(zero)).encode() for told in events)
            headers = {"Content-Type": "application/x-ndjson"}
            ack = await jetstream.publish("events.load", lines, headers=headers, timeout=30.0)
            self.placed += [(ack.seq, told) for told in events]
            slots.release()

        async with asyncio.TaskGroup() as group:
            for number, events in enumerate(messages):
                while number * RELOADS // len(messages) > len(self.reports) + AHEAD:  # noqa: ASYNC110  # no event
                    await asyncio.sleep(0.005)
                await slots.acquire()
                group.create_task(publish(events))

    def taken(self, processor: ReloadingProcessor) -> int:
        """Events that the service has taken in. Of the rule that is not always there they may be unread."""
        assert not processor.dead_letters
        return processor.events + processor.unread


async def _play(load: Load, folder: Path, binary: Path) -> None:
    rules = folder / "rules"
    rules.mkdir()
    (rules / "x.rule").write_text(load.settings[0].text)
    async with EmbeddedServer(folder / "nats", binary=binary) as server:
        settings = ServiceSettings(
            servers=(server.url,), token=server.token, commit_interval=0.2, checkpoint_interval=5.0
        )
        client = await nats.connect(server.url, token=server.token)

        async def on_alert(message: Any) -> None:
            load.alerts.append(json.loads(message.data))

        await client.subscribe("alerts.>", cb=on_alert, pending_msgs_limit=-1, pending_bytes_limit=-1)
        await client.flush()
        processor, watch = begin(
            *([str(rules)], (), settings), max_skew_ms=120_000, watch=True, exceptions=None, off=None
        )
        stop, ready = asyncio.Event(), asyncio.Event()

        def on_ready() -> None:
            in_force_at(watch, settings)
            ready.set()

        service = asyncio.create_task(
            run(
                *(settings, processor),
                stop=stop,
                on_ready=on_ready,
                store=SqliteStore(folder / "test.state"),
                companions=[watch.run],
            )
        )
        await ready.wait()
        sending = asyncio.create_task(load.send(client))
        for number in range(1, RELOADS + 1):
            while load.taken(processor) < number * len(load.told) // (RELOADS + 2):  # noqa: ASYNC110  # likewise
                await asyncio.sleep(0.005)
            load.settings.append(other(load.settings[-1], load.random))
            # Such as a text that is changed and changed back: it is no reload, and is drawn again.
            while load.settings[-1] == load.settings[-2]:
                load.settings[-1] = other(load.settings[-2], load.random)
            (rules / "x.rule").write_text(load.settings[-1].text)
            while processor.reloads < number:
                await watch.reload()
                await asyncio.sleep(0.01)
            load.reports.append(processor.in_force.report)
        await sending
        while load.taken(processor) < len(load.told):  # what is waited for is in another task
            assert not service.done(), service.result()
            await asyncio.sleep(0.02)
        stop.set()
        await service
        await client.flush()
        stored = (await client.jetstream().stream_info("ALERTS")).state.messages
        while len(load.alerts) < stored:  # noqa: ASYNC110  # likewise
            await asyncio.sleep(0.02)
        await client.close()


def test_fifty_reloads_under_load(tmp_path: Path, binary: Path) -> None:
    load = Load(1)

    async def inside() -> None:
        async with asyncio.timeout(PATIENCE):
            await _play(load, tmp_path, binary)

    run_loop(inside())
    placed = [(at, told) for at, told in load.placed if told.story < STORIES]
    model = Model(load.settings, [report.sequence for report in load.reports], placed)
    expected = model.expected()
    created = [alert for alert in load.alerts if alert["activity"] == "create"]
    assert len({alert["id"] for alert in created}) == len(created)

    # An alert names its version by a hash; which pattern that is follows from the story.
    assert Counter(_without_pattern(one) for one in expected) == Counter(map(_said, created))
    hashes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for alert in created:
        hashes.setdefault((alert["rule"]["name"], alert["rule"]["hash"]), []).append(alert)
    patterns = {(one.rule, one.pattern) for one in expected}
    assert len(hashes) == len(patterns)
    by_version = Counter((one.rule, one.pattern) for one in expected)
    assert sorted(len(of_hash) for of_hash in hashes.values()) == sorted(by_version.values())

    assert [{one.rule: one.state for one in report.rules} for report in load.reports] == model.states
    assert [[name.split(" (")[0] for name in report.ended_early] for report in load.reports] == model.early
    for number, report in enumerate(load.reports, 1):
        for rule, count in model.counts(number).items():
            one = next(one for one in report.rules if one.rule == rule)
            found = one.devices, one.alerts, None if count.partial is None else one.partial
            assert found == (count.devices, count.alerts, count.partial), (number, rule, one.state)
    # Otherwise little was shown.
    assert any(model.early)
    assert Counter(state for states in model.states for state in states.values()).keys() == {
        *("kept", "drained", "dropped", "cold")
    }
    assert sum(life.over < 1 << 60 or life.end < 1 << 60 for life in model.lives) > 20
    assert len(expected) > 500
    assert len(load.told) > 20_000


def _without_pattern(one: Expected) -> tuple[str, str, str]:
    return one.rule, one.host, one.severity


def _said(alert: dict[str, Any]) -> tuple[str, str, str]:
    return alert["rule"]["name"], alert["key"]["host"], alert["severity"]
