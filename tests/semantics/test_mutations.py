"""The faults of mutations.py can be planted: each text stands in the engine once."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutations import FAULTS

ENGINE = Path(__file__).resolve().parents[2] / "engine"


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_can_be_planted(name: str) -> None:
    for module, old, new in FAULTS[name]:
        text = (ENGINE / f"{module}.py").read_text("utf-8")
        assert text.count(old) == 1
        assert old != new
