"""The connection to NATS: options, callbacks, and which of its errors end the service.

nats-py reports most trouble through one callback and reconnects by itself.
Three things must not be left to that: a permission that is missing (requests
would only time out, for ever), a login that is refused (nats-py would try it
again for ever) and a dropped message (`SlowConsumerError`).
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from typing import Any, cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import AuthorizationError, SlowConsumerError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from engine.service.errors import ServiceError, SettingsError
from engine.service.message import Message
from engine.service.settings import Settings, without_login

OLDEST_SERVER = (2, 14)
"""`reset_consumer` came with nats-server 2.14."""

_log = logging.getLogger("thenwire.service")
_PING_SECONDS = 10
_PENDING_BYTES = 8 * 1024 * 1024
_FLUSH_SECONDS = 5.0


class Connection:
    """One NATS connection of the service.

    `failed` is a future that never has a result; it gets a `ServiceError` when
    the service cannot go on. `on_reconnect` and `on_slow_consumer` are called
    from the client's callbacks and must not block.
    """

    def __init__(self, settings: Settings) -> None:
        self.client = Client()
        # A Struct cannot inherit from the dataclass it stands in for.
        self.client.msg_class = cast("type[Msg]", Message)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_reconnect: list[Callable[[], None]] = []
        self.on_slow_consumer: list[Callable[[], None]] = []
        self.reconnects = 0
        self._settings = settings
        self._closing = False
        self._last_error = "no answer"

    @property
    def api_prefix(self) -> str:
        """The first tokens of JetStream API subjects, which depend on the domain."""
        domain = self._settings.jetstream_domain
        return f"$JS.{domain}.API" if domain else "$JS.API"

    def jetstream(self, timeout: float = 5.0) -> JetStreamContext:
        """The JetStream API of the configured domain; requests give up after ``timeout`` seconds."""
        return self.client.jetstream(domain=self._settings.jetstream_domain, timeout=timeout)

    def fail(self, error: ServiceError) -> None:
        """End the service with ``error``; the first one counts."""
        if not self.failed.done() and not self._closing:
            self.failed.set_exception(error)

    async def open(self) -> None:
        """Connect, and check the server's version.

        Raises `SettingsError` for a file that cannot be read, `ServiceError` when the login is refused, the
        server is too old, or none answers within ``connect_timeout``.
        """
        servers = ", ".join(without_login(url) for url in self._settings.servers)
        attempt = asyncio.ensure_future(self._connect())
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await asyncio.wait({attempt, self.failed}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise ServiceError(
                f"No NATS server answered at {servers} within {self._settings.connect_timeout:g} s: "
                f"{self._last_error}."
            ) from None
        finally:
            if not attempt.done():
                attempt.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await attempt
        if self.failed.done():
            self.failed.result()
        attempt.result()
        self._check_version()
        _log.info("connected to %s", servers)

    async def close(self) -> None:
        """Close the connection; later errors are no longer reported."""
        self._closing = True
        # Nobody may be waiting for it any more, and an exception that is never read is logged as a bug.
        if self.failed.done() and not self.failed.cancelled():
            self.failed.exception()
        with contextlib.suppress(Exception):
            await self.client.close()

    async def _connect(self) -> None:
        options = _login(self._settings)
        context = _tls(self._settings)
        if context is not None:
            options["tls"] = context
        try:
            await self.client.connect(
                servers=list(self._settings.servers),
                name="thenwire",
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnect,
                reconnected_cb=self._on_reconnect,
                closed_cb=self._on_close,
                ping_interval=_PING_SECONDS,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                inbox_prefix=self._settings.inbox_prefix,
                pending_size=_PENDING_BYTES,
                flush_timeout=_FLUSH_SECONDS,
                **options,
            )
        except ImportError:
            raise SettingsError(
                "NATS_CREDS and NATS_NKEY need the package nkeys: pip install nkeys."
            ) from None
        except (ValueError, TypeError) as error:
            raise SettingsError(f"The login cannot be used: {type(error).__name__}.") from None
        except NatsError as error:
            raise ServiceError(f"The connection cannot be opened: {error}.") from None

    def _check_version(self) -> None:
        version = self.client.connected_server_version
        if (version.major, version.minor) < OLDEST_SERVER:
            oldest = ".".join(str(number) for number in OLDEST_SERVER)
            raise ServiceError(
                f"The NATS server is version {version.major}.{version.minor}; {oldest} or newer is needed."
            )

    # An exception that leaves a callback ends nats-py's reading of the socket without a word,
    # so none of these may raise.

    async def _on_error(self, error: Exception) -> None:
        try:
            self._judge(error)
        except Exception:
            _log.exception("while handling an error of the connection")

    def _judge(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        lowered = text.lower()
        self._last_error = text.removeprefix("nats: ")
        if "permissions violation" in lowered:
            what = lowered.partition("permissions violation")[2].strip(" '")
            self.fail(ServiceError(f"The NATS user lacks a permission: {what}."))
        elif isinstance(error, AuthorizationError) or "authorization violation" in lowered:
            self.fail(ServiceError("The NATS server refused the login."))
        elif isinstance(error, SlowConsumerError):
            _log.error("the client dropped a message, so the source is opened again")
            for callback in self.on_slow_consumer:
                callback()
        elif not self._closing:
            _log.warning("connection: %s", self._last_error)

    async def _on_disconnect(self) -> None:
        if not self._closing:
            _log.warning("disconnected from NATS, trying to reconnect")

    async def _on_reconnect(self) -> None:
        self.reconnects += 1
        _log.warning("reconnected to NATS")
        for callback in self.on_reconnect:
            try:
                callback()
            except Exception:
                _log.exception("while reconnecting")

    async def _on_close(self) -> None:
        self.fail(ServiceError(f"The connection to NATS was closed: {self._last_error}."))


def _login(settings: Settings) -> dict[str, Any]:
    for path in (settings.credentials_file, settings.nkey_file):
        if path is not None:
            try:
                # The client would take a missing file for a connection that failed, and try for ever.
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise SettingsError(f"The login file {path!r} cannot be read: {error.strerror}.") from None
    if settings.credentials_file is not None:
        return {"user_credentials": settings.credentials_file}
    if settings.nkey_file is not None:
        return {"nkeys_seed": settings.nkey_file}
    if settings.user is not None:
        return {"user": settings.user, "password": settings.password}
    if settings.token is not None:
        return {"token": settings.token}
    return {}


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.ca_file is None and settings.certificate_file is None:
        # nats-py uses the system's authorities when the server or the URL asks for TLS.
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate_file is not None:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"The files of NATS_CA, NATS_CERT and NATS_KEY cannot be used: {error}."
        ) from None
    return context
