"""`thenwire run` as a process: event loop, signals, embedded server around `run`."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.service.changes import Companion
from engine.service.checkpoints.model import StateStore
from engine.service.collector import short_pauses
from engine.service.errors import ServiceError
from engine.service.observer import Observer
from engine.service.processor import Processor
from engine.service.run import RunReport, run
from engine.service.settings import Settings

_log = logging.getLogger("thenwire.service")
_Result = TypeVar("_Result")


def serve(
    settings: Settings,
    processor: Processor,
    *,
    on_ready: Callable[[Settings], None] | None = None,
    observer: Observer | None = None,
    store: StateStore | None = None,
    fresh: bool = False,
    warm_ms: int | None = None,
    companions: Sequence[Companion] = (),
) -> RunReport:
    """Run the service until SIGTERM or SIGINT, and return what it did.

    With ``settings.embedded`` it starts a NATS server of its own first and stops
    it last. ``on_ready`` gets the settings in force, with the address and token
    of that server; ``observer``, ``store``, ``fresh``, ``warm_ms`` and ``companions`` are
    those of `run`. A second signal ends at once, without finishing; no event is lost by
    that. Raises `ServiceError` with one sentence.
    """
    try:
        with short_pauses():
            return run_loop(
                _serve(settings, processor, on_ready, observer, store, fresh, warm_ms, companions)
            )
    except asyncio.CancelledError:
        raise ServiceError(
            "Ended before everything was finished; the rest is processed again at the next start."
        ) from None


def run_loop(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run ``work`` on a uvloop event loop, or on asyncio's own where uvloop does not exist (Windows)."""
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


async def _serve(
    settings: Settings,
    processor: Processor,
    on_ready: Callable[[Settings], None] | None,
    observer: Observer | None,
    store: StateStore | None,
    fresh: bool,
    warm_ms: int | None,
    companions: Sequence[Companion],
) -> RunReport:
    stop = asyncio.Event()
    async with _server(settings) as (effective, server_ended):
        _install_handlers(stop)
        ready = None if on_ready is None else lambda: on_ready(effective)
        working = asyncio.ensure_future(
            run(
                *(effective, processor),
                stop=stop,
                on_ready=ready,
                observer=observer,
                store=store,
                fresh=fresh,
                warm_ms=warm_ms,
                companions=companions,
            )
        )
        try:
            await asyncio.wait([working, server_ended], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ServiceError("The embedded NATS server ended; its log says why.")
            return working.result()
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await working


def _install_handlers(stop: asyncio.Event) -> None:
    """First signal: stop in order. Second: cancel, which leaves the rest to the next start."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set() and main is not None:
            _log.warning("%s again: ending at once", number.name)
            main.cancel()
            return
        _log.info("%s: finishing what is queued", number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, on_signal, number)
        except NotImplementedError:
            # Windows: asyncio's default for Ctrl-C cancels the main task.
            return


@contextlib.asynccontextmanager
async def _server(settings: Settings) -> AsyncIterator[tuple[Settings, "asyncio.Future[Any]"]]:
    """The settings to connect with, and a future that is done when an embedded server ends too early."""
    if not settings.embedded:
        never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        yield settings, never
        return
    # Not at the top: it needs POSIX, and a service on a server elsewhere does not.
    from engine.service.embedded import EmbeddedServer, default_directory, find_server

    directory = settings.embedded_directory
    embedded = EmbeddedServer(
        Path(directory) if directory else default_directory(os.environ),
        binary=find_server(settings.server_binary, os.environ),
        port=settings.embedded_port,
        sync_always=settings.embedded_sync_always,
    )
    async with embedded as server:
        ended = asyncio.ensure_future(server.wait())
        try:
            yield (
                msgspec.structs.replace(
                    settings,
                    servers=(server.url,),
                    token=server.token,
                    credentials_file=None,
                    nkey_file=None,
                    user=None,
                    password=None,
                    ca_file=None,
                    certificate_file=None,
                    key_file=None,
                    jetstream_domain=None,
                ),
                ended,
            )
        finally:
            ended.cancel()
