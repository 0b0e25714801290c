"""``--warm``: rules without a past are filled from the stream, and of the past nothing is said."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.js.api import AckPolicy, ConsumerConfig

import dsl
from engine.cli import main
from engine.reload.bundle import bundle_of
from engine.reload.prepare import Prepared, make_matcher
from engine.service import filling
from engine.service.checkpoints.bucket import BucketStore
from engine.service.checkpoints.sqlite import SqliteStore
from engine.service.connection import Connection
from engine.service.durable import ensure_consumer, find_consumer, note_at_consumer
from engine.service.errors import ServiceError
from engine.service.look_back import Found, first_since
from engine.service.processor import Outgoing
from engine.service.rules.processor import ReloadingProcessor
from engine.service.run import run

RULES = """
EVENT upload GRACE 0ms LATE 1h { app: string }
EVENT crash GRACE 0ms LATE 1h { app: string }
EVENT reboot GRACE 0ms { n: int? }
RULE crash after upload { BY device, app  WHEN upload AS u THEN crash AS c WITHIN 10m  SEVERITY high }
RULE reboot after that { BY device  WHEN ALERT crash after upload THEN reboot WITHIN 1h  SEVERITY high }
"""
SUPPRESSING = """
EVENT crash GRACE 0ms LATE 1h { app: string }
RULE crashes { WHEN crash AS a THEN crash AS b WITHIN 1s  SEVERITY high  SUPPRESS 1h }
"""
TWO_DAYS = 48 * 3_600_000


def event(kind: str, at: int, device: str = "phone", **fields: Any) -> bytes:
    return json.dumps({"kind": kind, "device": device, "time": at, **({"app": "a"} | fields)}).encode()


def processor(text: str = RULES, kind: type[ReloadingProcessor] = ReloadingProcessor) -> ReloadingProcessor:
    ruleset = dsl.load_text(text)
    assert not ruleset.errors
    return kind(Prepared(bundle_of(ruleset), ruleset, make_matcher(ruleset), 0))


class Watched(ReloadingProcessor):
    """Calls ``at`` with each sequence that it takes, one after the other."""

    at: Callable[[int], None] = lambda _: None

    def process(self, payload: bytes, content_type: str | None, sequence: int, *rest: Any) -> list[Outgoing]:
        self.at(sequence)
        return super().process(payload, content_type, sequence, *rest)

    def process_together(self, *_: Any) -> None:
        return None


class Noting(ReloadingProcessor):
    """Notes which sequences it takes, and which of them together."""

    together = 0

    def process(self, payload: bytes, content_type: str | None, sequence: int, *rest: Any) -> list[Outgoing]:
        self.__dict__.setdefault("taken", []).append(sequence)
        return super().process(payload, content_type, sequence, *rest)

    def process_together(self, payloads: Any, first: int, *rest: Any) -> list[Outgoing] | None:
        found = super().process_together(payloads, first, *rest)
        if found is not None:
            self.__dict__.setdefault("taken", []).extend(range(first, first + len(payloads)))
            self.together += len(payloads)
        return found


class Alone(Noting):
    """One after the other."""

    def process_together(self, *_: Any) -> None:
        return None


class Bench:
    """A server, a state, and services that begin and end."""

    def __init__(self, tools: Any, server: Any, client: Any, kind: str) -> None:
        self.tools, self.server, self.client, self.kind = tools, server, client, kind
        self.jetstream = client.jetstream()

    def store(self) -> Any:
        if self.kind == "none":
            return None
        if self.kind == "bucket":
            return BucketStore("states", "one", create=True)
        return SqliteStore(self.tools.directory / "state")

    def settings(self, **changes: Any) -> Any:
        return self.tools.settings(self.server, checkpoint_interval=0.05, tick_after=0.0, **changes)

    async def publish(self, *payloads: bytes) -> None:
        for payload in payloads:
            await self.jetstream.publish("events.x", payload)

    @asynccontextmanager
    async def service(
        self, *payloads: bytes, text: str = RULES, settings: Any = None, **more: Any
    ) -> AsyncIterator[Any]:
        """The service, until it has acknowledged what is in the stream and these events."""
        made = processor(text)
        async with self.tools.service(
            settings or self.settings(), made, store=self.store(), **more
        ) as service:
            await self.publish(*payloads)
            await self.read_all()
            yield made
            await service.stopped()

    async def run(self, *payloads: bytes, text: str = RULES, **more: Any) -> None:
        async with self.service(*payloads, text=text, **more):
            pass

    async def read_all(self) -> None:
        while True:
            floor = (await self.jetstream.consumer_info("EVENTS", "thenwire")).ack_floor.stream_seq
            if floor >= (await self.jetstream.stream_info("EVENTS")).state.last_seq:
                return
            await asyncio.sleep(0.01)

    async def crash_in_the_fill(self, at: int, *, text: str = RULES, **more: Any) -> None:
        """Begin a service and end it without a word when it takes the message ``at``."""
        made = processor(text, Watched)
        assert isinstance(made, Watched)
        taken = asyncio.Event()

        def take(sequence: int) -> None:
            if sequence == at:
                taken.set()
                raise asyncio.CancelledError

        made.at = take
        stop = asyncio.Event()
        task = asyncio.ensure_future(run(self.settings(), made, stop=stop, store=self.store(), **more))
        await taken.wait()
        task.cancel()
        await asyncio.wait([task])

    async def said(self, stream: str = "ALERTS") -> list[Any]:
        state = (await self.jetstream.stream_info(stream)).state
        return [await self.jetstream.get_msg(stream, number) for number in range(1, state.last_seq + 1)]

    async def alerts(self) -> list[tuple[str, str, int]]:
        """Rule, device and revision of each stored alert."""
        found = [json.loads(message.data) for message in await self.said()]
        return [(one["rule"]["name"], one["device"], one["revision"]) for one in found]

    async def note(self) -> str | None:
        info = await self.jetstream.consumer_info("EVENTS", "thenwire")
        found: str | None = (info.config.metadata or {}).get(filling.NOTE)
        return found


@pytest.fixture
def with_bench(tools: Any, request: pytest.FixtureRequest) -> Callable[[Any], None]:
    kind = getattr(request, "param", "file")

    def with_bench(scenario: Any) -> None:
        async def inside(server: Any) -> None:
            async with tools.client(server) as client:
                await client.jetstream().add_stream(name="EVENTS", subjects=["events.>"])
                await scenario(Bench(tools, server, client, kind))

        tools.with_server(inside)

    return with_bench


everywhere = pytest.mark.parametrize("with_bench", ["file", "bucket", "none"], indirect=True)
PAST = (
    event("upload", 1_000, "old"),
    event("crash", 100_000, "old"),
    b"no event",
    event("upload", 110_000, "new"),
)


@everywhere
def test_what_began_in_the_past_completes_and_what_was_complete_is_not_said(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.publish(*PAST)
        async with bench.service(event("crash", 120_000, "new"), warm_ms=TWO_DAYS) as made:
            assert (made.alerts, made.late, made.dead_letters) == (1, 0, {})
        assert await bench.alerts() == [("crash_after_upload", "new", 1)]
        assert await bench.said("DLQ") == []
        assert await bench.note() is None

    with_bench(scenario)


def test_it_is_not_revised_either_and_rules_that_read_it_know_it(with_bench: Any) -> None:
    # The later upload comes late and is the better first step: without --warm that is a second revision.
    later = event("upload", 50_000, "old"), event("reboot", 130_000, "old")

    async def scenario(bench: Bench) -> None:
        await bench.publish(*PAST)
        await bench.run(*later, warm_ms=TWO_DAYS)
        assert await bench.alerts() == [("reboot_after_that", "old", 1)]
        # After a restart it is still not revised.
        await bench.run(event("upload", 60_000, "old"), warm_ms=TWO_DAYS)
        assert await bench.alerts() == [("reboot_after_that", "old", 1)]

    with_bench(scenario)


def test_without_warm_the_same_revision_is_said(with_bench: Any) -> None:
    """The control of the test above."""

    async def scenario(bench: Bench) -> None:
        await bench.publish(*PAST)
        await bench.run(event("upload", 50_000, "old"))
        assert ("crash_after_upload", "old", 2) in await bench.alerts()

    with_bench(scenario)


@pytest.mark.parametrize("warm", [True, False])
def test_what_nobody_saw_suppresses_nothing(with_bench: Any, warm: bool) -> None:
    past = [event("crash", at) for at in (1_000, 1_500, 10_000, 10_500)]
    present = [event("crash", at) for at in (20_000, 20_500, 30_000, 30_500)]

    async def scenario(bench: Bench) -> None:
        await bench.publish(*past)
        more = {"warm_ms": TWO_DAYS} if warm else {}
        await bench.run(*present, text=SUPPRESSING, **more)
        (alert,) = [json.loads(message.data) for message in await bench.said()]
        # Of the present the first, which counts nothing of the past; without --warm the first of all.
        assert alert["window"]["end"] == ("1970-01-01T00:00:20.500Z" if warm else "1970-01-01T00:00:01.500Z")
        assert alert["dedup"]["suppressed"] == 0

    with_bench(scenario)


def test_what_becomes_complete_by_an_event_after_the_place_is_said(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.publish(event("crash", 100_000))
        await bench.run(event("upload", 50_000), warm_ms=TWO_DAYS)
        assert await bench.alerts() == [("crash_after_upload", "phone", 1)]

    with_bench(scenario)


def test_what_waits_because_of_a_flood_is_of_the_past_too() -> None:
    made = processor()

    def feed(payload: bytes, sequence: int) -> list[str]:
        out = made.process(payload, None, sequence, "EVENTS", "events.x", 1_000_000 + sequence)
        return [one.subject for one in out]

    made.begin_filling()
    feed(event("crash", 100_000), 1)
    made.matcher.debt.owed = 1_000_000
    feed(event("upload", 50_000), 2)
    assert made.matcher.debt.waiting
    assert made.end_filling() == 1
    made.matcher.debt.owed = 0
    assert feed(event("upload", 900_000), 3) == []


def test_after_the_fill_a_restart_goes_on_and_does_not_fill(
    with_bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.publish(*PAST)
        await bench.run(warm_ms=TWO_DAYS)
        assert "the rules are filled: 4 messages read, 1 alerts of the past withheld" in caplog.text
        caplog.clear()
        # While nobody runs.
        await bench.publish(event("crash", 120_000, "new"), event("upload", 130_000, "third"))
        await bench.run(event("crash", 140_000, "third"), warm_ms=TWO_DAYS)
        assert "nothing is filled (--warm)" in caplog.text
        assert "the rules are filled" not in caplog.text
        assert await bench.alerts() == [("crash_after_upload", "new", 1), ("crash_after_upload", "third", 1)]

    with caplog.at_level(logging.INFO, logger="thenwire.service"):
        with_bench(scenario)


def test_fresh_fills_other_rules_up_to_the_stored_place(with_bench: Any) -> None:
    other = RULES.replace("10m", "11m")

    async def scenario(bench: Bench) -> None:
        await bench.run(*PAST)
        assert await bench.alerts() == [("crash_after_upload", "old", 1)]
        # After the place: these are for saying, though they stand in the stream at the start.
        await bench.publish(event("crash", 120_000, "new"), event("upload", 130_000, "third"))
        await bench.run(event("crash", 140_000, "third"), text=other, fresh=True, warm_ms=TWO_DAYS)
        assert (await bench.alerts())[1:] == [
            ("crash_after_upload", "new", 1),
            ("crash_after_upload", "third", 1),
        ]

    with_bench(scenario)


@pytest.mark.parametrize("with_bench", ["none"], indirect=True)
def test_without_a_state_every_start_fills_up_to_what_is_acknowledged(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.run(*PAST)
        await bench.publish(event("crash", 120_000, "new"), event("upload", 130_000, "third"))
        await bench.run(warm_ms=TWO_DAYS)
        await bench.run(event("crash", 140_000, "third"), warm_ms=TWO_DAYS)
        assert await bench.alerts() == [
            ("crash_after_upload", "old", 1),
            ("crash_after_upload", "new", 1),
            ("crash_after_upload", "third", 1),
        ]

    with_bench(scenario)


@everywhere
@pytest.mark.parametrize("again", [{"warm_ms": TWO_DAYS}, {}])
def test_a_crash_in_the_fill_begins_it_anew_up_to_the_same_place(with_bench: Any, again: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.publish(*PAST)
        for _ in range(2):
            await bench.crash_in_the_fill(2, warm_ms=TWO_DAYS)
            assert await bench.note() == f"4 {TWO_DAYS}"
            # It comes after the place, and so it is said.
            await bench.publish(event("crash", 120_000, "new"), event("upload", 130_000, "third"))
        await bench.run(event("crash", 140_000, "third"), **again)
        said = await bench.alerts()
        # Two crashes of "new" complete the one upload: the first does.
        assert sorted(said) == [("crash_after_upload", "new", 1), ("crash_after_upload", "third", 1)]
        assert await bench.said("DLQ") == []
        assert await bench.note() is None

    with_bench(scenario)


def test_a_crash_in_a_fresh_fill_keeps_the_stored_place(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.run(*PAST)
        await bench.publish(event("crash", 120_000, "new"))
        await bench.crash_in_the_fill(3, fresh=True, warm_ms=TWO_DAYS)
        assert await bench.note() == f"4 {TWO_DAYS}"
        await bench.run()
        assert await bench.alerts() == [("crash_after_upload", "old", 1), ("crash_after_upload", "new", 1)]

    with_bench(scenario)


def test_a_crash_after_the_state_is_stored_goes_on_from_it(
    with_bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.publish(*PAST)
        reached = asyncio.Event()

        async def for_ever(_: Any) -> None:
            reached.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(filling.Filling, "done", for_ever)
            task = asyncio.ensure_future(
                run(
                    *(bench.settings(), processor()),
                    stop=asyncio.Event(),
                    store=bench.store(),
                    warm_ms=TWO_DAYS,
                )
            )
            await reached.wait()
            task.cancel()
            await asyncio.wait([task])
        assert await bench.note() == f"4 {TWO_DAYS}"
        caplog.clear()
        await bench.run(event("crash", 120_000, "new"))
        assert "the rules are filled" not in caplog.text
        assert await bench.alerts() == [("crash_after_upload", "new", 1)]
        assert await bench.note() is None

    with caplog.at_level(logging.INFO, logger="thenwire.service"):
        with_bench(scenario)


def test_a_fill_that_is_given_up_begins_cold_at_the_place(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.publish(*PAST)
        await bench.crash_in_the_fill(2, warm_ms=TWO_DAYS)
        await bench.run(event("crash", 120_000, "new"), warm_ms=0)
        assert await bench.alerts() == []
        assert await bench.note() is None

    with_bench(scenario)


def test_many_messages_are_acknowledged_on_the_way_and_read_whole(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        count = 9_000
        for number in range(count):
            await bench.client.publish("events.x", event("upload", 1_000 + number, f"d{number}"))
        while (await bench.jetstream.stream_info("EVENTS")).state.last_seq < count:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.01)
        settings = bench.settings(max_ack_pending=2_000, pull_batch=500)
        crashes = [event("crash", 20_000, f"d{number}") for number in range(0, count, 1_000)]
        async with bench.service(*crashes, settings=settings, warm_ms=TWO_DAYS) as made:
            assert len(await bench.alerts()) == len(crashes)
            assert made.alerts == len(crashes)

    with_bench(scenario)


@pytest.mark.parametrize("kind", [Noting, Alone])
def test_each_message_is_taken_once_before_or_after_the_place(with_bench: Any, kind: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.run(*PAST)
        for number in range(3_000):
            await bench.client.publish("events.x", event("upload", 200_000 + number, "more"))
        while (await bench.jetstream.stream_info("EVENTS")).state.last_seq < 3_004:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.01)
        made = processor(kind=kind)
        more = {"store": bench.store(), "fresh": True, "warm_ms": TWO_DAYS}
        async with bench.tools.service(bench.settings(), made, **more):
            await bench.read_all()
        assert made.taken == list(range(1, 3_005))  # type: ignore[attr-defined]
        assert (made.together > 1_000) == (kind is Noting)  # type: ignore[attr-defined]

    with_bench(scenario)


def test_while_it_fills_it_says_so_and_is_not_ready(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.publish(*PAST)
        made = processor(kind=Watched)
        assert isinstance(made, Watched)
        said: list[str] = []
        running: list[Any] = []

        class Looks:
            async def begin(self, found: Any) -> None:
                running.append(found)

            async def reading(self) -> None:
                said.append(running[0].filling())

            async def end(self) -> None:
                pass

        made.at = lambda _: said.append(running[0].filling())
        async with bench.tools.service(
            bench.settings(), made, store=bench.store(), observer=Looks(), warm_ms=TWO_DAYS
        ):
            pass
        assert said[0].startswith("The rules are being filled from stream EVENTS: 1 of about ")
        assert said[-1] == ""

    with_bench(scenario)


def test_a_message_that_is_gone_at_the_place_and_a_stream_that_holds_less(
    with_bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.publish(event("upload", 500, "gone"), *PAST, event("upload", 115_000, "last"))
        await bench.jetstream.delete_msg("EVENTS", 6)
        await bench.jetstream.purge_stream("EVENTS", seq=2)
        await bench.run(
            *(event("crash", 120_000, device) for device in ("gone", "new", "last")), warm_ms=TWO_DAYS
        )
        assert await bench.alerts() == [("crash_after_upload", "new", 1)]
        assert "stream EVENTS holds nothing from before" in caplog.text
        assert "DATA LOSS" not in caplog.text

    with_bench(scenario)


def test_what_goes_from_the_stream_while_it_fills_is_no_loss(
    with_bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.publish(event("upload", 400), event("upload", 500, "gone"), *PAST)
        await bench.jetstream.purge_stream("EVENTS", seq=4)

        async def found_before(*_: Any) -> Found:
            return Found(2, 0)

        monkeypatch.setattr(filling, "first_since", found_before)
        await bench.run(event("crash", 120_000, "new"), warm_ms=TWO_DAYS)
        assert await bench.alerts() == [("crash_after_upload", "new", 1)]
        assert "DATA LOSS" not in caplog.text

    with_bench(scenario)


def test_a_consumer_that_is_not_ours_is_refused_and_left_as_it_is(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.publish(*PAST)
        config = ConsumerConfig(name="thenwire", durable_name="thenwire", ack_policy=AckPolicy.EXPLICIT)
        await bench.jetstream.add_consumer("EVENTS", config)
        theirs = await bench.jetstream.pull_subscribe_bind(consumer="thenwire", stream="EVENTS")
        await theirs.fetch(2)
        with pytest.raises(ServiceError, match="exists, but not with ack policy all"):
            await bench.run(warm_ms=TWO_DAYS)
        after = await bench.jetstream.consumer_info("EVENTS", "thenwire")
        assert (after.delivered.stream_seq, after.num_ack_pending) == (2, 2)

    with_bench(scenario)


def test_an_empty_stream_has_nothing_to_fill_with(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.run(event("upload", 1_000), event("crash", 2_000), warm_ms=TWO_DAYS)
        assert await bench.alerts() == [("crash_after_upload", "phone", 1)]

    with_bench(scenario)


def test_a_time_is_found_in_the_stream(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(30):
            await bench.publish(event("upload", number))
            if number % 3 == 0:
                await asyncio.sleep(0.004)
        for sequence in (1, 2, 9, 10, 20, 29):
            await bench.jetstream.delete_msg("EVENTS", sequence)
        stream = await bench.jetstream.stream_info("EVENTS")
        settings = bench.settings()
        connection = Connection(settings)
        await connection.open()
        await ensure_consumer(connection.jetstream(), settings)
        stored: dict[int, int] = {}
        for sequence in set(range(1, 31)) - {1, 2, 9, 10, 20, 29}:
            found = await first_since(connection, settings, stream, sequence, 0)
            assert found is not None
            stored[sequence] = found.stored_ms
        assert len(set(stored.values())) > 5
        last = stored[30]
        for before in [0, 1, last - stored[3], last - stored[3] + 7, *(last - at for at in stored.values())]:
            for place in (30, 28, 15, 3):
                found = await first_since(connection, settings, stream, place, before)
                since = stored[place] - before
                expected = min(s for s, at in stored.items() if at >= since and s <= place)
                assert found is not None
                # A deleted message in front names the one behind it, whose time that is.
                assert (found.stored_ms, found.sequence <= expected) == (stored[expected], True)
                assert not [s for s in stored if found.sequence <= s < expected]
                assert (found.missing_ms > 0) == (stored[3] > since)
        await connection.close()

    with_bench(scenario)


def test_a_note_leaves_everything_else_of_the_consumer_as_it_is(with_bench: Any) -> None:
    async def scenario(bench: Bench) -> None:
        settings = bench.settings()
        await bench.run(*PAST)
        jetstream = bench.jetstream
        before: Any = await find_consumer(jetstream, settings)
        await jetstream.add_consumer("EVENTS", before.config.evolve(metadata={"owner": "us"}))
        await note_at_consumer(jetstream, settings, "x", "1")
        noted: Any = await find_consumer(jetstream, settings)
        assert {**noted.config.metadata, "x": "1", "owner": "us"} == noted.config.metadata
        await note_at_consumer(jetstream, settings, "x", None)
        after: Any = await find_consumer(jetstream, settings)
        assert "x" not in after.config.metadata
        assert after.config.metadata["owner"] == "us"
        assert after.config.evolve(metadata=None) == before.config.evolve(metadata=None)
        assert after.ack_floor.stream_seq == before.ack_floor.stream_seq == 4

    with_bench(scenario)


def test_the_end_of_a_silence_of_the_past_is_not_heard_of() -> None:
    minute = 60_000
    text = """
    EVENT heartbeat GRACE 1m { app: string? }
    RULE dark { WHEN heartbeat THEN NO heartbeat FOR 15m }
    """

    def feed(made: ReloadingProcessor, at: int, devices: range, sequence: int) -> list[Outgoing]:
        beats = b"\n".join(event("heartbeat", at * minute, f"d{n}") for n in devices)
        return made.process(beats, None, sequence, "EVENTS", "events.x", at * minute)

    def silence(made: ReloadingProcessor) -> list[Outgoing]:
        found = feed(made, 0, range(100), 1)
        for at in range(1, 61):
            found += made.process(b"", None, 1 + at, "EVENTS", "events.x", at * minute)
        return found

    def heard_again(made: ReloadingProcessor) -> list[str]:
        found = []
        for at in range(61, 95, 5):
            found += feed(made, at, range(70), at + 1)
        return sorted(one.subject.split(".")[3] for one in found if one.subject.startswith("alerts."))

    filled, other = processor(text), processor(text)
    filled.begin_filling()
    assert [one for one in silence(filled) if one.subject.startswith("alerts.")] == []
    assert filled.end_filling() == 1
    assert len([one for one in silence(other) if one.subject.startswith("alerts.")]) == 1
    still_silent = sorted(f"d{number}" for number in range(70, 100))
    cut = filled.cut()
    again = processor(text)
    again.restore(cut.shared, [(name, row) for name, row in cut.pack(10_000) if row is not None])
    assert heard_again(other) == sorted([*still_silent, "="])
    assert heard_again(filled) == still_silent
    assert heard_again(again) == still_silent


def test_what_is_no_duration_is_refused(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rules = tmp_path / "test.rule"
    rules.write_text(RULES)
    assert main(["run", "--rules", str(rules), "--warm", "two days"]) == 2
    assert capsys.readouterr().err == (
        "thenwire: --warm: `two days` is not a duration such as 30s, 10m or 1h30m\n"
    )
