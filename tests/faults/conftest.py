"""Lets the tests here import what lies beside them, and finds the server."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from engine.service.embedded import find_server
from engine.service.errors import SettingsError


@pytest.fixture(scope="session")
def binary() -> Path:
    """The nats-server program."""
    try:
        return find_server(None, os.environ)
    except SettingsError as error:
        pytest.skip(f"needs a real server: {error}")
