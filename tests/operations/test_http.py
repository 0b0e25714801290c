"""The small HTTP server: what it answers, and what it does not let be done to it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.service.errors import ServiceError, SettingsError
from engine.service.operations import http
from engine.service.operations.http import Answer, HttpServer, listen_address


async def ok(headers: Any) -> Answer:
    return Answer(200, f"accept={headers.get('accept')}".encode())


async def red(headers: Any) -> Answer:
    return Answer(503, b"no")


async def broken(headers: Any) -> Answer:
    raise RuntimeError("secret detail")


PAGES = {"/ok": ok, "/red": red, "/broken": broken}


def with_server(scenario: Callable[[Callable[[bytes], Awaitable[bytes]]], Awaitable[None]]) -> None:
    async def inside() -> None:
        server = HttpServer("127.0.0.1:0", PAGES)
        await server.open()
        host, _, port = server.address.rpartition(":")

        async def send(raw: bytes) -> bytes:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(raw)
            if raw.endswith(b"<end>"):
                writer.write_eof()
            answer = await reader.read()
            writer.close()
            return answer

        try:
            async with asyncio.timeout(30):
                await scenario(send)
        finally:
            await server.close()

    asyncio.run(inside())


def test_pages_are_answered() -> None:
    async def scenario(send: Any) -> None:
        answer = await send(b"GET /ok?a=b HTTP/1.1\r\nHost: x\r\nACCEPT: text/plain\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Length: 17" in head
        assert b"Connection: close" in head
        assert body == b"accept=text/plain"
        assert (await send(b"GET /red HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")

    with_server(scenario)


def test_head_has_the_length_and_no_body() -> None:
    async def scenario(send: Any) -> None:
        answer = await send(b"HEAD /red HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Content-Length: 2\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")

    with_server(scenario)


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        (b"POST /ok HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 405, b"Allow: GET, HEAD"),
        (b"DELETE /ok HTTP/1.1\r\n\r\n", 405, b"Only GET and HEAD."),
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404, b"there are /ok, /red, /broken."),
        (b"GET /../ok HTTP/1.1\r\n\r\n", 404, b""),
        (b"GET /ok HTTP/2.0\r\n\r\n", 505, b""),
        (b"GET /ok\r\n\r\n", 400, b"This is no HTTP request."),
        (b"GET  /ok HTTP/1.1\r\n\r\n", 400, b""),
        (b"GET /ok HTTP/1.1\r\nno header\r\n\r\n", 400, b""),
        (b"GET /ok HTTP/1.1\r\nA: \x00\r\n\r\n", 400, b""),
        (b"\x16\x03\x01\x02\x00<end>", 400, b""),
        (b"GET /ok HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n", 431, b""),
        (b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\n\r\n", 400, b""),
    ],
)
def test_other_requests_get_a_status(raw: bytes, status: int, words: bytes) -> None:
    async def scenario(send: Any) -> None:
        answer = await send(raw)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
        assert words in answer

    with_server(scenario)


def test_a_page_that_fails_says_nothing_of_why(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(send: Any) -> None:
        answer = await send(b"GET /broken HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in answer
        assert (await send(b"GET /ok HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

    with_server(scenario)
    assert "the page /broken failed" in caplog.text


def test_a_request_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", 0.05)

    async def scenario(send: Any) -> None:
        answer = await send(b"GET /ok HTTP/1.1\r\n")
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")

    with_server(scenario)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_CONNECTIONS", 2)

    async def scenario() -> None:
        server = HttpServer("127.0.0.1:0", PAGES)
        await server.open()
        host, _, port = server.address.rpartition(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /ok HTTP/1.1\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        for _, one in idle:
            one.close()
        writer.close()
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /ok HTTP/1.1\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 "), "the others have gone"
        writer.close()
        await server.close()

    asyncio.run(scenario())


def test_an_address_in_use_is_said_in_a_sentence() -> None:
    async def scenario() -> None:
        first = HttpServer("127.0.0.1:0", PAGES)
        await first.open()
        with pytest.raises(ServiceError) as caught:
            await HttpServer(first.address, PAGES).open()
        assert str(caught.value).startswith(f"Nothing can listen at http_address {first.address}: ")
        assert str(caught.value).endswith(".")
        await first.close()

    asyncio.run(scenario())


def test_more_than_this_machine_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        server = HttpServer("0.0.0.0:0", PAGES)
        await server.open()
        await server.close()

    asyncio.run(scenario())
    assert "whoever reaches 0.0.0.0:" in caplog.text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:9464", ("::1", 9464)),
        ("localhost:9464", ("localhost", 9464)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert listen_address(text) == address


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "a:b", "1:70000", "http://x:1", "a b:1", "::1:9464"])
def test_wrong_addresses_are_refused(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        listen_address(text)
    assert str(caught.value).startswith("Setting http_address must be a port or host:port such as")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_get_an_answer_of_ours(raw: bytes, ended: bool) -> None:
    """Whatever comes, what goes back begins with a status line and repeats nothing."""
    marker = b"\x07marker\x07"

    async def scenario(send: Any) -> None:
        sent = raw + marker + (b"\r\n\r\n" if ended else b"<end>")
        answer = await send(sent)
        assert answer.startswith(b"HTTP/1.1 ")
        assert marker not in answer

    with_server(scenario)
