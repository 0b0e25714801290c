"""What ends the service ends it with one sentence, and what could lose events silently does not."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from engine.service.errors import ServiceError, SettingsError
from engine.service.run import run
from engine.service.serve import run_loop
from engine.service.settings import Settings

_PERMISSIONS = """
authorization {
  users = [
    { user: op, password: op }
    { user: engine, password: engine, permissions: {
        publish: { allow: [ALLOWED] }
        subscribe: { allow: ["_INBOX_thenwire.>"] }
    } }
  ]
}
"""

_NEEDED = [
    "dlq.thenwire.>",
    "late.thenwire.>",
    "$JS.API.STREAM.INFO.EVENTS",
    "$JS.API.STREAM.INFO.ALERTS",
    "$JS.API.STREAM.INFO.DLQ",
    "$JS.API.CONSUMER.INFO.EVENTS.thenwire",
    "$JS.API.CONSUMER.CREATE.EVENTS.thenwire",
    "$JS.API.CONSUMER.MSG.NEXT.EVENTS.thenwire",
    "$JS.API.CONSUMER.RESET.EVENTS.thenwire",
    "$JS.ACK.EVENTS.thenwire.>",
]


async def _never_ready(settings: Settings, processor: Any) -> None:
    def ready() -> None:
        raise AssertionError("it must not start")

    await run(settings, processor, stop=asyncio.Event(), on_ready=ready)


async def _ignore(_: Exception) -> None:
    pass


def test_a_refused_login_is_a_sentence(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        with pytest.raises(ServiceError, match="refused the login"):
            await _never_ready(Settings(servers=(server.url,), token="wrong"), tools.fakes.FakeProcessor())

    tools.with_server(scenario)


def test_no_server_is_a_sentence_after_a_bounded_time(tools: Any) -> None:
    settings = Settings(servers=("nats://me:secret@127.0.0.1:9",), connect_timeout=0.3)
    with pytest.raises(ServiceError, match="No NATS server answered") as caught:
        run_loop(_never_ready(settings, tools.fakes.FakeProcessor()))
    assert "secret" not in str(caught.value)


def test_a_stop_while_no_server_is_there_ends_in_order(tools: Any) -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, stop.set)
        settings = Settings(servers=("nats://127.0.0.1:9",))
        report = await run(settings, tools.fakes.FakeProcessor(), stop=stop)
        assert report.messages == 0

    run_loop(scenario())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"credentials_file": "/nowhere/x.creds"}, "cannot be read"),
        ({"ca_file": "/nowhere/ca.pem"}, "cannot be used"),
    ],
)
def test_files_that_are_not_there(tools: Any, changes: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        run_loop(_never_ready(Settings(**changes), tools.fakes.FakeProcessor()))


def test_the_permissions_in_the_documentation_are_enough_and_a_missing_one_is_a_sentence(tools: Any) -> None:
    document = (Path(__file__).parent.parent.parent / "docs" / "reference" / "nats.md").read_text()
    for subject in [*_NEEDED, "alerts.>", "_INBOX_thenwire.>"]:
        assert f"`{subject}`" in document

    def allowed(subjects: list[str]) -> str:
        return _PERMISSIONS.replace("ALLOWED", ", ".join(json.dumps(subject) for subject in subjects))

    async def with_permissions(name: str, subjects: list[str]) -> int:
        server = tools.plain_server(name)
        server.configure(allowed(subjects))
        with server:
            operator = await nats.connect(server.url, user="op", password="op", error_cb=_ignore)
            jetstream = operator.jetstream()
            for stream, patterns in (
                ("EVENTS", ["events.>"]),
                ("ALERTS", ["alerts.>"]),
                ("DLQ", ["dlq.thenwire.>", "late.thenwire.>"]),
            ):
                await jetstream.add_stream(name=stream, subjects=patterns, duplicate_window=7200)
            settings = Settings(
                servers=(server.url,),
                user="engine",
                password="engine",
                manage_streams=False,
                inbox_prefix="_INBOX_thenwire",
                commit_interval=0.05,
            )
            try:
                processor = tools.fakes.FakeProcessor()
                async with tools.service(settings, processor) as service:
                    await jetstream.publish("events.x", b"{}")
                    await tools.until(lambda: len(processor.seen) == 1 or service.task.done())
                    while not service.task.done():
                        if (await jetstream.stream_info("ALERTS")).state.messages:
                            break
                        await asyncio.sleep(0.01)
                    if service.task.done():
                        service.task.result()
                    return (await service.stopped()).last_sequence_acked
            finally:
                await operator.close()

    assert asyncio.run(with_permissions("enough", [*_NEEDED, "alerts.>"])) == 1
    for missing in ("alerts.>", "$JS.API.CONSUMER.RESET.EVENTS.thenwire"):
        rest = [subject for subject in [*_NEEDED, "alerts.>"] if subject != missing]
        with pytest.raises(ServiceError, match=r"lacks a permission.*publish"):
            asyncio.run(with_permissions(f"missing{len(missing)}", rest))


def test_another_reader_of_the_consumer_is_found_out(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        processor = tools.fakes.FakeProcessor()
        async with tools.client(server) as client:
            jetstream = client.jetstream()
            await jetstream.add_stream(name="EVENTS", subjects=["events.>"])
            stealing = True

            async def steal() -> None:
                while stealing:
                    await client.publish("$JS.API.CONSUMER.MSG.NEXT.EVENTS.thenwire", b"1", reply="stolen.x")
                    await jetstream.publish("events.x", b"{}")

            await client.subscribe("stolen.x")
            thief = asyncio.ensure_future(steal())
            try:
                with pytest.raises(ServiceError, match="does another client read from it"):
                    await run(tools.settings(server), processor, stop=asyncio.Event())
            finally:
                stealing = False
                await thief
        # Whatever the thief took was noticed: what was processed has no hole.
        sequences = [sequence for _, _, sequence, *_ in processor.seen]
        assert sequences == list(range(1, len(sequences) + 1))

    tools.with_server(scenario)


def test_a_stream_that_was_made_anew_is_not_skipped_over(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        processor = tools.fakes.FakeProcessor()
        async with tools.client(server) as client:
            jetstream = client.jetstream()

            async def make_anew() -> None:
                await jetstream.publish("events.x", b"{}")
                await tools.until(lambda: len(processor.seen) == 1)
                await jetstream.delete_stream("EVENTS")
                await jetstream.add_stream(name="EVENTS", subjects=["events.>"])

            await jetstream.add_stream(name="EVENTS", subjects=["events.>"])
            making = asyncio.ensure_future(make_anew())
            # The service may look between the two steps, and then finds no stream.
            with pytest.raises(ServiceError, match=r"deleted and created again|no stream EVENTS"):
                await run(tools.settings(server), processor, stop=asyncio.Event())
            await making

    tools.with_server(scenario)


def test_events_that_retention_removed_unread_are_counted(
    tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            processor = tools.fakes.FakeProcessor()
            await client.jetstream().add_stream(name="EVENTS", subjects=["events.>"], max_msgs=2)
            async with tools.service(tools.settings(server), processor):
                await client.jetstream().publish("events.x", b"{}")
                await tools.until(lambda: len(processor.seen) == 1)
            for _ in range(5):
                await client.jetstream().publish("events.x", b"{}")
            async with tools.service(tools.settings(server), processor) as service:
                await tools.until(lambda: len(processor.seen) == 3)
                report = await service.stopped()
        assert report.lost == 3
        assert [sequence for _, _, sequence, *_ in processor.seen] == [1, 5, 6]

    tools.with_server(scenario)
    assert "DATA LOSS" in caplog.text


async def _made_anew(client: Any, before: Any) -> None:
    """Return when the consumer exists and is another one than that created at ``before``."""
    while True:
        with contextlib.suppress(nats.js.errors.NotFoundError):
            info = await client.jetstream().consumer_info("EVENTS", "thenwire")
            if info.created != before:
                return
        await asyncio.sleep(0.01)


def test_a_deleted_consumer_is_made_again_and_nothing_is_read_twice(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        processor = tools.fakes.FakeProcessor()
        async with (
            tools.client(server) as client,
            tools.service(tools.settings(server), processor) as service,
        ):
            for number in range(1, 4):
                await client.jetstream().publish("events.x", b"{}")
                floor = 0
                while floor < number:
                    info = await client.jetstream().consumer_info("EVENTS", "thenwire")
                    floor = info.ack_floor.stream_seq
                # Longer than it takes the service to hear of the acknowledgement.
                await asyncio.sleep(0.1)
                await client.jetstream().delete_consumer("EVENTS", "thenwire")
                await _made_anew(client, info.created)
            await client.jetstream().publish("events.x", b"{}")
            await tools.until(lambda: len(processor.seen) == 4)
            report = await service.stopped()
        assert [sequence for _, _, sequence, *_ in processor.seen] == [1, 2, 3, 4]
        assert report.last_sequence_acked == 4
        # Nor delivered twice: the new consumer starts where we are, not at the beginning of the stream.
        assert report.skipped == 0
        assert report.reopened == 3

    tools.with_server(scenario)


def test_a_consumer_of_another_kind_is_refused(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        async with tools.client(server) as client:
            await client.jetstream().add_stream(name="EVENTS", subjects=["events.>"])
            config = ConsumerConfig(name="thenwire", durable_name="thenwire", ack_policy=AckPolicy.EXPLICIT)
            await client.jetstream().add_consumer("EVENTS", config)
            with pytest.raises(ServiceError, match="not with ack policy all"):
                await _never_ready(tools.settings(server), tools.fakes.FakeProcessor())

    tools.with_server(scenario)


def test_nothing_is_acknowledged_before_its_alert_is_stored(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        processor = tools.fakes.FakeProcessor()
        settings = tools.settings(server, publish_timeout=0.1)
        async with tools.client(server) as client:
            jetstream = client.jetstream()
            async with tools.service(settings, processor) as service:
                config = (await jetstream.stream_info("ALERTS")).config
                await jetstream.delete_stream("ALERTS")
                await jetstream.publish("events.x", b"{}")
                await tools.until(lambda: len(processor.seen) == 1)
                # Several commit intervals and several attempts to publish.
                await asyncio.sleep(0.5)
                assert (await jetstream.consumer_info("EVENTS", "thenwire")).ack_floor.stream_seq == 0
                await jetstream.add_stream(config)
                report = await service.stopped()
            assert report.published == {"alerts": 1}
            assert report.resent >= 1
            assert (await jetstream.consumer_info("EVENTS", "thenwire")).ack_floor.stream_seq == 1

    tools.with_server(scenario)


def test_serve_starts_and_stops_a_server_of_its_own(tools: Any) -> None:
    settings = {"embedded": True, "embedded_directory": str(tools.directory / "own")}
    settings["server_binary"] = str(tools.binary)
    with tools.process(json.dumps(settings), tools.directory / "log") as child:
        child.send_signal(signal.SIGTERM)
        output, _ = child.communicate()
        assert child.returncode == 0
    assert json.loads(output)["messages"] == 0


def test_the_death_of_the_embedded_server_ends_the_service(tools: Any) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from engine.service.serve import serve\n"
        "from engine.service.settings import Settings\n"
        "from engine.service.errors import ServiceError\n"
        "directory = Path(sys.argv[1])\n"
        "def kill(settings):\n"
        "    ports = next((directory / 'ports').glob('*.ports'))\n"
        "    os.kill(int(ports.stem.rpartition('_')[2]), signal.SIGKILL)\n"
        "class Nothing:\n"
        "    def process(self, *arguments): return []\n"
        "settings = Settings(embedded=True, embedded_directory=str(directory), server_binary=sys.argv[2])\n"
        "try:\n"
        "    serve(settings, Nothing(), on_ready=kill)\n"
        "except ServiceError as error:\n"
        "    print(error)\n"
    )
    root = str(Path(__file__).parent.parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tools.directory / "own"), str(tools.binary)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": root},
        check=True,
    )
    assert done.stdout == "The embedded NATS server ended; its log says why.\n"
