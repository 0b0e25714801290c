"""The input stream read again, for questions about the past: ``why`` and ``baseline``.

Events that fit nothing are not kept, so what a rule or a baseline made of a device is found by reading the
stream a second time, as those commands do with a recording. It runs in a thread with an event loop and a
connection of its own, so that the service's loop is not held; an ephemeral consumer takes nothing away.
"""

from __future__ import annotations

import asyncio
import datetime
import io
from collections.abc import Iterable

import msgspec

from dsl.model import RuleSet
from engine.alerts import Alert
from engine.explain.history import Histories, History
from engine.replay import Recording, Replay, Takes
from engine.service.errors import ServiceError
from engine.service.settings import Settings
from engine.service.stored import Stored, StoredInput
from engine.why.recorded import Answer, TooManyEvents
from engine.why.recorded import why as ask

MOST_BYTES = 64 * 1024 * 1024
"""Events held at a time; a question that would take more is refused."""
READ_SECONDS = 30.0
_SEPARATORS = b" \t\r\n"


class NotAnswered(Exception):
    """The question cannot be answered; the message is one sentence for who asked."""


def stream_lines(settings: Settings, since: datetime.datetime | None) -> bytes:
    """The events that the input stream holds, one a line, in the order of the stream. Blocks.

    Raises:
        NotAnswered: too much, too slow, or the server refused.
    """
    lines: list[bytes] = []

    async def collect() -> None:
        size = 0
        async with asyncio.timeout(READ_SECONDS), StoredInput(settings) as stored:
            async for message in stored.messages(since):
                size += len(message.payload)
                if size > MOST_BYTES:
                    raise NotAnswered(
                        f"The stream holds more than {MOST_BYTES >> 20} MiB since then: "
                        "ask about a shorter time."
                    )
                lines.extend(event_lines(message))

    try:
        asyncio.run(collect())
    except TimeoutError:
        raise NotAnswered(
            f"The stream was not read within {READ_SECONDS:g} s: ask about a shorter time."
        ) from None
    except ServiceError as error:
        raise NotAnswered(str(error)) from None
    return b"\n".join(lines)


def event_lines(message: Stored) -> list[bytes]:
    """The events of a message, one a line; what is no JSON is left out, as the service left it out."""
    payload = message.payload.strip(_SEPARATORS)
    if payload.startswith(b"["):
        try:
            found = msgspec.json.decode(payload, type=list[msgspec.Raw])
        except (msgspec.DecodeError, RecursionError):
            return []
        return [_one_line(bytes(raw)) for raw in found]
    if b"\n" in payload and "ndjson" not in (message.content_type or ""):
        try:
            # One event over several lines; several events a line each are not one value.
            return [msgspec.json.format(payload, indent=-1)]
        except (msgspec.DecodeError, RecursionError):
            pass
    return [line for line in payload.split(b"\n") if line.strip()]


def _one_line(raw: bytes) -> bytes:
    return msgspec.json.format(raw, indent=-1) if b"\n" in raw else raw


def why_stored(
    ruleset: RuleSet,
    settings: Settings,
    rule: str,
    device: str,
    at_ms: int | None,
    since: datetime.datetime | None,
) -> Answer:
    """Why a rule did not alert for a device, by what the stream holds. Blocks.

    Raises:
        NotAnswered: see there.
    """
    lines = stream_lines(settings, since)

    def read(takes: Takes) -> Iterable[Alert]:
        yield from _replay(takes, lines).run()

    try:
        return ask(ruleset, rule, device, read, at_ms)
    except TooManyEvents:
        raise NotAnswered(
            "The device sent too many events that matter around that time: ask about another time."
        ) from None


def histories_stored(
    ruleset: RuleSet,
    settings: Settings,
    wanted: dict[str, str],
    names: tuple[str, ...] | None,
    since: datetime.datetime | None,
) -> list[History]:
    """What baselines have seen, by what the stream holds. Blocks.

    Raises:
        NotAnswered: see there.
    """
    histories = Histories(ruleset, wanted, names)
    work = _replay(histories, stream_lines(settings, since))
    for _ in work.run():
        pass
    return histories.histories()


def _replay(takes: Takes, lines: bytes) -> Replay:
    return Replay(takes, [Recording(io.BytesIO(lines), "stream", "ndjson")])
