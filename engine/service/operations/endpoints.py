"""The NATS service ``thenwire``: requests to a running service, by the NATS micro-service protocol (ADR-32).

Subjects: ``thenwire.api.<consumer>.<endpoint>``, so that several services on one server are told apart, and
users can be allowed one endpoint and not another. ``nats micro ls`` and ``$SRV.PING`` find it.

Whoever may send a request chooses the subject of the answer. Answers therefore never go to a subject of the
streams or of the server (``$JS``, ``$KV``, ``$SYS``): else a request would be a way to store alerts.

What takes longer than a millisecond or so runs in a thread, one request an endpoint at a time, so the loop is
not held.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from nats import micro
from nats.errors import Error as NatsError
from nats.micro.request import Request
from nats.micro.service import Service

from engine import __version__
from engine.service.matching import MatchingProcessor
from engine.service.observer import Running
from engine.service.operations import answering
from engine.service.operations import answers as a
from engine.service.operations.reread import NotAnswered
from engine.service.operations.status import Status
from engine.service.streams import plan_streams, subject_covers
from engine.service.subjects import header_value

_log = logging.getLogger("thenwire.service")
SERVICE = "thenwire"
LARGEST_REQUEST = 256 * 1024
LARGEST_ANSWER = 4 * 1024 * 1024

Handler = Callable[[Any], Awaitable[Any]]


class Endpoint(msgspec.Struct, frozen=True):
    """One endpoint, for the reference and for making it. ``takes`` None: the request is empty."""

    name: str
    takes: type[msgspec.Struct] | None
    gives: str
    help: str


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("status", a.StatusRequest, "Status", "Everything about the run: what /metrics says, and more"),
    Endpoint("rules", a.RulesRequest, "RulesAnswer", "The rules that run, with their hashes"),
    Endpoint("check", a.CheckRequest, "CheckAnswer", "Rule text in, diagnostics out; nothing is changed"),
    Endpoint("explain", a.ExplainRequest, "ExplainAnswer", "A rule in words"),
    Endpoint("why", a.WhyRequest, "Answer", "Why a rule did not alert for a device, from the stream"),
    Endpoint(
        "baseline",
        a.BaselineRequest,
        "BaselineAnswer",
        "What baselines have seen of a device, from the stream",
    ),
    Endpoint("in_force", None, "InForceAnswer", "Which set is in force since when, and what was refused"),
    Endpoint("reload", None, "Done", "Look for changed rules now; a fill (`--warm`) is not waited for"),
    Endpoint("drain", None, "Done", "Take in nothing more, finish, acknowledge, end with exit code 0"),
)


def api_subject(consumer: str, endpoint: str) -> str:
    """Where an endpoint of the service with that consumer listens."""
    return f"thenwire.api.{consumer}.{endpoint}"


class _Refused(Exception):
    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Endpoints:
    """See the head of this file.

    Args:
        running: the run.
        status: gives the status.
        reload: looks for changed rules and says in a sentence what became of it; None where rules are read
            once, at the start.
        in_force: what is in force, as plain data; None where rules are read once.
    """

    def __init__(
        self,
        running: Running,
        status: Callable[[], Status],
        reload: Callable[[], Awaitable[str]] | None,
        in_force: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self._running = running
        self._status = status
        self._reload = reload
        self._in_force = in_force
        self._service: Service | None = None
        self._patterns = [p for plan in plan_streams(running.settings) for p in plan.subjects]

    async def open(self) -> None:
        """Register with the server."""
        settings = self._running.settings
        service = await micro.add_service(
            self._running.connection.client,
            name=SERVICE,
            version=__version__,
            description="temporal detection rules over device telemetry",
            metadata={"consumer": settings.consumer, "stream": settings.input_stream},
        )
        self._service = service
        group = service.add_group(name=f"thenwire.api.{settings.consumer}")
        for endpoint in ENDPOINTS:
            await group.add_endpoint(
                name=endpoint.name, handler=self._handler(endpoint), metadata={"about": endpoint.help}
            )
        # Who sees the service ready can ask it.
        await self._running.connection.settle()

    async def close(self) -> None:
        """Answer no more."""
        service, self._service = self._service, None
        if service is not None and self._running.connection.client.is_connected:
            try:
                await service.stop()
            except NatsError as error:
                _log.debug("the endpoints were not closed: %s", error)

    def _handler(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[None]]:
        answer: Handler = getattr(self, f"_answer_{endpoint.name}")
        decoder = msgspec.json.Decoder(endpoint.takes) if endpoint.takes is not None else None

        async def handle(request: Request) -> None:
            reply = request._msg.reply
            if not reply or not self._may_answer(reply):
                if reply:
                    _log.warning("a request to %s asked for its answer at %s: ignored", endpoint.name, reply)
                return
            try:
                raw = await self._answered(answer, decoder, request.data)
            except _Refused as refused:
                await request.respond_error(str(refused.code), header_value(str(refused)))
            except Exception:
                _log.exception("the endpoint %s failed", endpoint.name)
                await request.respond_error("500", "The request failed; the log of the service says why.")
            else:
                await request.respond(raw)

        return handle

    async def _answered(
        self, answer: Handler, decoder: msgspec.json.Decoder[Any] | None, data: bytes
    ) -> bytes:
        if len(data) > LARGEST_REQUEST:
            raise _Refused(413, f"A request has at most {LARGEST_REQUEST:,} bytes.")
        wanted = None
        if decoder is not None:
            try:
                wanted = decoder.decode(data or b"{}")
            except (msgspec.DecodeError, RecursionError) as error:
                raise _Refused(400, f"The request is not understood: {error}.") from None
        try:
            raw = msgspec.json.encode(await answer(wanted))
        except NotAnswered as error:
            raise _Refused(422, str(error)) from None
        largest = min(LARGEST_ANSWER, self._running.connection.client.max_payload - 1024)
        if len(raw) > largest:
            raise _Refused(413, f"The answer would have more than {largest:,} bytes: ask for less.")
        return raw

    def _may_answer(self, reply: str) -> bool:
        if reply.startswith("$"):
            return False
        return not any(subject_covers(pattern, reply) for pattern in self._patterns)

    # --- one for each of ENDPOINTS

    async def _answer_status(self, request: a.StatusRequest) -> Status:
        found = self._status()
        rules = sorted(found.rules, key=lambda rule: (-rule.matches, -rule.fits, rule.name))
        kinds = sorted(found.kinds, key=lambda kind: (-kind.seen, kind.kind))
        return msgspec.structs.replace(
            found, rules=rules[: max(0, request.rules)], kinds=kinds[: max(0, request.kinds)]
        )

    async def _answer_rules(self, request: a.RulesRequest) -> Any:
        matching = self._matching()
        return await self._in_thread(answering.rules, matching.ruleset, matching.matcher.rules, request)

    async def _answer_check(self, request: a.CheckRequest) -> Any:
        return await self._in_thread(answering.check, self._matching().ruleset, request)

    async def _answer_explain(self, request: a.ExplainRequest) -> Any:
        return await self._in_thread(answering.explain, self._matching().ruleset, request)

    async def _answer_why(self, request: a.WhyRequest) -> Any:
        ruleset, settings = self._matching().ruleset, self._running.settings
        return await self._in_thread(answering.why, ruleset, settings, request, int(time.time() * 1_000))

    async def _answer_baseline(self, request: a.BaselineRequest) -> Any:
        ruleset, settings = self._matching().ruleset, self._running.settings
        return await self._in_thread(answering.baseline, ruleset, settings, request, int(time.time() * 1_000))

    async def _answer_in_force(self, request: None) -> a.InForceAnswer:
        del request
        if self._in_force is None:
            raise _Refused(501, "This service reads its rules once, at the start.")
        return a.InForceAnswer(self._in_force())

    async def _answer_reload(self, request: None) -> a.Done:
        del request
        if self._reload is None:
            raise _Refused(501, "This service reads its rules once, at the start.")
        return a.Done(await self._reload())

    async def _answer_drain(self, request: None) -> a.Done:
        del request
        _log.info("asked over NATS to drain")
        # The answer leaves first: the connection is closed at the end of the run.
        asyncio.get_running_loop().call_later(0.1, self._running.stop.set)
        return a.Done("The service finishes what is queued and ends.")

    def _matching(self) -> MatchingProcessor:
        processor = self._running.processor
        if not isinstance(processor, MatchingProcessor):
            raise _Refused(501, "This service runs no rules.")
        return processor

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        began = time.monotonic()
        found = await asyncio.to_thread(work, *arguments)
        _log.debug("%s took %.3f s in a thread", work.__name__, time.monotonic() - began)
        return found
