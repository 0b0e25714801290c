"""A run with secrets in every place where one can be: nothing that comes out holds one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from broker import Broker, connect

from engine.service.connection import Connection
from engine.service.serve import run_loop
from engine.service.settings import Settings

ROOT = Path(__file__).parents[2]
RULES = "EVENT a { }\nEVENT b { }\nRULE r { WHEN a THEN b WITHIN 1m SEVERITY low }\n"
SECRET = "Hidden-4711"
PATIENCE_SECONDS = 40


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Way:
    """One way to log in: the server's configuration, what the command is given, and all secrets in it."""

    def __init__(self, configuration: str, secrets: list[str]) -> None:
        self.configuration = configuration
        self.secrets = secrets
        self.environment: dict[str, str] = {}
        self.url = "nats://ADDRESS"
        self.context: dict[str, str] | None = None
        self.operator: dict[str, Any] = {}


def ways(name: str, directory: Path) -> Way:
    password = f'authorization {{ users = [ {{ user: "me", password: "{SECRET}" }} ] }}'
    token = f'authorization {{ token: "{SECRET}" }}'
    if name == "password":
        way = Way(password, [SECRET])
        way.environment = {"NATS_USER": "me", "NATS_PASSWORD": SECRET}
        way.operator = {"user": "me", "password": SECRET}
    elif name == "address":
        way = Way(password, [SECRET])
        way.url = f"nats://me:{SECRET}@ADDRESS"
        way.operator = {"user": "me", "password": SECRET}
    elif name == "token in a context":
        way = Way(token, [SECRET])
        way.context = {"url": "nats://ADDRESS", "token": SECRET}
        way.operator = {"token": SECRET}
    else:
        pytest.importorskip("nkeys", reason="needs the extra nkeys")
        from tokens import Operator, credentials

        operator = Operator()
        _, jwt, seed = operator.user()
        path = directory / "user.creds"
        path.write_text(credentials(jwt, seed))
        way = Way(operator.configuration(), [jwt, seed])
        way.environment = {"NATS_CREDS": str(path)}
        way.operator = {"user_credentials": str(path)}
    return way


@contextlib.contextmanager
def served(way: Way, broker: Broker, directory: Path, http: int) -> Iterator[subprocess.Popen[bytes]]:
    rules = directory / "r.rule"
    rules.write_text(RULES)
    arguments = ["--rules", str(rules), "--http", str(http), "--endpoints", "--log-level", "debug"]
    arguments += ["--state", str(directory / "state.db")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NATS_")}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(directory), **way.environment}
    if way.context is not None:
        path = directory / ".config" / "nats" / "context" / "here.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(way.context).replace("ADDRESS", broker.address))
        environment.pop("XDG_CONFIG_HOME", None)
        arguments += ["--context", "here"]
    else:
        environment["NATS_URL"] = way.url.replace("ADDRESS", broker.address)
    child = subprocess.Popen(
        [sys.executable, "-m", "engine.cli", "run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=directory,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


async def ask(broker: Broker, way: Way, http: int, child: subprocess.Popen[bytes]) -> str:
    """Everything that can be asked of a running service."""
    found: list[str] = []

    def scrape(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{http}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    async with asyncio.timeout(PATIENCE_SECONDS):
        while child.poll() is None:
            with contextlib.suppress(OSError):
                found.append(await asyncio.to_thread(scrape, "/readyz"))
                break
            await asyncio.sleep(0.05)
        assert child.poll() is None, child.stdout and child.stdout.read()
        found += [await asyncio.to_thread(scrape, path) for path in ("/healthz", "/metrics")]
        client = await nats.connect(broker.url, **way.operator)
        try:
            await client.jetstream().publish("events.x", b"{bad")
            for subject in ("$SRV.INFO.thenwire", "$SRV.STATS.thenwire", "thenwire.api.thenwire.status"):
                found.append((await client.request(subject, b"{}", timeout=5)).data.decode())
        finally:
            await client.close()
    assert "thenwire" in found[-1]
    return "\n".join(found)


@pytest.mark.parametrize("name", ["password", "address", "token in a context", "credentials"])
def test_nothing_that_comes_out_of_a_run_holds_a_secret(
    tmp_path: Path, server_binary: Path, name: str
) -> None:
    way = ways(name, tmp_path)
    http = free_port()
    with (
        Broker(server_binary, tmp_path / "nats", way.configuration) as broker,
        served(way, broker, tmp_path, http) as child,
    ):
        answers = run_loop(ask(broker, way, http, child))
        broker.restart()
        child.send_signal(signal.SIGTERM)
        assert child.stdout is not None
        said = child.stdout.read().decode()
    assert child.returncode == 0, said
    assert "running 1 rule" in said
    for secret in way.secrets:
        assert secret not in answers
        assert secret not in said
    # What the service keeps is not for a login either.
    for kept in tmp_path.glob("state.db*"):
        assert not [secret for secret in way.secrets if secret.encode() in kept.read_bytes()]


def test_no_error_and_no_representation_holds_a_secret(
    tmp_path: Path, server_binary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    refusing = 'authorization { users = [ { user: "me", password: "other" } ] }'
    bad = tmp_path / "bad.creds"
    bad.write_text(f"-----BEGIN NATS USER JWT-----\n{SECRET}\n-----BEGIN USER NKEY SEED-----\n{SECRET}\n")
    seed = tmp_path / "bad.nk"
    seed.write_text(SECRET)
    with Broker(server_binary, tmp_path / "nats", refusing) as broker:
        attempts: list[dict[str, Any]] = [
            {"servers": broker.url, "user": "me", "password": SECRET},
            {"servers": f"nats://me:{SECRET}@{broker.address}"},
            {"servers": f"nats://{SECRET}@{broker.address}"},
            {"servers": broker.url, "token": SECRET},
            {"servers": broker.url, "credentials_file": str(bad)},
            {"servers": broker.url, "nkey_file": str(seed)},
            {"servers": f"tls://me:{SECRET}@{broker.address}"},
            {"servers": f"nats://me:{SECRET}@127.0.0.1:9", "connect_timeout": 0.3},
            {"servers": f"nats://me:{SECRET}@ho st"},
            {"user": "me", "password": SECRET, "token": SECRET},
            {"token": [SECRET]},
            {"user": "me", "password": {SECRET: SECRET}},
        ]
        said += [connect(mapping) for mapping in attempts]
    assert "connected" not in said
    settings = Settings(servers=(f"nats://me:{SECRET}@h",), user="me", password=SECRET)

    async def represented() -> list[str]:
        connection = Connection(settings)
        return [repr(connection), repr(vars(connection)), repr(connection.client), str(connection.failed)]

    said += [repr(settings), str(settings), f"{settings!s}", repr({"settings": settings})]
    said += run_loop(represented())
    everything = "\n".join([*said, caplog.text])
    # In no form: whole, in base64 or in JSON.
    assert not re.search(r"hidden.?4711|SGlkZGVuLTQ3MTE", everything, re.IGNORECASE), everything


def test_the_settings_do_not_go_over_a_wire_by_accident() -> None:
    """The struct can be encoded, so whoever does that must mask: nothing in the package does."""
    encoded = msgspec.json.encode(Settings(token=SECRET))
    assert SECRET.encode() in encoded
    sources = [path.read_text("utf-8") for path in (ROOT / "engine").rglob("*.py")]
    assert not [
        text for text in sources if re.search(r"encode\((self\._)?settings\)|to_builtins\(settings", text)
    ]
