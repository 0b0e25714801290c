"""The option of the golden tests: ``pytest tests/language --update`` rewrites what they expect."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update", action="store_true", help="rewrite tests/language/cases/*.case to what is said now"
    )
