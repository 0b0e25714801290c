"""A very small HTTP server for probes and scrapers: GET and HEAD, one request a connection.

On the event loop of the service itself, so that an answer from /healthz shows that the loop is alive. No body
of a request is read, heads are bounded in size and time, and connections in number; whatever is wrong
with a request, the answer is a status line, and nothing of the request is repeated in it or logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from engine.service.errors import ServiceError, SettingsError

_log = logging.getLogger("thenwire.service")
LONGEST_HEAD = 8 * 1024
MOST_CONNECTIONS = 32
TIMEOUT_SECONDS = 5.0
_LINGER_SECONDS = 0.5
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]{1,2048}) HTTP/([0-9])\.[0-9]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t]*)")
_ADDRESS = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):)?(?P<port>[0-9]{1,5})")
_TEXT = "text/plain; charset=utf-8"


class Answer(msgspec.Struct, frozen=True):
    """What a page says."""

    status: int
    body: bytes
    content_type: str = _TEXT


Page = Callable[[Mapping[str, str]], Awaitable[Answer]]
"""From the headers of a request, names in lower case."""


def listen_address(text: str) -> tuple[str, int]:
    """Host and port from ``9464``, ``127.0.0.1:9464`` or ``[::1]:9464``; without a host it is 127.0.0.1.

    Raises `SettingsError`.
    """
    parts = _ADDRESS.fullmatch(text.strip())
    if parts is None or int(parts["port"]) > 65535:
        raise SettingsError(
            f"Setting http_address must be a port or host:port such as 127.0.0.1:9464, not {text[:60]!r}."
        )
    return (parts["host"] or "127.0.0.1").strip("[]"), int(parts["port"])


class HttpServer:
    """Serves pages by path. `address` is known once it is open."""

    def __init__(self, address: str, pages: Mapping[str, Page]) -> None:
        self._host, self._port = listen_address(address)
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._open = 0
        self.address = ""

    async def open(self) -> None:
        """Listen. Raises `ServiceError` when the address cannot be had."""
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host, self._port, limit=LONGEST_HEAD, backlog=MOST_CONNECTIONS
            )
        except OSError as error:
            reason = (error.strerror or "no reason").lower()
            raise ServiceError(
                f"Nothing can listen at http_address {self._host}:{self._port}: {reason}."
            ) from None
        name = self._server.sockets[0].getsockname()
        shown = f"[{name[0]}]" if ":" in name[0] else name[0]
        self.address = f"{shown}:{name[1]}"
        _log.info("health and metrics at http://%s", self.address)
        if not _is_loopback(self._host):
            _log.warning(
                "whoever reaches %s can read health and metrics, rule names among them", self.address
            )

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            # From Python 3.12 on this waits for open connections, which the timeout ends.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 2 * TIMEOUT_SECONDS)
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > MOST_CONNECTIONS:
                async with asyncio.timeout(_LINGER_SECONDS):
                    await _write(writer, _said(503, "Too many connections."), False)
                    await _linger(reader, writer)
                return
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer, head_only = await self._answer(reader)
                await _write(writer, answer, head_only)
                await _linger(reader, writer)
        except TimeoutError:
            with contextlib.suppress(OSError):
                writer.write(_head(_said(408, "The request did not come in time.")))
        except OSError:
            # The other side has gone.
            pass
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[Answer, bool]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _said(431, "The head of the request is too long."), False
        except asyncio.IncompleteReadError:
            return _said(400, "This is no HTTP request."), False
        first, *lines = head[:-4].split(b"\r\n")
        request = _REQUEST.fullmatch(first)
        headers = [_HEADER.fullmatch(line) for line in lines]
        if request is None or None in headers:
            return _said(400, "This is no HTTP request."), False
        if request[3] != b"1":
            return _said(505, "HTTP/1.1 is spoken here."), False
        if request[1] not in (b"GET", b"HEAD"):
            return _said(405, "Only GET and HEAD."), False
        path = request[2].decode("ascii").partition("?")[0]
        page = self._pages.get(path)
        if page is None:
            known = ", ".join(self._pages)
            return _said(404, f"There is no such page; there are {known}."), request[1] == b"HEAD"
        found = {h[1].decode("ascii").lower(): h[2].decode("ascii").strip() for h in headers if h}
        try:
            return await page(found), request[1] == b"HEAD"
        except Exception:
            _log.exception("the page %s failed", path)
            return _said(500, "The page failed; the log says why."), request[1] == b"HEAD"


def _said(status: int, text: str) -> Answer:
    return Answer(status, f"{text}\n".encode())


def _head(answer: Answer) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if answer.status == 405:
        lines.append("Allow: GET, HEAD")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _write(writer: asyncio.StreamWriter, answer: Answer, head_only: bool) -> None:
    writer.write(_head(answer) if head_only else _head(answer) + answer.body)
    await writer.drain()


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that the answer ends, and read what is left of the request, a little: to close before that would
    reset the connection, and the answer could be lost on its way.
    """
    writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            for _ in range(8):
                if not await reader.read(LONGEST_HEAD):
                    return


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
