"""A restart goes on from the stored state; what would be wrong is refused in a sentence."""

import asyncio
import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js.api import StreamSource

import dsl
from engine.service.checkpoints.bucket import BucketStore
from engine.service.checkpoints.model import Checkpoint, StoreUnavailableError
from engine.service.checkpoints.sqlite import SqliteStore
from engine.service.errors import ServiceError
from engine.service.matching import MatchingProcessor
from engine.service.subjects import TICK, tick_subject

RULES = """
EVENT upload GRACE 0ms { app: string }
EVENT crash GRACE 0ms { app: string }
RULE crash after upload { BY device, app  WHEN upload AS u THEN crash AS c WITHIN 10m  SEVERITY high }
"""
SILENCE = """
EVENT beat GRACE 0ms { n: int }
RULE silent { WHEN beat AS b THEN NO beat FOR 1s  SEVERITY low }
"""
LISTED = """
EVENT visit GRACE 0ms {{ host: string }}
LIST bad hosts FROM "{file}"
RULE visited bad host {{ WHEN visit [host IN LIST bad hosts] AS v  SEVERITY high }}
"""


def event(kind: str, at: int, device: str = "phone", **fields: Any) -> bytes:
    return json.dumps({"kind": kind, "device": device, "time": at, **({"app": "a"} | fields)}).encode()


class BadDisk(SqliteStore):
    """A file on a disk that is full at times."""

    full = False
    attempts = 0

    async def commit(self, checkpoint: Checkpoint) -> None:
        self.attempts += 1
        if self.full:
            raise StoreUnavailableError("the disk is full")
        await super().commit(checkpoint)


def matching(text: str = RULES) -> MatchingProcessor:
    return MatchingProcessor(dsl.load_text(text))


def options(**changes: Any) -> dict[str, Any]:
    return {"checkpoint_interval": 0.05, "tick_after": 0.0, **changes}


async def alerts(client: Any) -> list[tuple[str, str]]:
    """Id and subject of every stored alert."""
    jetstream = client.jetstream()
    state = (await jetstream.stream_info("ALERTS")).state
    messages = [await jetstream.get_msg("ALERTS", number) for number in range(1, state.last_seq + 1)]
    return [(message.headers["Nats-Msg-Id"], message.subject) for message in messages]


async def publish(client: Any, *payloads: bytes) -> None:
    for payload in payloads:
        await client.jetstream().publish("events.x", payload)


async def read_all(client: Any, consumer: str = "thenwire") -> None:
    """Until everything in the stream is acknowledged."""
    jetstream = client.jetstream()

    async def left() -> bool:
        floor = (await jetstream.consumer_info("EVENTS", consumer)).ack_floor.stream_seq
        return bool(floor < (await jetstream.stream_info("EVENTS")).state.last_seq)

    while await left():  # noqa: ASYNC110  # what is waited for is on the server
        await asyncio.sleep(0.01)


async def one_stored(client: Any, stream: str) -> None:
    while not (await client.jetstream().stream_info(stream)).state.last_seq:  # noqa: ASYNC110  # of the server
        await asyncio.sleep(0.01)


async def make_stream(client: Any, **more: Any) -> None:
    await client.jetstream().add_stream(name="EVENTS", subjects=["events.>"], **more)


def test_a_match_that_was_begun_is_completed_after_a_restart(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        path = tools.directory / "state"
        async with tools.client(server) as client:
            await make_stream(client)
            await publish(client, event("upload", 1000))
            for payload in (b"", event("crash", 2000)):
                if payload:
                    await publish(client, payload)
                async with tools.service(
                    tools.settings(server, **options()), matching(), store=SqliteStore(path)
                ) as service:
                    await read_all(client)
                    report = await service.stopped()
            assert report.messages == 1
            assert report.last_sequence_stored == report.last_sequence_acked == 2
            assert len(await alerts(client)) == 1

    tools.with_server(scenario)


def test_another_machine_goes_on_from_the_bucket(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            await make_stream(client)
            for payload in (event("upload", 1000), event("crash", 2000)):
                await publish(client, payload)
                store = BucketStore("states", "one", create=True)
                async with tools.service(
                    tools.settings(server, **options()), matching(), store=store
                ) as service:
                    await read_all(client)
                    await service.stopped()
            assert len(await alerts(client)) == 1

    tools.with_server(scenario)


def test_without_a_store_a_restart_forgets(tools: Any) -> None:
    """The control of the two tests above."""

    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            await make_stream(client)
            for payload in (event("upload", 1000), event("crash", 2000)):
                await publish(client, payload)
                async with tools.service(tools.settings(server), matching()) as service:
                    await read_all(client)
                    await service.stopped()
            assert await alerts(client) == []

    tools.with_server(scenario)


def test_the_stored_position_wins_over_the_servers_and_alerts_keep_their_ids(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        path, copy = tools.directory / "state", tools.directory / "copy"
        settings = tools.settings(server, **options())
        async with tools.client(server) as client:
            await make_stream(client)
            await publish(client, event("upload", 1000))
            async with tools.service(settings, matching(), store=SqliteStore(path)) as service:
                await read_all(client)
                await service.stopped()
            shutil.copy(path, copy)
            await publish(client, event("crash", 2000), event("crash", 3000))
            async with tools.service(settings, matching(), store=SqliteStore(path)) as service:
                await read_all(client)
                await service.stopped()
            before = await alerts(client)
            assert len(before) >= 1
            floor = (await client.jetstream().consumer_info("EVENTS", "thenwire")).ack_floor.stream_seq
            assert floor == 3
            # As after a crash that came between the acknowledgement and nothing at all: the older state.
            async with tools.service(settings, matching(), store=SqliteStore(copy)) as service:
                await read_all(client)
                report = await service.stopped()
            assert report.messages == 2
            assert report.published["alerts"] == report.duplicates == len(before)
            assert await alerts(client) == before

    tools.with_server(scenario)


def test_what_the_stream_no_longer_has_is_counted_and_said(
    tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(server: Any) -> None:
        path = tools.directory / "state"
        settings = tools.settings(server, **options())
        async with tools.client(server) as client:
            await make_stream(client)
            await publish(client, event("upload", 1000))
            async with tools.service(settings, matching(), store=SqliteStore(path)) as service:
                await read_all(client)
                await service.stopped()
            await publish(client, *(event("upload", 1000 + n, app="b") for n in range(4)))
            await publish(client, event("crash", 2000))
            await client.jetstream().purge_stream("EVENTS", seq=5)
            async with tools.service(settings, matching(), store=SqliteStore(path)) as service:
                await read_all(client)
                report = await service.stopped()
            assert report.lost == 3
            assert report.messages == 2
            assert (
                "DATA LOSS: stream EVENTS begins at 5, but 2 was next; 3 messages were removed" in caplog.text
            )
            assert len(await alerts(client)) == 1

    tools.with_server(scenario)


async def _refused(
    tools: Any, server: Any, processor: Any, path: Path, sentence: str, **changes: Any
) -> None:
    settings = tools.settings(server, **options(**changes))
    with pytest.raises(ServiceError, match=sentence):
        async with tools.service(settings, processor, store=SqliteStore(path)):
            raise AssertionError("it must not start")


def test_a_state_of_other_rules_is_refused_until_one_begins_anew(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        path = tools.directory / "state"
        settings = tools.settings(server, **options())
        other = RULES.replace("10m", "11m") + "RULE more { WHEN crash AS c  SEVERITY low }\n"
        async with tools.client(server) as client:
            await make_stream(client)
            await publish(client, event("upload", 1000))
            async with tools.service(settings, matching(), store=SqliteStore(path)) as service:
                await read_all(client)
                await service.stopped()
            await _refused(
                *(tools, server, matching(other), path),
                r"is of other rules or PARAMs than these \(with `more`\): start with the ones of before, or "
                "start once with --fresh to begin with an empty state, which forgets what was half matched "
                "and learnt",
            )
            await publish(client, event("crash", 2000))
            async with tools.service(
                settings, matching(other), store=SqliteStore(path), fresh=True
            ) as service:
                await read_all(client)
                report = await service.stopped()
            # It has forgotten the upload, but not where it was.
            assert report.messages == 1
            assert [subject for _, subject in await alerts(client)] == ["alerts.low.more.phone"]
            async with tools.service(settings, matching(other), store=SqliteStore(path)) as service:
                await read_all(client)
                assert (await service.stopped()).messages == 0

    tools.with_server(scenario)


def test_a_state_of_another_stream_is_refused(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        path = tools.directory / "state"
        settings = tools.settings(server, **options())
        async with tools.client(server) as client:
            await make_stream(client)
            await publish(client, event("upload", 1000), event("upload", 1000))
            async with tools.service(settings, matching(), store=SqliteStore(path)) as service:
                await read_all(client)
                await service.stopped()
            await client.jetstream().add_stream(name="OTHER", subjects=["other.>"])
            await _refused(
                *(tools, server, matching(), path),
                "is of stream EVENTS, and this service reads OTHER: give it a state of its own with --state, "
                "or",
                input_stream="OTHER",
                input_subjects=("other.>",),
            )
            await client.jetstream().delete_stream("EVENTS")
            await make_stream(client)
            await _refused(
                *(tools, server, matching(), path),
                "EVENTS was deleted and created again after the state in .* was stored: start once with "
                "--fresh",
            )
            await publish(client, event("upload", 1000))
            async with tools.service(settings, matching(), store=SqliteStore(path), fresh=True) as service:
                await read_all(client)
                assert (await service.stopped()).last_sequence_stored == 1

    tools.with_server(scenario)


def test_a_stream_that_has_lost_its_end_is_refused(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        path = tools.directory / "state"
        settings = tools.settings(server, **options())
        async with tools.client(server) as client:
            await make_stream(client)
            await publish(client, event("upload", 1000))
            async with tools.service(settings, matching(), store=SqliteStore(path)) as service:
                await read_all(client)
                await service.stopped()
            store = SqliteStore(path)
            await store.open(None)
            saved = await store.load()
            assert saved is not None
            mark = msgspec.structs.replace(saved.mark, sequence=7, generation=saved.mark.generation + 1)
            await store.commit(Checkpoint(mark, saved.shared, {}))
            await store.close()
            await _refused(
                *(tools, server, matching(), path),
                "Stream EVENTS ends at 1, but the state in .* was stored at 7: the stream has lost its end",
            )

    tools.with_server(scenario)


def test_a_full_disk_holds_acknowledgements_back_and_loses_nothing(
    tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(server: Any) -> None:
        store = BadDisk(tools.directory / "state")
        async with tools.client(server) as client:
            await make_stream(client)
            processor = matching()
            settings = tools.settings(server, **options())
            async with tools.service(settings, processor, store=store) as service:
                store.full = True
                await publish(client, event("upload", 1000), event("crash", 2000))
                await tools.until(lambda: store.attempts > 2 and processor.alerts == 1)
                # The alert has left, but its events may come again.
                await one_stored(client, "ALERTS")
                info = await client.jetstream().consumer_info("EVENTS", "thenwire")
                assert info.ack_floor.stream_seq == 0
                assert (
                    "state: the disk is full. Nothing is acknowledged until it can be; trying again."
                    in caplog.text
                )
                store.full = False
                report = await service.stopped()
            assert "the state can be stored again in the file" in caplog.text
            assert report.checkpoint_failures > 0
            assert report.last_sequence_acked == report.last_sequence_stored == 2

    tools.with_server(scenario)


def test_a_state_that_another_process_took_over_ends_the_service(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        path = tools.directory / "state"
        # It stores nothing before it stops.
        settings = tools.settings(server, **options(checkpoint_interval=60.0))
        async with tools.client(server) as client:
            await make_stream(client)
            other = tools.settings(server, **options(consumer="other"))

            async def both() -> None:
                async with tools.service(settings, matching(), store=SqliteStore(path)):
                    await publish(client, event("upload", 1000))
                    async with tools.service(other, matching(), store=SqliteStore(path)):
                        await read_all(client, "other")

            with pytest.raises(ServiceError, match=r"Another thenwire has written to .* meanwhile"):
                await both()

    tools.with_server(scenario)


@pytest.mark.parametrize("together", [True, False])
def test_an_event_that_the_engine_fails_on_takes_nothing_with_it(tools: Any, together: bool) -> None:
    async def scenario(server: Any) -> None:
        path = tools.directory / "state"
        settings = tools.settings(server, **options())
        processor = matching()
        feed = processor.matcher.feed

        def fails_once(event: Any, position: int | None = None) -> Any:
            if event.device == "poison":
                raise RuntimeError("a bug")
            return feed(event, position)

        def together_fails_once(events: Any, position: int, step: int, refuse: Any) -> Any:
            said: list[Any] = []
            for number, one in enumerate(events):
                try:
                    said += fails_once(one, position + number * step)
                except RuntimeError as error:
                    refuse(error, position + number * step)
            return said

        processor.matcher.feed = fails_once
        stand_in: Any = together_fails_once if together else None
        processor.matcher.feed_decoded = stand_in
        async with tools.client(server) as client:
            await make_stream(client)
            batch = [
                event("upload", 1),
                event("crash", 2),
                event("crash", 3, "poison"),
                event("upload", 4, "b"),
            ]
            async with tools.service(settings, processor, store=SqliteStore(path)) as service:
                await publish(client, b"[" + b",".join(batch) + b"]")
                await tools.until(lambda: processor.failed == 1)
                await read_all(client)
                report = await service.stopped()
            assert report.published == {"alerts": 1, "dlq": 1}
            letter = await client.jetstream().get_msg("DLQ", 1)
            assert letter.subject == "dlq.thenwire.processor_error"
            assert letter.headers["Origin-Index"] == "2"
            # The state is whole: the upload that came after the failure is known.
            await publish(client, event("crash", 5, "b"))
            async with tools.service(settings, matching(), store=SqliteStore(path)) as service:
                await read_all(client)
                await service.stopped()
            assert len(await alerts(client)) == 2

    tools.with_server(scenario)


def test_a_silence_is_decided_by_a_tick_and_after_a_restart_again(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        path = tools.directory / "state"
        settings = tools.settings(server, **options(tick_after=0.2))
        async with tools.client(server) as client:
            await make_stream(client)
            now = round(time.time() * 1000)
            async with tools.service(settings, matching(SILENCE), store=SqliteStore(path)) as service:
                await publish(client, event("beat", now, n=1))
                await read_all(client)
                await service.stopped()
            assert await alerts(client) == []
            processor = matching(SILENCE)
            async with tools.service(settings, processor, store=SqliteStore(path)) as service:
                await tools.until(lambda: processor.alerts == 1)
                assert not processor.waiting
                await read_all(client)
                await service.stopped()
            assert len(await alerts(client)) == 1
            last = (await client.jetstream().stream_info("EVENTS")).state.last_seq
            tick = await client.jetstream().get_msg("EVENTS", last)
            assert (tick.subject, tick.data) == ("events.thenwire.tick", TICK)
            # A run over the recorded stream decides it at the same place.
            again, found = matching(SILENCE), []
            for number in range(1, last + 1):
                message = await client.jetstream().get_msg("EVENTS", number)
                at = round(message.time.timestamp() * 1000)
                found += again.process(message.data, None, number, "EVENTS", message.subject, at)
            assert [one.message_id for one in found] == [one for one, _ in await alerts(client)]
            assert again.unknown == {}

    tools.with_server(scenario)


def test_two_services_make_one_tick_of_a_silence(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        settings = tools.settings(server, **options(tick_after=30.0))
        async with tools.client(server) as client:
            await make_stream(client)
            async with tools.service(settings, matching(SILENCE)):
                await one_stored(client, "EVENTS")
            # What another would publish who has read as far.
            headers = {"Nats-Msg-Id": "tick:EVENTS:0"}
            answer = await client.jetstream().publish("events.thenwire.tick", TICK, headers=headers)
            assert answer.duplicate

    tools.with_server(scenario)


def test_a_stream_that_takes_no_tick_is_said(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            await make_stream(client)
            await client.jetstream().add_stream(name="COPY", mirror=StreamSource(name="EVENTS"))
            settings = tools.settings(server, **options(tick_after=5.0, input_stream="COPY"))
            async with tools.service(settings, matching(SILENCE)):
                await tools.until(lambda: "stream COPY takes no tick on events.thenwire.tick" in caplog.text)

    caplog.set_level(logging.INFO)
    tools.with_server(scenario)


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [
        (("events.>",), "events.thenwire.tick"),
        (("tel.*.events", "x"), "tel.thenwire.events"),
        (("events",), "events"),
        ((">",), "thenwire.tick"),
    ],
)
def test_ticks_go_to_a_subject_of_the_input(subjects: tuple[str, ...], expected: str) -> None:
    assert tick_subject(subjects) == expected


def test_a_list_changes_at_a_place_that_a_restart_finds_again(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        path, file = tools.directory / "state", tools.directory / "hosts.txt"
        file.write_text("old\n")
        rules = LISTED.format(file=file)
        settings = tools.settings(server, **options(checkpoint_interval=0.01))

        def visits(*hosts: str) -> list[bytes]:
            return [event("visit", 1000 + n, device=host, host=host) for n, host in enumerate(hosts)]

        async with tools.client(server) as client:
            await make_stream(client)
            async with tools.service(settings, matching(rules), store=SqliteStore(path)) as service:
                await publish(client, *visits("old", "new"))
                await read_all(client)
                await service.stopped()
            shutil.copy(path, tools.directory / "before")
            # These are read by a run that is then lost, and so they must mean the same once more. There are
            # many, so that a change that did not wait for the last of them would come before it.
            for payload in visits("other") * 4000:
                await client.publish("events.x", payload)
            await publish(client, *visits("old", "new"))
            file.write_text("new\n")
            processor = matching(rules)
            async with tools.service(
                settings, processor, store=SqliteStore(tools.directory / "before")
            ) as service:
                await tools.until(lambda: processor.matcher.plan.lists["bad_hosts"].entries == {"new"})
                await publish(client, *visits("old", "new"))
                await read_all(client)
                await service.stopped()
            devices = [subject.rpartition(".")[2] for _, subject in await alerts(client)]
            assert devices == ["old", "old", "new"]

    tools.with_server(scenario)
