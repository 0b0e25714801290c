"""Signals, kills and restarts: every event is processed in order and every alert is there exactly once."""

import asyncio
import contextlib
import itertools
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats

from engine.service.settings import Settings

EVENTS = 20_000


async def _publish(client: Any, count: int) -> None:
    jetstream = client.jetstream(publish_async_max_pending=2000)
    for number in range(count - 1):
        await client.publish("events.x", b'{"n":%d}' % number)
        if number % 1000 == 0:
            # Faster than the disk, JetStream drops what asks for no acknowledgement.
            await jetstream.publish("events.y", b"{}")
    await jetstream.publish("events.x", b"{}")


async def _publish_surely(client: Any, message_id: str) -> None:
    """Until it is stored, which is once: a lost acknowledgement makes the second attempt a duplicate."""
    stored = None
    while stored is None:
        with contextlib.suppress(nats.errors.Error):
            stored = await client.jetstream().publish(
                "events.x", b"{}", timeout=0.5, headers={"Nats-Msg-Id": message_id}
            )


async def _ignore(_: Exception) -> None:
    pass


def _has_lines(path: Path, count: int) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_bytes().count(b"\n") >= count


async def _alert_sequences(client: Any) -> list[int]:
    """The input sequence of every alert that is stored."""
    jetstream = client.jetstream()
    total = (await jetstream.stream_info("ALERTS")).state.messages
    found: list[int] = []
    done = asyncio.Event()

    async def keep(message: Any) -> None:
        found.append(int(message.headers["Test-Sequence"]))
        if len(found) == total:
            done.set()

    if total:
        await jetstream.subscribe("alerts.>", cb=keep, ordered_consumer=True)
        await done.wait()
    return found


def _settings(server: Any) -> str:
    return json.dumps(
        {"servers": server.url, "token": server.token, "commit_interval": "50ms", "pull_batch": 500}
    )


def _sequences(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()]


def test_sigterm_under_load_loses_no_acknowledged_event(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        first, second = tools.directory / "first", tools.directory / "second"
        async with tools.client(server) as client:
            await client.jetstream().add_stream(name="EVENTS", subjects=["events.>"])
            await _publish(client, EVENTS)
            total = (await client.jetstream().stream_info("EVENTS")).state.last_seq
            with tools.process(_settings(server), first) as child:
                await tools.until(_has_lines(first, 2000))
                child.send_signal(signal.SIGTERM)
                output, _ = await asyncio.to_thread(child.communicate)
            assert child.returncode == 0
            report = json.loads(output)
            stopped_at = _sequences(first)[-1]
            assert stopped_at < total, "the signal came too late to test anything"
            # A stop in order leaves nothing processed and unacknowledged.
            assert report["last_sequence_processed"] == report["last_sequence_acked"] == stopped_at
            assert report["published"] == {"alerts": stopped_at}

            with tools.process(_settings(server), second) as child:
                await tools.until(_has_lines(second, total - stopped_at))
                child.send_signal(signal.SIGTERM)
                output, _ = await asyncio.to_thread(child.communicate)
            assert _sequences(second) == list(range(stopped_at + 1, total + 1))
            assert json.loads(output)["duplicates"] == 0
            assert sorted(await _alert_sequences(client)) == list(range(1, total + 1))

    tools.with_server(scenario)


def test_after_a_kill_events_come_in_order_and_alerts_are_not_doubled(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            await client.jetstream().add_stream(name="EVENTS", subjects=["events.>"])
            await _publish(client, EVENTS // 2)
            total = (await client.jetstream().stream_info("EVENTS")).state.last_seq
            reached = 0
            for attempt in range(3):
                log = tools.directory / f"killed{attempt}"
                with tools.process(_settings(server), log) as child:
                    await tools.until(_has_lines(log, 1500))
                    child.kill()
                    child.wait()
                floor = (await client.jetstream().consumer_info("EVENTS", "thenwire")).ack_floor.stream_seq
                sequences = _sequences(log)
                # Read on where the acknowledgements of the run before ended, without a jump or a step back.
                assert sequences[0] <= reached + 1
                assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
                assert floor <= sequences[-1]
                reached = floor
            log = tools.directory / "last"
            with tools.process(_settings(server), log) as child:
                await tools.until(_has_lines(log, total - reached))
                child.send_signal(signal.SIGTERM)
                await asyncio.to_thread(child.communicate)
            assert _sequences(log) == list(range(reached + 1, total + 1))
            assert sorted(await _alert_sequences(client)) == list(range(1, total + 1))

    tools.with_server(scenario)


def test_the_service_goes_on_when_the_server_was_killed_and_restarted(tools: Any) -> None:
    async def scenario() -> None:
        with tools.plain_server("killed") as server:
            processor = tools.fakes.FakeProcessor()
            client = await nats.connect(
                server.url, error_cb=_ignore, reconnect_time_wait=0.1, max_reconnect_attempts=-1
            )
            numbers = itertools.count()
            settings = Settings(servers=(server.url,), commit_interval=0.05)
            async with tools.service(settings, processor) as service:
                for _ in range(3):
                    enough = len(processor.seen) + 500
                    for _ in range(1000):
                        await _publish_surely(client, f"event {next(numbers)}")
                    await tools.until(lambda wanted=enough: len(processor.seen) >= wanted)
                    server.kill()
                    server.start()
                await tools.until(lambda: len(processor.seen) >= 3000)
                report = await service.stopped()
            assert [sequence for _, _, sequence, *_ in processor.seen] == list(range(1, 3001))
            assert sorted(await _alert_sequences(client)) == list(range(1, 3001))
            assert report.last_sequence_acked == 3000
            # The reopening after the last kill may coincide with the stop.
            assert report.reopened >= 2
            await client.close()

    asyncio.run(scenario())


def test_a_second_signal_ends_at_once_and_loses_nothing(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        log = tools.directory / "log"
        async with tools.client(server) as client:
            await client.jetstream().add_stream(name="EVENTS", subjects=["events.>"])
            with tools.process(_settings(server), log) as child:
                # Without this stream no alert is ever stored, so a stop in order takes its full time.
                await client.jetstream().delete_stream("ALERTS")
                await client.jetstream().publish("events.x", b"{}")
                await tools.until(_has_lines(log, 1))
                child.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.2)
                assert child.poll() is None
                child.send_signal(signal.SIGTERM)
                await asyncio.to_thread(child.communicate)
            assert child.returncode not in (0, None)
            floor = (await client.jetstream().consumer_info("EVENTS", "thenwire")).ack_floor.stream_seq
            assert floor == 0

    tools.with_server(scenario)
