"""Messages that are taken in together: what comes of them is what would come of one after the other."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg

import dsl
from engine.reload.bundle import bundle_of
from engine.reload.prepare import Prepared, make_matcher
from engine.service import pull as pull_module
from engine.service.matching import MatchingProcessor
from engine.service.message import Message
from engine.service.processor import Outgoing, ProcessesTogether
from engine.service.pull import Pull, Received, alike
from engine.service.rules.processor import ReloadingProcessor
from engine.service.subjects import TICK

RULES = """
EVENT flow LATE 1h { app: string size: int peer: ip? }
EVENT crash LATE 1h { app: string }
EVENT idle { app: string }
RULE big then crash { BY device, app  WHEN flow [size > 10] THEN crash WITHIN 10m  SEVERITY high }
RULE peer then crash { BY device, app  WHEN flow [peer == "192.0.2.9"] THEN crash WITHIN 10m  SEVERITY low }
"""
NOW_MS = 1_772_438_400_000
HOUR_MS = 3_600_000


@pytest.fixture
def processors() -> tuple[MatchingProcessor, MatchingProcessor]:
    rules = dsl.load_text(RULES)
    return MatchingProcessor(rules), MatchingProcessor(rules)


def wire(kind: str, at: int, **fields: Any) -> bytes:
    return msgspec.json.encode({"kind": kind, "device": "d", "time": NOW_MS + at, "app": "a", **fields})


def mixed() -> list[bytes]:
    """Events that alert, that are too late, too early, of no interest, or no right address."""
    found = [
        wire("flow", -1_000_000 + n, size=n, peer="192.0.2.1" if n % 3 else "::FFFF:1") for n in range(40)
    ]
    found[7:7] = [wire("crash", -900_000), wire("idle", 0), wire("flow", -9 * HOUR_MS, size=99)]
    found[20:20] = [wire("flow", HOUR_MS, size=1), wire("flow", 0, size=1, peer="nowhere"), wire("crash", -1)]
    return [*found, wire("crash", -900_001), wire("flow", 5 * HOUR_MS, size=11)]


def one_by_one(processor: MatchingProcessor, payloads: list[bytes], first: int, now: int) -> list[Outgoing]:
    return [
        out
        for number, payload in enumerate(payloads)
        for out in processor.process(payload, None, first + number, "S", f"events.{number}", now)
    ]


def counts(processor: MatchingProcessor) -> list[Any]:
    p = processor
    return [p.events, p.unread, p.late, p.alerts, p.dead_letters, p.unknown, p.failed]


def test_the_same_comes_of_them(processors: tuple[MatchingProcessor, MatchingProcessor]) -> None:
    plain, together = processors
    assert isinstance(together, ProcessesTogether)
    payloads = mixed()
    first = 11
    for begin in range(0, len(payloads), 16):
        part = payloads[begin : begin + 16]
        subjects = [f"events.{number}" for number in range(len(part))]
        wanted = one_by_one(plain, part, first + begin, NOW_MS + begin)
        got = together.process_together(part, first + begin, "S", subjects, NOW_MS + begin)
        assert got is not None
        # Of one kind they have their order; which kind goes first has no meaning.
        by_kind = [[one for one in outs if one.subject.startswith(kind)] for outs in (wanted, got)
                   for kind in ("alerts", "dlq", "late")]  # fmt: skip
        assert by_kind[:3] == by_kind[3:]
        assert len(got) == len(wanted)
    assert counts(together) == counts(plain)
    assert min(plain.alerts, plain.late, plain.unread) > 0
    assert set(plain.dead_letters) == {"future_time", "bad_ip"}


@pytest.mark.parametrize(
    "others",
    [
        [b"{}"],
        [TICK],
        [wire("nobody", 0)],
        [wire("flow", 0, size="many")],
        [b"[" + wire("flow", 0, size=1) + b"]"],
        [wire("flow", 0, size=1) + b"\n" + wire("flow", 0, size=1)],
        [wire("flow", 0, size=1) + b"\n"],
        [b""],
        # Together these are two events; each alone is none.
        [wire("flow", 0, size=1) + wire("flow", 1, size=1), b" "],
        [wire("flow", 0, size=1, x=[])[:-2], b"{}]}" + wire("flow", 0, size=1)],
        [wire("flow", 0, size=1, x={})[:-1], b"}" + wire("flow", 0, size=1)],
        [wire("flow", 0, size=1, x="")[:-2] + b"}", b'{"}' + wire("flow", 0, size=1)],
    ],
)  # fmt: skip
def test_what_is_not_one_event_each_is_left_alone(
    processors: tuple[MatchingProcessor, MatchingProcessor], others: list[bytes]
) -> None:
    processor = processors[0]
    before = counts(processor)
    payloads = [wire("flow", 0, size=99), *others, wire("flow", 1, size=99)]
    subjects = ["events.x"] * len(payloads)
    assert processor.process_together(payloads, 1, "S", subjects, NOW_MS) is None
    assert counts(processor) == before
    assert processor.matcher.counts["flow"].seen == 0


def test_a_failure_of_the_engine_takes_nothing_with_it(
    processors: tuple[MatchingProcessor, MatchingProcessor], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = processors[0]
    feed = processor.matcher.feed_decoded
    assert feed is not None

    def failing(events: list[Any], position: int, step: int, on_bad: Any) -> Any:
        on_bad(RuntimeError("a bug"), position + step)
        return feed([events[0], events[2]], position, 2 * step, on_bad)

    monkeypatch.setattr(processor.matcher, "feed_decoded", failing)
    payloads = [wire("flow", 0, size=99), wire("flow", 1, size=1), wire("crash", 2)]
    letter, alert = processor.process_together(payloads, 5, "S", ["a", "b", "c"], NOW_MS) or []
    assert letter.subject == "dlq.thenwire.processor_error"
    assert (letter.payload, letter.headers["Origin-Sequence"]) == (payloads[1], "6")
    assert (letter.headers["Origin-Subject"], letter.headers["Origin-Index"]) == ("b", "0")
    assert alert.subject.startswith("alerts.high.")


# --- which messages


def received(sequence: int, at: int = 0, headers: dict[str, str] | None = None) -> Received:
    return Message(None, "events.x", "", b"{}", headers), sequence, at  # type: ignore[return-value]


def test_those_of_one_time_that_follow_each_other_and_have_no_headers() -> None:
    batch = [
        *(received(n) for n in (1, 2, 3)),
        *(received(n) for n in (5, 6)),
        *(received(n, at=1) for n in (7, 8)),
        received(9, 1, {"traceparent": "x"}),
        *(received(n, at=1) for n in (10, 11)),
    ]
    assert [[sequence for _, sequence, _ in part] for part in alike(batch)] == [
        [1, 2, 3], [5, 6], [7, 8], [9], [10, 11]
    ]  # fmt: skip
    assert list(alike([])) == []


class Subscription:
    pending_msgs = 0

    async def unsubscribe(self) -> None:
        pass


class Client:
    is_closed = False

    def __init__(self) -> None:
        self.subscription = Subscription()

    def new_inbox(self) -> str:
        return "_INBOX.me"

    async def subscribe(self, subject: str, *, cb: Any, **_: Any) -> Subscription:
        self.deliver = cb
        return self.subscription

    async def publish(self, subject: str, payload: bytes, *, reply: str) -> None:
        pass


class Backpressure:
    full = False

    def __init__(self) -> None:
        self.room = asyncio.Event()

    async def wait_for_room(self) -> None:
        await self.room.wait()
        self.full = False


class Opened:
    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.reasons: list[str] = []
        self.failures: list[BaseException] = []
        self.client, self.backpressure = Client(), Backpressure()
        self.fails = False
        self.pull = Pull(
            self.client,  # type: ignore[arg-type]  # a fake
            "NEXT", batch=1000, batch_bytes=1000, heartbeat=1.0, position=4,
            backpressure=self.backpressure, handle=lambda _, sequence, __: self.take([sequence]),
            ask_reopen=self.reasons.append, on_failure=self.failures.append,
            together=lambda batch: self.take([sequence for _, sequence, _ in batch]),
        )  # fmt: skip

    def take(self, sequences: list[int]) -> None:
        if self.fails:
            raise RuntimeError("a bug")
        self.calls.append(sequences)

    async def message(self, sequence: int, delivery: int, waiting: int, payload: bytes = b"{}") -> None:
        self.client.subscription.pending_msgs = waiting
        reply = f"$JS.ACK.EVENTS.thenwire.1.{sequence}.{delivery}.1795383731895777921.0"
        await self.client.deliver(Msg(self.client, "events.x", reply, payload, None))  # type: ignore[arg-type]  # a fake

    async def heartbeat(self) -> None:
        self.client.subscription.pending_msgs = 0
        await self.client.deliver(Msg(self.client, "_INBOX.me", "", b"", {"Status": "100"}))  # type: ignore[arg-type]  # a fake


def scenario(play: Any) -> None:
    async def inside() -> None:
        opened = Opened()
        await opened.pull.open()
        await play(opened)

    asyncio.run(inside())


def test_what_waits_in_the_client_is_handled_together_and_nothing_is_held_back() -> None:
    async def play(opened: Opened) -> None:
        await opened.message(5, 1, waiting=2)
        await opened.message(6, 2, waiting=1)
        assert opened.calls == []
        assert (opened.pull.position, opened.pull.last_reply) == (4, ""), "not before it is handled"
        await opened.message(7, 3, waiting=0)
        assert opened.calls == [[5, 6, 7]]
        assert (opened.pull.position, opened.pull.last_sequence) == (7, 7)
        assert ".7.3." in opened.pull.last_reply
        await opened.message(8, 4, waiting=0)
        assert opened.calls[1:] == [[8]]

    scenario(play)


def test_there_are_bounds_to_what_is_handled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(opened: Opened) -> None:
        monkeypatch.setattr(pull_module, "MOST_TOGETHER", 3)
        for number in range(1, 6):
            await opened.message(4 + number, number, waiting=9)
        assert opened.calls == [[5, 6, 7]]
        await opened.message(10, 6, waiting=9, payload=b" " * 100_000)
        assert opened.calls == [[5, 6, 7], [8, 9, 10]]
        await opened.message(11, 7, waiting=9, payload=b" " * 100_000)
        assert opened.calls[2:] == [[11]]

    scenario(play)


def test_a_status_behind_messages_does_not_keep_them_waiting() -> None:
    async def play(opened: Opened) -> None:
        await opened.message(5, 1, waiting=1)
        await opened.heartbeat()
        assert opened.calls == [[5]]

    scenario(play)


def test_a_status_waits_for_room_only_behind_messages() -> None:
    async def play(opened: Opened) -> None:
        opened.backpressure.full = True
        await asyncio.wait_for(opened.heartbeat(), 5)
        opened.backpressure.full = False
        await opened.message(5, 1, waiting=1)
        opened.backpressure.full = True
        waiting = asyncio.ensure_future(opened.heartbeat())
        await asyncio.sleep(0.01)
        assert opened.calls == []
        opened.backpressure.room.set()
        await waiting
        assert opened.calls == [[5]]

    scenario(play)


def test_messages_before_a_gap_are_handled_and_none_after_it() -> None:
    async def play(opened: Opened) -> None:
        await opened.message(5, 1, waiting=2)
        await opened.message(7, 3, waiting=1)
        assert opened.calls == [[5]]
        assert opened.pull.position == 5
        assert opened.reasons == ["gap: delivery 3 came after 1"]

    scenario(play)


def test_what_came_before_is_skipped_and_can_be_acknowledged_again() -> None:
    async def play(opened: Opened) -> None:
        await opened.message(3, 1, waiting=2)
        assert (opened.pull.skipped, opened.pull.position) == (1, 4)
        await opened.message(4, 2, waiting=1)
        await opened.message(5, 3, waiting=1)
        await opened.message(5, 4, waiting=0)
        assert opened.calls == [[5]]
        assert (opened.pull.skipped, opened.pull.position, opened.pull.last_sequence) == (3, 5, 5)

    scenario(play)


def test_while_the_input_is_held_nothing_is_handled() -> None:
    async def play(opened: Opened) -> None:
        await opened.message(5, 1, waiting=3)
        opened.backpressure.full = True
        waiting = asyncio.ensure_future(opened.message(6, 2, waiting=0))
        await asyncio.sleep(0.01)
        assert (opened.calls, opened.pull.position) == ([], 4)
        opened.backpressure.room.set()
        await waiting
        assert opened.calls == [[5, 6]]

    scenario(play)


def test_when_handling_fails_nothing_is_acknowledged() -> None:
    async def play(opened: Opened) -> None:
        opened.fails = True
        await opened.message(5, 1, waiting=1)
        with pytest.raises(RuntimeError):
            await opened.message(6, 2, waiting=0)
        assert len(opened.failures) == 1
        opened.fails = False
        await opened.message(7, 3, waiting=0)
        assert (opened.calls, opened.pull.position, opened.pull.last_reply) == ([], 4, "")

    scenario(play)


def test_finishing_handles_what_was_taken() -> None:
    async def play(opened: Opened) -> None:
        await opened.message(5, 1, waiting=1)
        opened.client.subscription.pending_msgs = 0
        await opened.pull.finish()
        assert opened.calls == [[5]]

    scenario(play)


# --- the processor of a service whose rules may change


LIGHT = """
EVENT flow { app: string size: int }
RULE twice { WHEN flow [size > 10] THEN flow [size > 20] WITHIN 10m }
"""
"""Most flows need not be decoded in full to see that they fit nothing."""


@pytest.fixture(params=["fixed", "reloading"])
def processor(request: pytest.FixtureRequest) -> MatchingProcessor:
    rules = dsl.load_text(LIGHT)
    if request.param == "fixed":
        return MatchingProcessor(rules)
    return ReloadingProcessor(Prepared(bundle_of(rules), rules, make_matcher(rules), tests=0))


def test_the_engine_is_told_each_new_time(processor: MatchingProcessor) -> None:
    def refused(at: int, now: int) -> int:
        payload, subjects = wire("flow", at, size=1), ["events.x"] * 2
        out = processor.process(payload, None, 1, "S", "events.x", NOW_MS + now)
        both = processor.process_together([payload, payload], 2, "S", subjects, NOW_MS + now)
        assert both is not None
        assert len(both) == 2 * len(out)
        return len(out)

    assert refused(HOUR_MS, now=0) == 1
    assert refused(HOUR_MS, now=1) == 1
    assert refused(HOUR_MS, now=HOUR_MS) == 0
    assert refused(2 * HOUR_MS, now=HOUR_MS) == 1


def test_a_bad_event_that_fits_nothing_is_refused(processor: MatchingProcessor) -> None:
    (letter,) = processor.process(wire("flow", 0, size=1, id=5), None, 1, "S", "events.x", NOW_MS)
    assert letter.subject == "dlq.thenwire.wrong_type"
