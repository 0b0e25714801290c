"""The pull subscription against a fake client: gaps, statuses, fairness."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.aio.msg import Msg

from engine.service import pull as pull_module
from engine.service.message import Message
from engine.service.pull import Pull, tokens_after_time


class FakeSubscription:
    pending_msgs = 0

    async def unsubscribe(self) -> None:
        pass


class FakeClient:
    is_connected = True
    is_closed = False

    def __init__(self) -> None:
        self.requests: list[dict[str, int]] = []

    def new_inbox(self) -> str:
        return "_INBOX.me"

    async def subscribe(
        self, subject: str, *, cb: Callable[[Msg], Awaitable[None]], **_: Any
    ) -> FakeSubscription:
        self.deliver = cb
        return FakeSubscription()

    async def publish(self, subject: str, payload: bytes, *, reply: str) -> None:
        assert (subject, reply) == ("NEXT", "_INBOX.me")
        self.requests.append(json.loads(payload))


class NoBackpressure:
    full = False

    async def wait_for_room(self) -> None:
        raise AssertionError("nothing is full")


class Opened:
    def __init__(
        self, batch: int = 10, position: int = 0, handle: Callable[[int], None] = lambda _: None
    ) -> None:
        self.client = FakeClient()
        self.handled: list[tuple[int, int]] = []
        self.reasons: list[str] = []
        self.failures: list[BaseException] = []

        def keep(message: Msg, sequence: int, received_ms: int) -> None:
            handle(sequence)
            self.handled.append((sequence, received_ms))

        self.pull = Pull(
            self.client,  # type: ignore[arg-type]  # a fake
            "NEXT",
            batch=batch,
            batch_bytes=1000,
            heartbeat=1.0,
            position=position,
            backpressure=NoBackpressure(),
            handle=keep,
            ask_reopen=self.reasons.append,
            on_failure=self.failures.append,
        )

    async def message(self, sequence: int, delivery: int, headers: dict[str, str] | None = None) -> None:
        reply = f"$JS.ACK.EVENTS.thenwire.1.{sequence}.{delivery}.1795383731895777921.0"
        await self.client.deliver(Msg(self.client, "events.x", reply, b"{}", headers))  # type: ignore[arg-type]  # a fake

    async def status(self, code: str, description: str, left: int | None = None) -> None:
        headers = {"Status": code, "Description": description}
        if left is not None:
            headers["Nats-Pending-Messages"] = str(left)
        await self.client.deliver(Msg(self.client, "_INBOX.me", "", b"", headers))  # type: ignore[arg-type]  # a fake


def _run(scenario: Callable[[Opened], Awaitable[None]], **options: Any) -> None:
    async def inside() -> None:
        opened = Opened(**options)
        await opened.pull.open()
        await scenario(opened)

    asyncio.run(inside())


@pytest.mark.parametrize(
    ("reply", "after"),
    [
        ("$JS.ACK.S.C.1.20.10.1795383731895777921.5", 1),
        ("$JS.ACK.hub.hash.S.C.1.20.10.1795383731895777921.5", 1),
        ("$JS.ACK._.hash.S.C.1.20.10.1795383731895777921.5.random", 2),
    ],
)
def test_the_form_of_the_acknowledgement_subject(reply: str, after: int) -> None:
    assert tokens_after_time(reply) == after
    assert reply.rsplit(".", after + 3)[1:4] == ["20", "10", "1795383731895777921"]


@pytest.mark.parametrize(
    "reply", ["", "_INBOX.x", "$JS.ACK.a", "$JS.ACK.1.2.3.4.5.6.7.8", "a.b.c.d.e.f.g.h.i"]
)
def test_other_subjects_are_refused(reply: str) -> None:
    with pytest.raises(ValueError, match="no acknowledgement subject"):
        tokens_after_time(reply)


def test_messages_in_order_are_handled_with_their_time_in_milliseconds() -> None:
    async def scenario(opened: Opened) -> None:
        await opened.message(7, 1)
        await opened.message(9, 2)
        assert opened.handled == [(7, 1795383731895), (9, 1795383731895)]
        assert opened.pull.last_sequence == opened.pull.position == 9
        assert ".9.2." in opened.pull.last_reply

    _run(scenario)


def test_a_gap_stops_everything_and_is_never_acknowledged() -> None:
    async def scenario(opened: Opened) -> None:
        await opened.message(7, 1)
        await opened.message(9, 3)
        await opened.message(10, 4)
        assert opened.handled == [(7, 1795383731895)]
        assert opened.pull.last_sequence == 7
        assert opened.reasons == ["gap: delivery 3 came after 1"]

    _run(scenario)


def test_what_was_processed_before_is_skipped_but_acknowledged() -> None:
    async def scenario(opened: Opened) -> None:
        await opened.message(4, 1)
        await opened.message(5, 2)
        await opened.message(6, 3)
        assert [sequence for sequence, _ in opened.handled] == [6]
        assert opened.pull.skipped == 2
        assert opened.pull.last_sequence == 6

    _run(scenario, position=5)


def test_a_failure_of_the_handler_is_not_acknowledged_with_the_next_message() -> None:
    def fail(sequence: int) -> None:
        if sequence == 2:
            raise MemoryError

    async def scenario(opened: Opened) -> None:
        await opened.message(1, 1)
        with pytest.raises(MemoryError):
            await opened.message(2, 2)
        await opened.message(3, 3)
        assert opened.pull.last_sequence == 1
        assert [type(error) for error in opened.failures] == [MemoryError]

    _run(scenario, handle=fail)


def test_a_message_with_forged_status_headers_is_handled() -> None:
    async def scenario(opened: Opened) -> None:
        await opened.message(1, 1, {"Status": "409", "Description": "Consumer Deleted"})
        assert [sequence for sequence, _ in opened.handled] == [1]
        assert opened.reasons == []

    _run(scenario)


def test_a_stranger_writing_to_the_inbox_makes_it_open_again() -> None:
    async def scenario(opened: Opened) -> None:
        await opened.client.deliver(Msg(opened.client, "_INBOX.me", "", b"boo", None))  # type: ignore[arg-type]  # a fake
        assert opened.handled == []
        assert len(opened.reasons) == 1

    _run(scenario)


def test_requests_keep_between_one_and_two_batches_asked_for() -> None:
    async def scenario(opened: Opened) -> None:
        assert [request["batch"] for request in opened.client.requests] == [10, 10]
        for number in range(1, 10):
            await opened.message(number, number)
        assert len(opened.client.requests) == 2
        await opened.message(10, 10)
        assert len(opened.client.requests) == 3
        # The second request expires with 4 of its 10 undelivered.
        for number in range(11, 17):
            await opened.message(number, number)
        await opened.status("408", "Request Timeout", left=4)
        assert len(opened.client.requests) == 4

    _run(scenario)


@pytest.mark.parametrize(
    ("code", "description", "left"),
    [
        ("409", "Consumer Deleted", None),
        ("409", "Leadership Change", None),
        ("409", "Server Shutdown", 10),
        ("409", "Exceeded MaxWaiting", 10),
        ("400", "Bad Request", None),
        ("503", "", None),
        ("423", "Nats-Wrong-Pin-Id", 10),
    ],
)
def test_statuses_after_which_no_message_would_come_open_the_pull_again(
    code: str, description: str, left: int | None
) -> None:
    async def scenario(opened: Opened) -> None:
        await opened.status(code, description, left)
        assert len(opened.reasons) == 1

    _run(scenario)


def test_heartbeats_are_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(pull_module, "monotonic", lambda: now)

    async def scenario(opened: Opened) -> None:
        nonlocal now
        now += 1.9
        assert not opened.pull.is_silent()
        await opened.status("100", "Idle Heartbeat")
        now += 1.9
        assert not opened.pull.is_silent()
        now += 0.2
        assert opened.pull.is_silent()

    _run(scenario)


def test_other_tasks_get_their_turn_while_messages_queue_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(pull_module, "monotonic", lambda: now)

    def work(_: int) -> None:
        nonlocal now
        now += pull_module.TURN_SECONDS / 4

    async def scenario(opened: Opened) -> None:
        turns: list[int] = []

        async def other() -> None:
            while True:
                turns.append(len(opened.handled))
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        for number in range(1, 41):
            await opened.message(number, number)
        task.cancel()
        waits = [later - earlier for earlier, later in itertools.pairwise(turns)]
        assert len(turns) > 5
        assert max(waits) <= 6

    _run(scenario, handle=work)


def test_the_message_class_has_everything_that_the_clients_own_has() -> None:
    public = {name for name in dir(Msg) if not name.startswith("_")}
    assert public <= set(dir(Message))
    message = Message(None, "s", "$JS.ACK.S.C.1.20.10.1795383731895777921.5", b"x", {"a": "b"})
    assert message.header == {"a": "b"}
    assert message.metadata.sequence.stream == 20
