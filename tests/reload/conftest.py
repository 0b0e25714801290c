"""So that the tests can import what they share; and a real server."""

import os
import sys
from pathlib import Path

import pytest

from engine.service.embedded import find_server
from engine.service.errors import ServiceError, SettingsError

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def binary() -> Path:
    try:
        return find_server(None, os.environ)
    except (SettingsError, ServiceError) as error:
        pytest.skip(f"needs a real server: {error}")
