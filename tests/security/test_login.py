"""Every way to log in, against a real server: what connects, and the sentence for what does not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from broker import Broker, connect
from nats.aio.client import Client

from engine.cli import main
from engine.service.connection import Connection
from engine.service.errors import ServiceError
from engine.service.serve import run_loop
from engine.service.settings import Settings

RULES = "EVENT a { }\nEVENT b { }\nRULE r { WHEN a THEN b WITHIN 1m SEVERITY low }\n"
USERS = 'authorization { users = [ { user: "me", password: "secret-1" } ] }'


def test_user_and_password(tmp_path: Path, server_binary: Path) -> None:
    with Broker(server_binary, tmp_path / "nats", USERS) as broker:
        named = {"NATS_URL": broker.url, "NATS_USER": "me"}
        assert connect({}, named | {"NATS_PASSWORD": "secret-1"}) == "connected"
        assert connect({}, named | {"NATS_PASSWORD": "secret-2"}) == (
            "The NATS server refused the login (the user 'me' and a password)."
        )
        assert connect({"servers": f"nats://me:secret-1@{broker.address}"}) == "connected"
        assert connect({"servers": f"nats://me:secret-2@{broker.address}"}) == (
            "The NATS server refused the login (the login of the server address)."
        )
        assert connect({"servers": broker.url}) == "The NATS server refused the login (no login)."


def test_a_refused_login_leaves_no_connection_behind(
    tmp_path: Path, server_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nats-py takes a connection for closed once it begins to close it, and is cancelled then.
    async def slowly(*_: object, **__: object) -> None:
        await asyncio.sleep(0.1)

    monkeypatch.setattr(Client, "_flush_pending", slowly)
    with Broker(server_binary, tmp_path / "nats", USERS) as broker:
        # The loop would not close, with an error in place of the sentence.
        assert connect({"servers": f"nats://me:secret-2@{broker.address}"}) == (
            "The NATS server refused the login (the login of the server address)."
        )


def test_token(tmp_path: Path, server_binary: Path) -> None:
    with Broker(server_binary, tmp_path / "nats", "authorization { token: secret-1 }") as broker:
        assert connect({}, {"NATS_URL": broker.url, "NATS_TOKEN": "secret-1"}) == "connected"
        assert connect({"servers": broker.url, "token": "secret-2"}) == (
            "The NATS server refused the login (a token)."
        )
        assert connect({"servers": f"secret-1@{broker.address}"}) == "connected"


def test_a_refused_login_ends_the_command_with_exit_code_2(
    tmp_path: Path,
    server_binary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rules = tmp_path / "r.rule"
    rules.write_text(RULES)
    with Broker(server_binary, tmp_path / "nats", USERS) as broker:
        monkeypatch.setenv("NATS_USER", "me")
        monkeypatch.setenv("NATS_PASSWORD", "secret-2")
        assert main(["run", "--rules", str(rules), "--servers", broker.url]) == 2
    said = capsys.readouterr().err
    assert "thenwire: The NATS server refused the login (the user 'me' and a password).\n" in said
    assert "secret" not in said


def test_nkey(tmp_path: Path, server_binary: Path) -> None:
    pytest.importorskip("nkeys", reason="needs the extra nkeys")
    import nkeys
    from tokens import Pair

    good, other = Pair(nkeys.PREFIX_BYTE_USER), Pair(nkeys.PREFIX_BYTE_USER)
    good_file, other_file = tmp_path / "good.nk", tmp_path / "other.nk"
    good_file.write_text(good.seed + "\n")
    other_file.write_text(other.seed)
    users = f"authorization {{ users = [ {{ nkey: {good.public} }} ] }}"
    with Broker(server_binary, tmp_path / "nats", users) as broker:
        assert connect({}, {"NATS_URL": broker.url, "NATS_NKEY": str(good_file)}) == "connected"
        assert connect({"servers": broker.url, "nkey_file": str(other_file)}) == (
            f"The NATS server refused the login (the nkey of {str(other_file)!r})."
        )


def test_credentials(tmp_path: Path, server_binary: Path) -> None:
    pytest.importorskip("nkeys", reason="needs the extra nkeys")
    from tokens import Operator, credentials

    operator, stranger = Operator(), Operator()
    path = tmp_path / "user.creds"
    _, jwt, seed = operator.user()
    with Broker(server_binary, tmp_path / "nats", operator.configuration()) as broker:
        path.write_text(credentials(jwt, seed))
        assert connect({}, {"NATS_URL": broker.url, "NATS_CREDS": str(path)}) == "connected"
        refused = f"The NATS server refused the login (the credentials file {str(path)!r})."
        path.write_text(credentials(*stranger.user()[1:]))
        assert connect({"servers": broker.url, "credentials_file": str(path)}) == refused
        path.write_text(credentials(jwt, operator.user()[2]))
        assert connect({"servers": broker.url, "credentials_file": str(path)}) == refused
        path.write_text(credentials(*operator.user(expires=int(time.time()) - 60)[1:]))
        assert connect({"servers": broker.url, "credentials_file": str(path)}) == refused


def test_a_user_who_is_revoked_meanwhile_ends_the_service(tmp_path: Path, server_binary: Path) -> None:
    pytest.importorskip("nkeys", reason="needs the extra nkeys")
    from tokens import Operator, credentials

    operator = Operator()
    public, jwt, seed = operator.user()
    path = tmp_path / "user.creds"
    path.write_text(credentials(jwt, seed))
    with Broker(server_binary, tmp_path / "nats", operator.configuration()) as broker:
        settings = Settings(servers=(broker.url,), credentials_file=str(path))

        def revoke() -> None:
            operator.revoke(public)
            broker.configure(operator.configuration())

        said = run_loop(_until_failed(settings, revoke))
        assert said == "The NATS server has revoked this user."


def test_a_user_who_is_removed_meanwhile_ends_the_service(tmp_path: Path, server_binary: Path) -> None:
    with Broker(server_binary, tmp_path / "nats", USERS) as broker:
        settings = Settings(servers=(broker.url,), user="me", password="secret-1")
        remove = 'authorization { users = [ { user: "somebody", password: "else" } ] }'
        assert run_loop(_until_failed(settings, lambda: broker.configure(remove))) == (
            "The NATS server refused the login (the user 'me' and a password)."
        )


def test_credentials_that_were_renewed_are_used_at_the_next_connection(
    tmp_path: Path, server_binary: Path
) -> None:
    pytest.importorskip("nkeys", reason="needs the extra nkeys")
    from tokens import Operator, credentials

    operator = Operator()
    path = tmp_path / "user.creds"
    first, second = operator.user(), operator.user()
    path.write_text(credentials(*first[1:]))

    async def scenario(broker: Broker) -> None:
        connection = Connection(Settings(servers=(broker.url,), credentials_file=str(path)))
        await connection.open()
        try:
            # Half a file, as it is while somebody writes it: the login read before still works.
            path.write_text(credentials(*second[1:])[:40])
            await _reconnect(connection)
            path.write_text(credentials(*second[1:]))
            operator.revoke(first[0])
            await _reconnect(connection)
        finally:
            await connection.close()

    with Broker(server_binary, tmp_path / "nats", operator.configuration() + "trace: true") as broker:
        run_loop(scenario(broker))
        assert first[1] in broker.log
        assert second[1] in broker.log


async def _reconnect(connection: Connection) -> None:
    before = connection.reconnects
    await connection.client.force_reconnect()
    async with asyncio.timeout(20):
        while connection.reconnects == before and not connection.failed.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    if connection.failed.done():
        connection.failed.result()


async def _until_failed(settings: Settings, act: object) -> str:
    connection = Connection(settings)
    try:
        await connection.open()
        assert callable(act)
        act()
        async with asyncio.timeout(30):
            await asyncio.wait({connection.failed})
        try:
            connection.failed.result()
        except ServiceError as error:
            return str(error)
        return "it goes on"
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no credentials file: it needs a user JWT and a seed."),
        # nats-py itself would look for the JWT in this file without end.
        (b"SUAGIBBERISH", "is no credentials file: it needs a user JWT and a seed."),
        (b"-----BEGIN NATS USER JWT-----", "is no credentials file: it needs a user JWT and a seed."),
        (
            b"-----BEGIN NATS USER JWT-----\nx\n-----BEGIN USER NKEY SEED-----\nsecret-1\n",
            "holds no usable nkey seed.",
        ),
        (b"\x00" * 100, "is no file with a login."),
        (b"x" * 100_000, "is no file with a login."),
        (None, "cannot be read: No such file or directory."),
    ],
)
def test_a_credentials_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    pytest.importorskip("nkeys", reason="needs the extra nkeys")
    path = tmp_path / "user.creds"
    if content is not None:
        path.write_bytes(content)
    assert connect({"credentials_file": str(path)}) == f"The login file {str(path)!r} {sentence}"


def test_an_nkey_file_that_cannot_be_used(tmp_path: Path) -> None:
    pytest.importorskip("nkeys", reason="needs the extra nkeys")
    path = tmp_path / "user.nk"
    for content in ("secret-1", "", "\N{SNOWMAN}"):
        path.write_text(content)
        assert connect({"nkey_file": str(path)}) == f"The login file {str(path)!r} holds no usable nkey seed."
