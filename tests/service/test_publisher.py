"""The publisher against a fake client: what is unacknowledged goes out again, and nothing is dropped."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.msg import Msg
from nats.errors import OutboundBufferLimitError

from engine.service.processor import Outgoing
from engine.service.publisher import Publisher


class FakeClient:
    def __init__(self) -> None:
        self.is_connected = True
        self.max_payload = 1024
        self.sent: list[tuple[str, bytes, str, dict[str, str]]] = []
        self.failures = 0
        self._answer: Callable[[Msg], Awaitable[None]] | None = None

    def new_inbox(self) -> str:
        return "_INBOX.me"

    async def subscribe(self, subject: str, *, cb: Callable[[Msg], Awaitable[None]], **_: Any) -> None:
        assert subject == "_INBOX.me.*"
        self._answer = cb

    async def publish(self, subject: str, payload: bytes, *, reply: str, headers: dict[str, str]) -> None:
        if self.failures:
            self.failures -= 1
            raise OutboundBufferLimitError
        self.sent.append((subject, payload, reply, headers))

    async def answer(self, position: int, body: bytes = b'{"stream":"ALERTS","seq":1}') -> None:
        assert self._answer is not None
        await self._answer(Msg(self, subject=self.sent[position][2], data=body))  # type: ignore[arg-type]  # a fake

    def ids(self) -> list[str]:
        return [headers["Nats-Msg-Id"] for *_, headers in self.sent]


class FakeConnection:
    def __init__(self) -> None:
        self.client = FakeClient()
        self.on_reconnect: list[Callable[[], None]] = []


def _message(name: str, payload: bytes = b"{}") -> Outgoing:
    return Outgoing(subject=f"alerts.{name}", payload=payload, message_id=name, headers={})


def _run(scenario: Callable[[Publisher, FakeConnection], Awaitable[None]], **options: Any) -> None:
    async def inside() -> None:
        connection = FakeConnection()
        publisher = Publisher(
            connection,  # type: ignore[arg-type]  # a fake
            window=options.get("window", 10),
            timeout=options.get("timeout", 60.0),
            replace=options.get("replace", lambda message, reason: None),
        )
        await publisher.open()
        try:
            async with asyncio.timeout(20):
                await scenario(publisher, connection)
        finally:
            await publisher.close()

    asyncio.run(inside())


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # the publisher has its own tasks
        await asyncio.sleep(0.001)


def test_settled_waits_for_every_message_up_to_a_number() -> None:
    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        client = connection.client
        for name in "abc":
            publisher.enqueue(_message(name))
        await _until(lambda: len(client.sent) == 3)
        settled = asyncio.ensure_future(publisher.settled(1))
        await client.answer(1)
        await client.answer(2)
        await asyncio.sleep(0)
        assert not settled.done()
        await client.answer(0)
        await settled
        assert publisher.stored == {"alerts": 3}
        assert publisher.unsettled == 0

    _run(scenario)


def test_what_is_not_answered_is_sent_again_with_the_same_id() -> None:
    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        client = connection.client
        publisher.enqueue(_message("a"))
        publisher.enqueue(_message("b"))
        await _until(lambda: len(client.sent) == 2)
        await client.answer(1)
        await _until(lambda: len(client.sent) >= 3)
        assert client.ids()[:3] == ["a", "b", "a"]
        assert client.sent[2] == client.sent[0]
        await client.answer(2, b'{"stream":"ALERTS","seq":1,"duplicate":true}')
        await publisher.settled(1)
        assert publisher.duplicates == 1
        assert publisher.resent >= 1

    _run(scenario, timeout=0.05)


def test_a_refusal_that_may_pass_is_tried_again() -> None:
    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        client = connection.client
        publisher.enqueue(_message("a"))
        await _until(lambda: len(client.sent) == 1)
        await client.answer(
            0, b'{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}'
        )
        assert publisher.unsettled == 1
        await _until(lambda: len(client.sent) == 2)
        # No stream there: the server's "no responders" has no body.
        await client.answer(1, b"")
        assert publisher.unsettled == 1
        await _until(lambda: len(client.sent) == 3)
        await client.answer(2)
        await publisher.settled(0)

    _run(scenario, timeout=0.05)


def test_a_reconnect_sends_all_unanswered_again_before_anything_new() -> None:
    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        client = connection.client
        for name in "abcd":
            publisher.enqueue(_message(name))
        await _until(lambda: len(client.sent) == 4)
        await client.answer(1)
        client.is_connected = False
        publisher.enqueue(_message("e"))
        await asyncio.sleep(0.01)
        assert len(client.sent) == 4
        client.is_connected = True
        for callback in connection.on_reconnect:
            callback()
        await _until(lambda: len(client.sent) == 8)
        assert client.ids()[4:] == ["a", "c", "d", "e"]

    _run(scenario)


def test_a_client_that_cannot_take_a_message_delays_it_only() -> None:
    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        connection.client.failures = 2
        publisher.enqueue(_message("a"))
        publisher.enqueue(_message("b"))
        await _until(lambda: {"a", "b"} <= set(connection.client.ids()))
        assert publisher.unsettled == 2

    _run(scenario, timeout=0.05)


def test_a_full_window_holds_the_source_back() -> None:
    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        client = connection.client
        for number in range(6):
            publisher.enqueue(_message(f"m{number}"))
        await _until(lambda: len(client.sent) == 3)
        await asyncio.sleep(0.01)
        assert len(client.sent) == 3, "no more than the window may be in flight"
        assert publisher.full
        room = asyncio.ensure_future(publisher.wait_for_room())
        await asyncio.sleep(0)
        assert not room.done()
        await client.answer(0)
        await room
        await _until(lambda: len(client.sent) == 4)

    _run(scenario, window=3)


def test_many_bytes_hold_the_source_back_too() -> None:
    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        connection.client.max_payload = 100 * 1024 * 1024
        publisher.enqueue(_message("large", b"x" * 16 * 1024 * 1024))
        assert publisher.full
        await _until(lambda: len(connection.client.sent) == 1)
        await connection.client.answer(0)
        assert not publisher.full

    _run(scenario)


def test_a_message_too_large_is_replaced_and_settled_waits_for_the_replacement() -> None:
    def replace(message: Outgoing, reason: str) -> Outgoing | None:
        return _message("small") if message.message_id != "small" else None

    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        client = connection.client
        publisher.enqueue(_message("large", b"x" * 2000))
        await _until(lambda: len(client.sent) == 1)
        assert client.ids() == ["small"]
        settled = asyncio.ensure_future(publisher.settled(0))
        await asyncio.sleep(0.01)
        assert not settled.done()
        # The stream has a limit of its own and refuses the replacement as well.
        await client.answer(
            0, b'{"error":{"code":400,"err_code":10054,"description":"message size exceeds"}}'
        )
        await settled
        assert publisher.refused == 1
        assert publisher.stored == {}

    _run(scenario, replace=replace)


def test_hostile_headers_stay_on_their_line() -> None:
    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        publisher.enqueue(Outgoing("alerts.x", b"", "id\r\nX: y", {"Note": "a\r\nPUB b"}))
        await _until(lambda: len(connection.client.sent) == 1)
        headers = connection.client.sent[0][3]
        assert headers == {"Nats-Msg-Id": "id=0D=0AX=3A=20y", "Note": "a?PUB b"}

    _run(scenario)


def test_a_revision_leaves_when_the_one_before_it_is_stored() -> None:
    """A stream that refuses the first may take the second a moment later."""

    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        client = connection.client
        for name in ("a.1", "b.1", "a.2", "ocsf:a.1", "a.3", "dlq:EVENTS:1:0:bad_time"):
            publisher.enqueue(_message(name))
        others = ["a.1", "b.1", "ocsf:a.1", "dlq:EVENTS:1:0:bad_time"]
        await _until(lambda: len(client.sent) == 4)
        await client.answer(0, b'{"error":{"code":503,"err_code":10077,"description":"maximum bytes"}}')
        for position in (1, 2, 3):
            await client.answer(position)
        await _until(lambda: len(client.sent) == 5)
        assert client.ids() == [*others, "a.1"]
        publisher.enqueue(_message("a.4"))
        for position, following in ((4, "a.2"), (5, "a.3"), (6, "a.4")):
            await client.answer(position)
            await _until(lambda: client.ids()[-1] == following)  # noqa: B023  # within the turn
            assert client.ids()[-1] == following
        await client.answer(7)
        await publisher.settled(publisher.last_number)
        # None is under way any more, so a later one does not wait.
        publisher.enqueue(_message("a.5"))
        await _until(lambda: client.ids()[-1] == "a.5")

    _run(scenario, timeout=0.2)


def test_a_revision_that_no_stream_takes_lets_the_next_one_go() -> None:
    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        publisher.enqueue(_message("a.1", b"x" * 2000))
        publisher.enqueue(_message("a.2"))
        await _until(lambda: connection.client.ids() == ["a.2"])
        assert publisher.refused == 1

    _run(scenario)


def test_after_a_reconnect_revisions_still_wait_for_each_other() -> None:
    async def scenario(publisher: Publisher, connection: FakeConnection) -> None:
        client = connection.client
        for name in ("a.1", "a.2", "b.1"):
            publisher.enqueue(_message(name))
        await _until(lambda: len(client.sent) == 2)
        for callback in connection.on_reconnect:
            callback()
        await _until(lambda: len(client.sent) == 4)
        assert client.ids() == ["a.1", "b.1", "a.1", "b.1"]
        # The answer to either attempt will do; the second is to nobody.
        await client.answer(0)
        await client.answer(2)
        await _until(lambda: len(client.sent) == 5)
        assert client.ids()[-1] == "a.2"

    _run(scenario)
