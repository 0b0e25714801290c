"""A real server with an alert stream, for each test a fresh one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.service.embedded import find_server
from engine.service.errors import SettingsError

HERE = Path(__file__).parent
# The server of tests/security is used here, too.
sys.path[:0] = [str(HERE), str(HERE.parent / "security")]


@pytest.fixture(scope="session")
def server_binary() -> Path:
    try:
        return find_server(None, os.environ)
    except SettingsError as error:
        pytest.skip(f"needs a real server: {error}")


@pytest.fixture
def broker(tmp_path: Path, server_binary: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    from broker import Broker

    for name in [name for name in os.environ if name.startswith("NATS_")]:
        monkeypatch.delenv(name)
    with Broker(server_binary, tmp_path / "nats") as broker:
        monkeypatch.setenv("NATS_URL", broker.url)
        yield broker
