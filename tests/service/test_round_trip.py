"""Messages in, alerts and dead letters out, over a real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

PAYLOADS = [
    (b'{"kind":"net.flow","device":"d1"}', "application/json"),
    (b'[{"kind":"a"},{"kind":"b"}]', None),
    (b'{"kind":"a"}\n{"kind":"b"}\n', "application/x-ndjson"),
]


@asynccontextmanager
async def listening(client: Any, subject: str) -> AsyncIterator["asyncio.Queue[Any]"]:
    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def keep(message: Any) -> None:
        queue.put_nowait(message)

    subscription = await client.subscribe(subject, cb=keep)
    await client.flush()
    yield queue
    await subscription.unsubscribe()


def test_an_event_published_by_a_client_comes_back_as_an_alert(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        processor = tools.fakes.FakeProcessor()
        async with (
            tools.client(server) as client,
            listening(client, "alerts.>") as alerts,
            tools.service(tools.settings(server), processor) as service,
        ):
            stored = await client.jetstream().publish("events.d.1", b'{"kind":"x"}')
            alert = await alerts.get()
            assert alert.subject == "alerts.high.fake=20rule.events=2Ed=2E1"
            assert alert.data == b'{"kind":"x"}'
            assert alert.headers == {
                "Nats-Msg-Id": f"fake:EVENTS:{stored.seq}",
                "Test-Sequence": str(stored.seq),
            }
            report = await service.stopped()
        assert report.messages == 1
        assert report.published == {"alerts": 1}
        assert report.last_sequence_acked == stored.seq

    tools.with_server(scenario)


def test_the_processor_gets_every_payload_shape_untouched(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        processor = tools.fakes.FakeProcessor()
        async with (
            tools.client(server) as client,
            tools.service(tools.settings(server), processor) as service,
        ):
            jetstream = client.jetstream()
            stored = []
            for payload, content_type in PAYLOADS:
                headers = {"content-type": content_type} if content_type else None
                await jetstream.publish("events.x", payload, headers=headers)
                stored.append(await jetstream.get_last_msg("EVENTS", "events.x"))
            await tools.until(lambda: len(processor.seen) == len(PAYLOADS))
            await service.stopped()
        seen = processor.seen
        assert [(payload, content_type) for payload, content_type, *_ in seen] == PAYLOADS
        assert [sequence for _, _, sequence, *_ in seen] == [message.seq for message in stored]
        assert {(stream, subject) for *_, stream, subject, _ in seen} == {("EVENTS", "events.x")}
        # Epoch milliseconds of the server's clock, in order.
        times = [received for *_, received in seen]
        assert times == sorted(times)
        assert len(str(times[0])) == 13

    tools.with_server(scenario)


def test_a_bad_event_becomes_a_dead_letter_and_the_next_one_an_alert(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        async with (
            tools.client(server) as client,
            listening(client, "dlq.thenwire.>") as letters,
            listening(client, "alerts.>") as alerts,
            tools.service(tools.settings(server), tools.fakes.FakeProcessor()) as service,
        ):
            bad = await client.jetstream().publish("events.x", b"\x00\xffnonsense")
            good = await client.jetstream().publish("events.x", b"{}")
            letter = await letters.get()
            assert letter.subject == "dlq.thenwire.malformed_json"
            assert letter.data == b"\x00\xffnonsense"
            assert letter.headers["Origin-Stream"] == "EVENTS"
            assert letter.headers["Origin-Sequence"] == str(bad.seq)
            assert letter.headers["Origin-Subject"] == "events.x"
            assert letter.headers["Error-Reason"] == "malformed_json"
            assert (await alerts.get()).headers["Test-Sequence"] == str(good.seq)
            report = await service.stopped()
        assert report.published == {"dlq": 1, "alerts": 1}

    tools.with_server(scenario)


def test_an_event_with_the_headers_of_a_server_status_is_an_event(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        processor = tools.fakes.FakeProcessor()
        async with (
            tools.client(server) as client,
            tools.service(tools.settings(server), processor) as service,
        ):
            for status in ("100", "404", "409"):
                await client.jetstream().publish(
                    "events.x", b"{}", headers={"Status": status, "Description": "x"}
                )
            await client.jetstream().publish("events.x", b"", headers={"Status": "100"})
            await tools.until(lambda: len(processor.seen) == 4)
            report = await service.stopped()
        assert report.messages == 4
        assert report.reopened == 0

    tools.with_server(scenario)


def test_a_processor_that_raises_loses_nothing(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        class Raising(tools.fakes.FakeProcessor):  # type: ignore[misc]  # loaded at run time
            def process(self, payload: bytes, *rest: Any) -> Any:
                if payload == b"{1}":
                    raise RuntimeError("a bug\r\nin a rule")
                return super().process(payload, *rest)

        async with (
            tools.client(server) as client,
            listening(client, "dlq.thenwire.processor_error") as letters,
            listening(client, "alerts.>") as alerts,
            tools.service(tools.settings(server), Raising()) as service,
        ):
            await client.jetstream().publish("events.x", b"{1}")
            await client.jetstream().publish("events.x", b"{2}")
            letter = await letters.get()
            assert letter.data == b"{1}"
            assert letter.headers["Error-Detail"] == "RuntimeError: a bug?in a rule"
            assert (await alerts.get()).data == b"{2}"
            report = await service.stopped()
        assert report.failed == 1

    tools.with_server(scenario)


def test_an_alert_too_large_for_the_server_becomes_a_small_dead_letter(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        class Doubling(tools.fakes.FakeProcessor):  # type: ignore[misc]  # loaded at run time
            def process(self, payload: bytes, *rest: Any) -> Any:
                (one,) = super().process(payload, *rest)
                return [tools.fakes.Outgoing(one.subject, payload * 2, one.message_id, one.headers)]

        async with (
            tools.client(server) as client,
            listening(client, "dlq.thenwire.too_large") as letters,
            tools.service(tools.settings(server), Doubling()) as service,
        ):
            large = b"{" + b"x" * (5 * 1024 * 1024)
            await client.jetstream().publish("events.x", large)
            letter = await letters.get()
            assert large.startswith(letter.data)
            assert 0 < len(letter.data) <= 1024
            assert letter.headers["Nats-Msg-Id"] == "refused:fake:EVENTS:1"
            assert str(2 * len(large)) in letter.headers["Error-Detail"]
            report = await service.stopped()
        assert report.last_sequence_acked == 1
        assert report.refused == 0

    tools.with_server(scenario)


def test_events_larger_than_a_pull_request_still_arrive(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        processor = tools.fakes.FakeProcessor()
        settings = tools.settings(server, pull_bytes=64 * 1024)
        async with tools.client(server) as client, tools.service(settings, processor):
            for size in (10, 300_000, 20):
                await client.jetstream().publish("events.x", b"{" + b"x" * size)
            await tools.until(lambda: len(processor.seen) == 3)
        assert [len(payload) for payload, *_ in processor.seen] == [11, 300_001, 21]

    tools.with_server(scenario)


def test_nothing_is_left_to_do_after_a_stop(tools: Any) -> None:
    """What waits in the stream at the stop is either processed and acknowledged, or neither."""

    async def scenario(server: Any) -> None:
        processor = tools.fakes.FakeProcessor()
        async with tools.client(server) as client:
            async with tools.service(tools.settings(server), processor) as service:
                for number in range(5000):
                    await client.publish("events.x", json.dumps({"n": number}).encode())
                await client.flush()
                report = await service.stopped()
            alerts = await client.jetstream().stream_info("ALERTS")
            consumer = await client.jetstream().consumer_info("EVENTS", "thenwire")
        assert report.messages == len(processor.seen) == alerts.state.messages
        assert report.last_sequence_acked == consumer.ack_floor.stream_seq == report.messages

    tools.with_server(scenario)


@pytest.mark.parametrize("batch", [1, 7])
def test_small_batches_keep_the_pull_going(tools: Any, batch: int) -> None:
    async def scenario(server: Any) -> None:
        processor = tools.fakes.FakeProcessor()
        async with (
            tools.client(server) as client,
            tools.service(tools.settings(server, pull_batch=batch), processor),
        ):
            for _ in range(50):
                await client.jetstream().publish("events.x", b"{}")
            await tools.until(lambda: len(processor.seen) == 50)
        assert [sequence for _, _, sequence, *_ in processor.seen] == list(range(1, 51))

    tools.with_server(scenario)
