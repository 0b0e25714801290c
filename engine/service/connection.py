"""The connection to NATS: options, callbacks, and which of its errors end the service.

nats-py reports most trouble through one callback and reconnects by itself.
Three things must not be left to that: a permission that is missing (requests
would only time out, for ever), a login that is refused (nats-py would try it
again for ever) and a dropped message (`SlowConsumerError`).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import AuthorizationError, SlowConsumerError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from engine.service.errors import ServiceError, SettingsError
from engine.service.login import login_options, tls_context, tls_failure, wants_tls, way_of_login
from engine.service.message import Message
from engine.service.permissions import needed, refusal
from engine.service.settings import Settings, without_login

OLDEST_SERVER = (2, 14)
"""`reset_consumer` came with nats-server 2.14."""

_log = logging.getLogger("thenwire.service")
_PING_SECONDS = 10
_PENDING_BYTES = 8 * 1024 * 1024
_FLUSH_SECONDS = 5.0


_ENDED_LOGIN = {
    "user authentication revoked": "The NATS server has revoked this user.",
    "user authentication expired": "The login at the NATS server has expired.",
    "account authentication expired": "The account's login at the NATS server has expired.",
    "maximum connections exceeded": "The NATS server takes no more connections.",
}
"""What a server says before it closes a connection for good."""


class _PlainTransportError(NatsError):
    """The server offered no TLS although the settings ask for it."""


class _Client(Client):
    """nats-py's client, which never sends a login over a connection without TLS when TLS was asked for.

    By itself it does: it begins TLS only if the server offers it, whatever the URL says, and whoever
    stands between the two can remove the offer.
    """

    tls_only = False

    def _connect_command(self) -> bytes:
        server = self._current_server
        encrypted = self._server_info.get("tls_required") or (server and server.uri.scheme == "wss")
        if self.tls_only and not (encrypted or self.options["tls_handshake_first"]):
            raise _PlainTransportError
        command: bytes = super()._connect_command()
        return command


class Connection:
    """One NATS connection of the service.

    `failed` is a future that never has a result; it gets a `ServiceError` when
    the service cannot go on. `on_reconnect` and `on_slow_consumer` are called
    from the client's callbacks and must not block.
    """

    def __init__(self, settings: Settings) -> None:
        self.client = _Client()
        self.client.tls_only = wants_tls(settings)
        # A Struct cannot inherit from the dataclass it stands in for.
        self.client.msg_class = cast("type[Msg]", Message)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_reconnect: list[Callable[[], None]] = []
        self.on_slow_consumer: list[Callable[[], None]] = []
        self.reconnects = 0
        self.permissions = needed(settings)
        """What this user must be allowed; a refusal is looked up here."""
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

    def check(self) -> None:
        """Raise the `ServiceError` with which `failed` ended, if it did.

        A request that gets no answer may have been refused, which only the error callback learns.
        """
        if self.failed.done() and not self.failed.cancelled():
            self.failed.result()

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
        self.check()
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
        await self._abort()

    async def _abort(self) -> None:
        """Close a socket that nats-py left open.

        It takes a connection for closed from the moment at which it begins to close it. An attempt that is
        given up then, as after a refused login, leaves its socket, and with that no event loop can be closed.
        """
        for name in ("_io_writer", "_bare_io_writer"):
            writer = getattr(self.client._transport, name, None)
            if isinstance(writer, asyncio.StreamWriter):
                writer.transport.abort()
        await asyncio.sleep(0)

    async def settle(self) -> None:
        """Return when the server has taken in all that was sent before.

        Twice, because nats-py's flush writes its ping ahead of commands that are still in its buffer: the
        first only shows that the buffer has been sent.
        """
        for _ in range(2):
            await self.client.flush()

    async def _connect(self) -> None:
        options = login_options(self._settings)
        context = tls_context(self._settings)
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
                tls_handshake_first=self._settings.tls_first,
                **options,
            )
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
        refused = refusal(text, self.permissions)
        refused_certificate = tls_failure(error, self._address(), self._settings)
        if refused is not None and refused.is_answer:
            # Whoever asks chooses where the answer goes, and must not be able to end the service by it.
            _log.warning("an answer could not be sent: this user may not %s", refused.what)
        elif refused is not None:
            self.fail(ServiceError(f"The NATS user lacks a permission: {refused.what}."))
        elif isinstance(error, AuthorizationError) or "authorization violation" in lowered:
            self.fail(ServiceError(f"The NATS server refused the login ({way_of_login(self._settings)})."))
        elif refused_certificate is not None:
            self.fail(refused_certificate)
        elif isinstance(error, _PlainTransportError):
            self.fail(
                ServiceError(
                    f"The NATS server at {self._address()} offers no TLS, which the settings ask for; "
                    "no login was sent."
                )
            )
        elif isinstance(error, SlowConsumerError):
            _log.error("the client dropped a message, so the source is opened again")
            for callback in self.on_slow_consumer:
                callback()
        elif not self._closing:
            _log.warning("connection: %s", self._last_error)

    def _address(self) -> str:
        """The server that is being spoken to, without its login."""
        current = self.client._current_server
        return (
            without_login(current.uri.geturl())
            if current
            else ", ".join(map(without_login, self._settings.servers))
        )

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
        said = str(self.client.last_error or "").lower()
        ended = next((sentence for words, sentence in _ENDED_LOGIN.items() if words in said), None)
        if ended is not None:
            self.fail(ServiceError(ended))
        elif "authorization violation" in said:
            self.fail(ServiceError(f"The NATS server refused the login ({way_of_login(self._settings)})."))
        self.fail(ServiceError(f"The connection to NATS was closed: {self._last_error}."))
