"""A drill: a harmless chain through a running service, from the input subject to the stored alert.

Every hop is looked at by itself, so that a drill that fails names the place: the connection, the input
stream, the service's consumer, the rule, the alerts stream. The device is a canary that has never been there,
and what can be taken away afterwards is.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from engine.alerts import Alert
from engine.service.connection import Connection
from engine.service.drill_chain import Chain
from engine.service.drill_report import DrillRefused, DrillReport, Hop
from engine.service.errors import ServiceError
from engine.service.settings import Settings
from engine.service.subjects import encode_token

SUBJECT: Final = "events.{kind}.{device}"
"""Where the canary's events go, unless told otherwise. With the device in it, they can be found again."""
_POLL_SECONDS = 0.05
_PUBLISH_SECONDS = 5.0
_LETTERS = 1_000
_Result = TypeVar("_Result")


class _Failed(Exception):
    """The hop under way failed; the message says how."""


async def drill(
    settings: Settings,
    chain: Chain,
    *,
    subject: str = SUBJECT,
    patience: float = 30.0,
    clean: bool = True,
) -> DrillReport:
    """Hold a drill.

    Args:
        settings: of the service: server, login, streams and consumer.
        subject: where to publish, with ``{kind}`` and ``{device}`` in it.
        patience: seconds that the service has to read the events, and as much again for the alert.
        clean: take the canary's events and alerts out of the streams afterwards.

    Raises:
        DrillRefused: the device exists.
    """
    connection = Connection(settings)
    run = _Drill(connection, settings, chain, subject, patience, clean)
    try:
        return await run.hold()
    finally:
        await connection.close()


class _Drill:
    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        chain: Chain,
        subject: str,
        patience: float,
        clean: bool,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._chain = chain
        self._template = subject
        self._patience = patience
        self._clean = clean
        self._token = encode_token(chain.device)
        self._hops: list[Hop] = []
        self._sequences: list[int] = []
        self._published: list[float] = []
        self._alert: asyncio.Future[tuple[Alert, str, float]] = asyncio.get_running_loop().create_future()
        self._letters: deque[tuple[int, str]] = deque(maxlen=_LETTERS)
        self._left: list[str] = []

    async def hold(self) -> DrillReport:
        """All hops in order, up to the first that fails."""
        steps: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("connect", self._connect),
            ("canary is new", self._new),
            ("publish", self._publish),
            ("read by the service", self._read),
            ("alert", self._await_alert),
            ("alert stored", self._stored),
            ("input acknowledged", self._acknowledged),
        ]
        failed = None
        for name, step in steps:
            began = time.monotonic()
            try:
                detail = await self._unless_lost(step())
            except (_Failed, ServiceError) as error:
                failed = name
                self._hops.append(Hop(name, False, str(error), _ms(began)))
                break
            self._hops.append(Hop(name, True, detail, _ms(began)))
        if self._sequences:
            await self._clean_up(failed)
        alert, _, seen = self._alert.result() if self._alert.done() else (None, "", 0.0)
        return DrillReport(
            rule=self._chain.rule,
            test=self._chain.test,
            device=self._chain.device,
            ok=failed is None,
            failed=failed,
            hops=tuple(self._hops),
            alert=alert.id if alert is not None else None,
            severity=alert.severity if alert is not None else None,
            alert_seconds=round(self._after(seen), 4) if alert is not None else None,
            other_version=alert is not None and alert.rule.hash != self._chain.hash,
            left=tuple(self._left),
        )

    async def _unless_lost(self, step: Awaitable[_Result]) -> _Result:
        """The result of a hop; a connection that cannot go on, or lacks a permission, ends it at once."""
        work = asyncio.ensure_future(step)
        try:
            both: list[asyncio.Future[Any]] = [work, self._connection.failed]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if self._connection.failed.done() and not self._connection.failed.cancelled():
                self._connection.failed.result()
            return await work
        except (TimeoutError, NatsError) as error:
            raise _Failed(_reason(error)) from None
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait({work})

    # --- hops

    async def _connect(self) -> str:
        await self._connection.open()
        client = self._connection.client
        # Before anything is published: an alert may come in a millisecond.
        alerts = f"alerts.*.{encode_token(self._chain.rule)}.{self._token}"
        await client.subscribe(alerts, cb=self._on_alert)
        await client.subscribe("dlq.thenwire.>", cb=self._on_letter)
        await client.subscribe("late.thenwire.>", cb=self._on_letter)
        await self._connection.settle()
        return f"server {client.connected_url.netloc.rpartition('@')[2] if client.connected_url else ''}"

    async def _new(self) -> str:
        settings, found = self._settings, dict[str, int]()
        for stream, subject in (
            (settings.alerts_stream, f"alerts.*.*.{self._token}"),
            *((settings.input_stream, self._subject(kind)) for kind in self._chain.kinds),
        ):
            if stream == settings.input_stream and "{device}" not in self._template:
                continue
            found |= await self._messages(stream, subject)
        if found:
            raise DrillRefused(
                f"Device {self._chain.device} exists: there are messages on {', '.join(sorted(found)[:3])}. "
                "A drill is held with a device that has never been there."
            )
        return f"no message of {self._chain.device} in {settings.input_stream} and {settings.alerts_stream}"

    async def _publish(self) -> str:
        training = self._chain.training
        for kind in dict.fromkeys(event["kind"] for event in training):
            together = [event for event in training if event["kind"] == kind]
            await self._store(kind, msgspec.json.encode(together), f"{self._chain.device}:training:{kind}")
        for event in self._chain.events:
            self._published.append(time.monotonic())
            await self._store(event["kind"], msgspec.json.encode(event), event["id"])
        usual = f" after {len(training)} that train a baseline" if training else ""
        first, last = self._sequences[0], self._sequences[-1]
        return (
            f"{len(self._chain.events)} events{usual} stored in {self._settings.input_stream}, "
            f"sequence {first} to {last}"
        )

    async def _store(self, kind: str, payload: bytes, message_id: str) -> None:
        subject = self._subject(kind)
        headers = {"Nats-Msg-Id": message_id}
        try:
            answer = await self._js().publish(subject, payload, timeout=_PUBLISH_SECONDS, headers=headers)
        except (NoStreamResponseError, NoRespondersError):
            raise _Failed(f"no stream takes in {subject}: events of {kind} are lost") from None
        except TimeoutError:
            raise _Failed(f"no answer for {subject}: nobody may have stored the event of {kind}") from None
        except APIError as error:
            raise _Failed(f"{subject} was refused: {_reason(error)}") from None
        if answer.stream != self._settings.input_stream:
            raise _Failed(
                f"{subject} was stored in stream {answer.stream}, not in {self._settings.input_stream}: "
                f"the service does not see events of {kind}"
            )
        self._sequences.append(answer.seq)

    async def _read(self) -> str:
        last = self._sequences[-1]
        info = await self._consumer(lambda found: found.delivered.stream_seq >= last, "reads")
        return f"consumer {self._settings.consumer} is at sequence {info.delivered.stream_seq}"

    async def _await_alert(self) -> str:
        done, _ = await asyncio.wait({self._alert}, timeout=self._patience)
        if not done:
            letters = "; ".join(text for sequence, text in self._letters if sequence in self._sequences)
            kinds = ", ".join(dict.fromkeys(event["kind"] for event in self._chain.events))
            raise _Failed(
                f"none within {self._patience:g} s: "
                + (letters or f"the service read the events ({kinds}), and its rules make nothing of them")
            )
        alert, subject, seen = self._alert.result()
        return f"{alert.severity} on {subject}, {self._after(seen):.3f} s after the last event"

    async def _stored(self) -> str:
        _, subject, _ = self._alert.result()
        stream = self._settings.alerts_stream
        for attempt in range(20):
            try:
                message = await self._js().get_last_msg(stream, subject)
            except NotFoundError:
                # Subscribers get an alert before the stream has answered for it.
                await asyncio.sleep(_POLL_SECONDS * (attempt + 1) / 4)
                continue
            return f"{stream}, sequence {message.seq}"
        raise _Failed(f"the alert was published, and stream {stream} does not have it")

    async def _acknowledged(self) -> str:
        last = self._sequences[-1]
        info = await self._consumer(lambda found: found.ack_floor.stream_seq >= last, "acknowledges")
        return f"up to sequence {info.ack_floor.stream_seq}"

    async def _consumer(self, enough: Callable[[Any], bool], does: str) -> Any:
        """The consumer's state once it is enough."""
        stream, name = self._settings.input_stream, self._settings.consumer
        deadline = time.monotonic() + self._patience
        while True:
            try:
                info = await self._js().consumer_info(stream, name)
            except NotFoundError:
                raise _Failed(f"stream {stream} has no consumer {name}: no service reads it") from None
            if enough(info):
                return info
            if time.monotonic() > deadline:
                waiting = "" if info.num_waiting else "; nobody asks for messages: does the service run?"
                raise _Failed(
                    f"the service {does} nothing up to sequence {self._sequences[-1]} within "
                    f"{self._patience:g} s: delivered {info.delivered.stream_seq}, acknowledged "
                    f"{info.ack_floor.stream_seq}{waiting}"
                )
            await asyncio.sleep(_POLL_SECONDS)

    # --- afterwards

    async def _clean_up(self, failed: str | None) -> None:
        settings = self._settings
        if failed is not None:
            # They are what there is to look at, and the service may not have read them yet.
            numbers = f"{self._sequences[0]} to {self._sequences[-1]}"
            self._left.append(f"the events in {settings.input_stream}, sequence {numbers}, for whoever looks")
            return
        if not self._clean:
            self._left.append("the canary's events and alerts, as asked")
            return
        if "{device}" in self._template:
            for kind in self._chain.kinds:
                await self._purge(settings.input_stream, self._subject(kind))
        else:
            self._left.append(
                f"the events in {settings.input_stream}: their subject is not the canary's alone"
            )
        try:
            alerts = await self._unless_lost(
                self._messages(settings.alerts_stream, f"alerts.*.*.{self._token}")
            )
        except (_Failed, ServiceError) as error:
            self._left.append(f"the alerts in {settings.alerts_stream}: {error}")
            return
        for subject in alerts:
            await self._purge(settings.alerts_stream, subject)

    async def _purge(self, stream: str, subject: str) -> None:
        assert self._token in subject, "only what is the canary's alone may be taken away"
        try:
            await self._unless_lost(self._js().purge_stream(stream, subject=subject))
        except (_Failed, ServiceError) as error:
            self._left.append(f"{subject} in {stream}: {error}")

    # --- help

    def _after(self, seen: float) -> float:
        """Seconds from the last event that was published before the alert was seen."""
        return seen - max(when for when in self._published if when <= seen)

    def _js(self) -> Any:
        return self._connection.jetstream(timeout=_PUBLISH_SECONDS)

    def _subject(self, kind: str) -> str:
        return self._template.replace("{kind}", kind).replace("{device}", self._token)

    async def _messages(self, stream: str, subject: str) -> dict[str, int]:
        """The subjects in a stream that match, with how many messages they hold."""
        try:
            info = await self._js().stream_info(stream, subjects_filter=subject)
        except NotFoundError:
            raise _Failed(f"there is no stream {stream}") from None
        return dict(info.state.subjects or {})

    async def _on_alert(self, message: Msg) -> None:
        if self._alert.done():
            return
        try:
            alert = msgspec.json.decode(message.data, type=Alert)
        except msgspec.MsgspecError:
            return
        if alert.activity == "create":
            self._alert.set_result((alert, message.subject, time.monotonic()))

    async def _on_letter(self, message: Msg) -> None:
        headers = message.headers or {}
        sequence = headers.get("Origin-Sequence", "")
        if headers.get("Origin-Stream") == self._settings.input_stream and sequence.isdecimal():
            why = headers.get("Error-Detail") or "it came too late to be matched"
            # Whose it is shows only once the stream has answered for what was published.
            self._letters.append((int(sequence), f"{message.subject} has the event: {why}"))


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer; JetStream may be off, or this user may not ask for it"
    text = getattr(error, "description", None) or str(error) or type(error).__name__
    return str(text).removeprefix("nats: ").rstrip(".")


def _ms(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
