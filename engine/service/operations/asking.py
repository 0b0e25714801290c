"""The other side of the endpoints: one question after another to a running service."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER

from engine.alerts import printable
from engine.service.connection import Connection
from engine.service.errors import ServiceError
from engine.service.operations.endpoints import api_subject
from engine.service.settings import Settings

_Answer = TypeVar("_Answer")
ASK_SECONDS = 5.0


class Asking:
    """Asks the service whose consumer the settings name. Use it as an asynchronous context manager.

    Raises:
        ServiceError: no server, no service, or it refused; one sentence.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(settings)

    async def __aenter__(self) -> Asking:
        try:
            await self._connection.open()
        except BaseException:
            await self._connection.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def ask(
        self,
        endpoint: str,
        request: msgspec.Struct | None,
        answer: type[_Answer],
        seconds: float = ASK_SECONDS,
    ) -> _Answer:
        """One question; ``seconds`` is the patience for its answer."""
        subject = api_subject(self._settings.consumer, endpoint)
        raw = b"" if request is None else msgspec.json.encode(request)
        asking = asyncio.ensure_future(self._connection.client.request(subject, raw, timeout=seconds))
        waiting: list[asyncio.Future[Any]] = [asking, self._connection.failed]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self._connection.failed.done():
            asking.cancel()
            self._connection.failed.result()
        try:
            message: Any = asking.result()
        except NoRespondersError:
            raise ServiceError(
                f"No service answers at {subject}: it may not run, run with another consumer, or without "
                "its endpoints (setting endpoints)."
            ) from None
        except (TimeoutError, NatsError):
            raise ServiceError(f"The service did not answer at {subject} within {seconds:g} s.") from None
        headers = message.headers or {}
        if ERROR_CODE_HEADER in headers:
            raise ServiceError(printable(headers.get(ERROR_HEADER, "")) or "The service refused.")
        try:
            return msgspec.json.decode(message.data, type=answer)
        except msgspec.DecodeError as error:
            raise ServiceError(f"The answer is not understood: is it another version? {error}.") from None
