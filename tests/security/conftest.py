"""The helper modules beside the tests are imported by their names; the server's program for all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine.service.embedded import find_server
from engine.service.errors import SettingsError

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def server_binary() -> Path:
    try:
        return find_server(None, os.environ)
    except SettingsError as error:
        pytest.skip(f"needs a real server: {error}")


@pytest.fixture(autouse=True)
def no_login_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("NATS_")]:
        monkeypatch.delenv(name)
