"""`engine.client.alerts` on a real server: order, places kept, choices, faults."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from broker import Broker
from stored import ids, stream

from engine.client import (
    AlertStream,
    ServiceError,
    SettingsError,
    UnreadableAlertError,
    alerts,
)
from engine.service.serve import run_loop

_PATIENCE_SECONDS = 60


def bounded(work: Coroutine[Any, Any, None]) -> None:
    async def inside() -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await work

    run_loop(inside())


async def take(source: AlertStream, count: int, *, ack: bool = True) -> list[str]:
    found: list[str] = []
    if count:
        async for received in source:
            found.append(received.alert.id)
            if ack:
                await received.ack()
            if len(found) == count:
                break
    return found


def test_a_durable_stream_goes_on_behind_the_last_acknowledgement(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(6)
            async with alerts(durable="pager") as source:
                assert await take(source, 2) == ids([1, 2])
                # Taken and not acknowledged: it comes again.
                assert await take(source, 1, ack=False) == ids([3])
            await service.put(2)
            async with alerts(durable="pager") as source:
                assert await take(source, 6) == ids(range(3, 9))
            async with alerts(durable="pager", follow=False) as source:
                assert await take(source, 99) == []
            async with alerts(durable="other", follow=False) as source:
                assert await take(source, 99) == ids(range(1, 9))

    bounded(scenario())


def test_an_acknowledgement_covers_what_was_given_before(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(5)
            async with alerts(durable="pager") as source:
                given = [await anext(source) for _ in range(4)]
                await given[2].ack()
                await given[0].ack()
            async with alerts(durable="pager", follow=False) as source:
                assert await take(source, 99) == ids([4, 5])

    bounded(scenario())


def test_a_live_stream_begins_now_and_keeps_nothing(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(3)
            async with alerts() as source:
                await service.put(2)
                assert await take(source, 2) == ids([4, 5])
            async with alerts(follow=False) as source:
                assert await take(source, 99) == []
            async with alerts(follow=False, start="all") as source:
                assert await take(source, 99) == ids(range(1, 6))
            names = [info.name for info in await service.jetstream.consumers_info("ALERTS")]
            assert all(name.startswith("thenwire-") for name in names)

    bounded(scenario())


def test_a_stream_may_begin_at_a_moment(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(2)
            await asyncio.sleep(0.05)
            begin = datetime.now(UTC)
            await service.put(2)
            for name in (None, "pager"):
                async with alerts(durable=name, start=begin, follow=False) as source:
                    assert await take(source, 99, ack=False) == ids([3, 4])
            # What was not acknowledged comes again, from the moment on and not from the beginning.
            async with alerts(durable="pager", follow=False) as source:
                assert await take(source, 99) == ids([3, 4])
            later = datetime.now(UTC) + timedelta(hours=1)
            async with alerts(start=later, follow=False) as source:
                assert await take(source, 99) == []

    bounded(scenario())


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"severity": "high"}, [1, 3, 4]),
        ({"severity": ["high", "low"]}, [1, 2, 3, 4]),
        ({"severity": "critical"}, []),
        ({"rule": "other rule"}, [3]),
        ({"rule": "other_rule", "severity": ["high", "medium"]}, [3]),
        ({"device": "10.0.0.7"}, [4]),
        ({"device": "10"}, []),
        ({"device": ">"}, []),
        ({"shadow": True}, [1, 2, 3, 4, 5, 6]),
        ({"shadow": True, "severity": "low"}, [2, 6]),
    ],
)
def test_choices(broker: Broker, choice: dict[str, Any], wanted: list[int]) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(1, "high")
            await service.put(1, "low")
            await service.put(1, "high", rule="other_rule")
            await service.put(1, "high", device="10.0.0.7")
            await service.put(1, "medium")
            await service.put(1, "shadow")
            async with alerts(start="all", follow=False, **choice) as source:
                assert await take(source, 99) == ids(wanted)

    bounded(scenario())


def test_what_the_choice_leaves_out_is_not_read_again(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(300, "low")
            await service.put(1, "high")
            await service.put(10, "low")
            choice = {"durable": "pager", "severity": ["high", "critical"]}
            async with alerts(follow=False, **choice) as source:  # type: ignore[arg-type]  # a mixed dict
                assert await take(source, 99) == ids([301])
            info = await service.jetstream.consumer_info("ALERTS", "pager")
            assert info.ack_floor.stream_seq == 311

    bounded(scenario())


def test_what_the_choice_leaves_out_is_acknowledged_on_the_way(broker: Broker) -> None:
    """Not only at the end: a subscriber that is killed must not read a year of it again."""

    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(300, "low")
            async with alerts(durable="pager", severity=["high", "critical"]) as source:
                waiting = asyncio.ensure_future(anext(source))
                floor = 0
                while floor < 256:
                    await asyncio.sleep(0.02)
                    info = await service.jetstream.consumer_info("ALERTS", "pager")
                    floor = info.ack_floor.stream_seq
                waiting.cancel()

    bounded(scenario())


def test_what_cannot_be_read_is_raised_and_the_next_one_follows(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(1)
            await service.put_raw(b'{"schema": "thenwire.alert/9"}')
            await service.put(1)
            async with alerts(durable="pager") as source:
                assert await take(source, 1) == ids([1])
                with pytest.raises(UnreadableAlertError, match="message 2 under 'alerts") as caught:
                    await anext(source)
                assert caught.value.payload == b'{"schema": "thenwire.alert/9"}'
                assert source.unreadable == 1
            # It was not acknowledged, so it comes again until somebody has dealt with it.
            async with alerts(durable="pager") as source:
                with pytest.raises(UnreadableAlertError) as caught:
                    await anext(source)
                await caught.value.ack()
                assert await take(source, 1) == ids([3])

    bounded(scenario())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b'{"id": 5}',
        b'"' + b"x" * 900_000 + b'"',
        b'{"\x1b[2J": 1}',
    ],
)
def test_hostile_payloads_are_handed_to_the_function(broker: Broker, payload: bytes) -> None:
    async def scenario() -> None:
        seen: list[UnreadableAlertError] = []
        async with stream(broker.url) as service:
            await service.put_raw(payload)
            await service.put(1)
            async with alerts(durable="pager", follow=False, on_unreadable=seen.append) as source:
                assert await take(source, 99) == ids([2])
            assert [(error.payload, error.sequence) for error in seen] == [(payload, 1)]
            assert str(seen[0]).isprintable()
            assert len(str(seen[0])) < 500

    bounded(scenario())


def test_a_slow_subscriber_is_waited_for(broker: Broker) -> None:
    """10,000 alerts wait; the server is asked for a few hundred, and none is lost."""

    async def scenario() -> None:
        async with stream(broker.url) as service:
            acknowledged = [
                await service.jetstream.publish_async("alerts.high.r.d", b"{}") for _ in range(10_000)
            ]
            await asyncio.gather(*acknowledged)
            bad: list[int] = []
            source = alerts(
                durable="slow", follow=False, on_unreadable=lambda error: bad.append(error.sequence)
            )
            async with source:
                await asyncio.sleep(0.3)
                info = await service.jetstream.consumer_info("ALERTS", "slow")
                assert info.delivered.consumer_seq < 2_000
                assert await take(source, 99) == []
            assert bad == list(range(1, 10_001))

    bounded(scenario())


@pytest.mark.parametrize("durable", [None, "pager"])
def test_a_server_that_restarts_costs_nothing(broker: Broker, durable: str | None) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            async with alerts(durable=durable) as source:
                await service.put(4)
                assert await take(source, 3) == ids([1, 2, 3])
                held = await anext(source)
                broker.restart()
                await service.put(3)
                assert await take(source, 3) == ids([5, 6, 7])
                await held.ack()
                assert source.reopened >= 1
            if durable:
                async with alerts(durable=durable, follow=False) as source:
                    assert await take(source, 99) == []

    bounded(scenario())


def test_an_acknowledgement_from_before_a_lost_connection_counts(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            async with alerts(durable="pager") as source:
                await service.put(3)
                given = [await anext(source) for _ in range(3)]
                broker.restart()
                await given[1].ack()
                await service.put(1)
                assert (await anext(source)).alert.id == "alert-4"
            async with alerts(durable="pager", follow=False) as source:
                assert await take(source, 99) == ids([3, 4])

    bounded(scenario())


def test_two_subscribers_under_one_name_are_found_out(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            going = True

            async def publish() -> None:
                while going:
                    await service.put(1)

            publishing = asyncio.ensure_future(publish())

            async def read() -> None:
                async with alerts(durable="pager") as source:
                    async for received in source:
                        await received.ack()

            readers = [asyncio.ensure_future(read()) for _ in range(2)]
            done, rest = await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
            going = False
            await publishing
            for reader in rest:
                reader.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            assert str(done.pop().exception()) == (
                "Alerts for consumer pager of stream ALERTS go missing again and again: does another "
                "subscriber read from it?"
            )

    bounded(scenario())


def test_what_ends_it_is_a_sentence(broker: Broker) -> None:
    async def scenario() -> None:
        with pytest.raises(ServiceError, match=r"^There is no stream ALERTS with alerts\.$"):
            async with alerts():
                pass
        async with stream(broker.url) as service:
            async with alerts(durable="pager", severity="high"):
                pass
            with pytest.raises(ServiceError) as caught:
                async with alerts(durable="pager"):
                    pass
            assert str(caught.value) == (
                "Consumer pager of stream ALERTS reads alerts.high.*.*, not alerts.>; "
                "delete it or take another name."
            )
            await service.jetstream.add_consumer("ALERTS", durable_name="mine", ack_policy="explicit")
            with pytest.raises(ServiceError, match="but not as a pull consumer with ack policy all"):
                async with alerts(durable="mine"):
                    pass
            async with alerts() as source:
                await service.jetstream.delete_stream("ALERTS")
                with pytest.raises(ServiceError) as caught:
                    await anext(source)
                assert str(caught.value) == "Stream ALERTS with alerts was deleted."

    bounded(scenario())


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (
            {"severity": "urgent"},
            "A severity is one of none, info, low, medium, high, critical, not 'urgent'.",
        ),
        ({"durable": "a.b"}, "A durable name is letters, digits, - and _, not 'a.b'."),
        ({"start": datetime(2026, 1, 1)}, "The moment to start from needs a time zone."),
    ],
)
def test_a_choice_that_makes_no_sense_is_a_sentence(choice: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        alerts({}, **choice)
    assert str(caught.value) == sentence


def test_it_must_be_opened_first() -> None:
    with pytest.raises(RuntimeError, match="open the stream first"):
        run_loop(anext(alerts({})))  # type: ignore[arg-type]  # an awaitable that is a coroutine


def test_a_received_alert_is_the_one_that_was_published(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(1)
            async with alerts(start="all") as source:
                received = await anext(source)
            assert received.subject == "alerts.high.flow_then_crash.d1"
            assert received.sequence == 1
            assert received.alert.device == "d1"
            assert msgspec.json.encode(received.alert) == received.payload
            stored = await service.jetstream.get_msg("ALERTS", 1)
            assert stored.data == received.payload

    bounded(scenario())


def test_who_is_cancelled_while_closing_leaves_no_connection_behind(broker: Broker) -> None:
    async def scenario() -> None:
        async with stream(broker.url) as service:
            await service.put(3)
            # At another moment each time.
            for turns in range(60):
                source = alerts(durable="pager")
                leave = asyncio.Event()

                async def read(source: AlertStream = source, leave: asyncio.Event = leave) -> None:
                    async with source:
                        await take(source, 1, ack=False)
                        leave.set()

                reading = asyncio.ensure_future(read())
                await leave.wait()
                for _ in range(turns):
                    await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait({reading})
                opened = source._source
                assert opened is not None
                assert opened.connection.client.is_closed

    bounded(scenario())
