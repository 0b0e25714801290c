"""The reference page and the tables in the code say the same."""

import re
from pathlib import Path

import pytest

from engine.sources import REASONS, SOURCES, app_privacy, exit_class, ips, powerlog, zeek

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "sources.md"
WORDS = set(re.findall(r"[\w.]+", " ".join(re.findall(r"`([^`]+)`", PAGE.read_text()))))


@pytest.mark.parametrize(
    "table",
    [
        zeek.MAPPING,
        app_privacy.ACCESS_MAPPING,
        app_privacy.NETWORK_MAPPING,
        ips.MAPPING,
        powerlog.USAGE_MAPPING,
        powerlog.STATE_MAPPING,
    ],
)
def test_every_mapped_field_is_on_the_page(table: dict[str, str]) -> None:
    names = {name for entry in table.items() for text in entry for name in re.findall(r"[\w.]+", text)}
    prose = {"all", "of", "the", "above", "with", "a", "dot", "CrashReporter", "Key", "Date", "Time", "type"}
    assert names - prose - WORDS - {"accessor.identifier"} == set()


def test_every_source_reason_and_class_is_on_the_page() -> None:
    assert set(SOURCES) <= WORDS
    assert exit_class.CLASSES <= WORDS
    listed = re.findall(
        r"^\| `(\w+)` \| ", PAGE.read_text().split("### Reasons")[1].split("## `ndjson`")[0], re.M
    )
    assert set(listed) == REASONS


def test_every_kill_code_is_on_the_page() -> None:
    ranges = {0x2182BAD3, 0xC51BAD02}
    assert {hex(code) for code in exit_class.KILL_CODES.keys() - ranges} <= WORDS
