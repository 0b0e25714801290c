"""The observer of a run that puts the parts together: HTTP, endpoints over NATS, sampling, backlog."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nats.errors import Error as NatsError

from engine import __version__
from engine.service.ending import end
from engine.service.errors import ServiceError
from engine.service.matching import MatchingProcessor
from engine.service.observer import Running
from engine.service.operations.backlog import Backlog
from engine.service.operations.endpoints import Endpoints
from engine.service.operations.http import Answer, HttpServer, Page
from engine.service.operations.logs import Secrets
from engine.service.operations.metrics import render
from engine.service.operations.readiness import Readiness
from engine.service.operations.sampling import Sampler
from engine.service.operations.status import Sources, Status, status


class Operations:
    """An `engine.service.observer.Observer`.

    Args:
        reload: looks for changed rules when asked over NATS; says in a sentence what became of it.
        in_force: says what is in force, as plain data, when asked over NATS.
        secrets: is told those of the settings in force: the embedded server makes its own.

    Attributes:
        address: where HTTP is served, ``host:port``; empty without HTTP.
    """

    def __init__(
        self,
        reload: Callable[[], Awaitable[str]] | None = None,
        secrets: Secrets | None = None,
        in_force: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self.address = ""
        self._reload = reload
        self._in_force = in_force
        self._secrets = secrets
        self._http: HttpServer | None = None
        self._endpoints: Endpoints | None = None
        self._sources: Sources | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def status(self) -> Status:
        """The run now. Only while it is observed."""
        assert self._sources is not None
        return status(self._sources, time.time())

    async def begin(self, running: Running) -> None:
        """Serve HTTP, so that probes are answered while the run still connects."""
        if self._secrets is not None:
            self._secrets.hide_login(running.settings)
        processor = running.processor
        matching = processor if isinstance(processor, MatchingProcessor) else None
        self._sources = Sources(
            running=running,
            backlog=Backlog(running, matching.refreshed if matching else ()),
            sampler=Sampler(lambda: matching.matcher) if matching else None,
            readiness=Readiness(running),
            version=__version__,
            started=time.time(),
            in_force=self._in_force,
        )
        if running.settings.http_address is not None:
            self._http = HttpServer(running.settings.http_address, self._pages())
            await self._http.open()
            self.address = self._http.address

    async def reading(self) -> None:
        """Watch the backlog, sample, answer requests."""
        sources = self._sources
        assert sources is not None
        sources.readiness.reading = True
        self._tasks.append(asyncio.create_task(sources.backlog.watch()))
        if sources.sampler is not None:
            self._tasks.append(asyncio.create_task(sources.sampler.run()))
        settings = sources.running.settings
        if settings.endpoints if settings.endpoints is not None else settings.embedded:
            self._endpoints = Endpoints(sources.running, self.status, self._reload, self._in_force)
            try:
                await self._endpoints.open()
            except NatsError as error:
                raise ServiceError(f"The endpoints cannot be opened: {error}.") from None

    async def end(self) -> None:
        """Serve no more."""
        await end(*self._tasks)
        if self._endpoints is not None:
            await self._endpoints.close()
        if self._http is not None:
            await self._http.close()

    def _pages(self) -> dict[str, Page]:
        async def healthz(headers: Mapping[str, str]) -> Answer:
            del headers
            return Answer(200, b"ok\n")

        async def readyz(headers: Mapping[str, str]) -> Answer:
            del headers
            assert self._sources is not None
            ready, reason = self._sources.readiness.verdict()
            return Answer(200, b"ready\n") if ready else Answer(503, f"{reason}\n".encode())

        async def scraped(headers: Mapping[str, str]) -> Answer:
            accept = headers.get("accept", "")
            body, content_type = await asyncio.to_thread(render, self.status(), accept)
            return Answer(200, body, content_type)

        return {"/healthz": healthz, "/readyz": readyz, "/metrics": scraped}
