"""Everything of one run in one place: server, service, events, and the comparison at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from checking import Found, judge, settled
from faulty_server import FaultyServer
from service_process import Service
from stream_feeding import Feeder, connect
from workload import Workload


class Run:
    """``client`` is an operator's: it may do everything."""

    def __init__(self, server: FaultyServer, service: Service, client: Any, feeder: Feeder) -> None:
        self.server = server
        self.service = service
        self.client = client
        self.jetstream = client.jetstream()
        self._feeder = feeder
        self._feeding = asyncio.create_task(feeder.run())

    async def stored(self, stream: str) -> int:
        """How many messages a stream holds."""
        return int((await self.jetstream.stream_info(stream)).state.messages)

    async def more(self, stream: str, count: int) -> None:
        """Return when a stream holds so many messages more than now."""
        wanted = await self.stored(stream) + count
        while await self.stored(stream) < wanted:  # noqa: ASYNC110  # the server has no event for it
            await asyncio.sleep(0.05)

    async def end(self) -> Found:
        """No more events; wait until the service has done everything, stop it and compare."""
        await self.end_of_events()
        until = await settled(self.client, self.service, seconds=0.0)
        return await judge(self.client, self._feeder.workload, until)

    async def end_of_events(self) -> None:
        """Return when all that had begun is stored."""
        self._feeder.stop()
        await self._feeding

    async def leave(self) -> None:
        """Whatever has happened."""
        self._feeding.cancel()
        await asyncio.wait([self._feeding])


@asynccontextmanager
async def running(
    binary: Path,
    directory: Path,
    *,
    configuration: str = "",
    store: Path | None = None,
    state: Path | str | None = None,
    login: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    seed: int = 1,
) -> AsyncIterator[Run]:
    """A server, the service reading, and events coming in.

    Args:
        binary: the nats-server.
        directory: of everything that has no other place.
        configuration: of the server, besides the fixed part.
        store: of the server.
        state: of the service.
        login: how the operator logs in.
        options: further words for ``thenwire run``.
        environment: further variables for it.
        seed: of the events.
    """
    with FaultyServer(binary, directory / "nats", configuration=configuration, store=store) as server:
        service = Service(directory, server.url, state=state, options=options, environment=environment)
        client = await connect(server.url, **(login or {}))
        run: Run | None = None
        try:
            service.start()
            await service.ready()
            run = Run(server, service, client, Feeder(client, Workload(seed), seed))
            yield run
        finally:
            service.end()
            server.thaw()
            if run is not None:
                await run.leave()
            await client.close()
