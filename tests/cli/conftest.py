"""``pytest tests/cli --update`` rewrites the golden texts; tests/language has the same option."""

import contextlib

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    with contextlib.suppress(ValueError):  # tests/language was loaded first
        parser.addoption("--update", action="store_true", help="rewrite the golden texts to what is said now")
