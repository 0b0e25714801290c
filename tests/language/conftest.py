"""The option of the golden tests: ``pytest tests/language --update`` rewrites what they expect.

Also lets the tests here import the strategies that lie beside them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update", action="store_true", help="rewrite tests/language/cases/*.case to what is said now"
    )
