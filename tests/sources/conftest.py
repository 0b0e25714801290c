"""What the tests of the sources share. Lets them import samples.py, which lies beside them."""

import sys
from collections.abc import Callable
from datetime import tzinfo
from io import BytesIO
from pathlib import Path

import pytest

from engine.sources import Record, Refusal, read

sys.path.insert(0, str(Path(__file__).parent))

Reading = tuple[list[Record], list[Refusal]]

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def read_bytes() -> Callable[..., Reading]:
    """Reads bytes as a file and sorts the answers into records and refusals."""

    def reading(
        data: bytes,
        name: str = "file",
        source: str | None = None,
        device: str | None = None,
        zone: tzinfo | None = None,
    ) -> Reading:
        answers = list(read(BytesIO(data), name, source, device, zone))
        return (
            [answer for answer in answers if isinstance(answer, Record)],
            [answer for answer in answers if isinstance(answer, Refusal)],
        )

    return reading


@pytest.fixture
def real_file() -> Callable[[str], Path]:
    """A file of real telemetry that may not be copied into the project; skips the test where it is absent."""

    def path(relative: str) -> Path:
        found = CHECKOUT.parent / "shared" / "data" / relative
        if not found.is_file():
            pytest.skip(f"real input is not part of the project and not here: ../shared/data/{relative}")
        return found

    return path
