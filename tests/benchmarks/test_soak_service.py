"""What a soak of the service calls wrong."""

from __future__ import annotations

import pytest

from benchmarks.soak_service import Sample, _result

MEGABYTE = 1_000_000


def judged(megabytes_a_minute: float, last_lag: int = 0, cut_ms: float = 1.0) -> list[str]:
    """A run of half an hour at 100 events a second, which began with 900 MB."""
    samples = [
        Sample(float(at), int((900 + megabytes_a_minute * at / 60) * MEGABYTE), last_lag, 1.0, 1.0)
        for at in range(1_800)
    ]
    holds = [["cut", str(cut_ms / 1000), "0.001"], ["slice", "0.003", "0.003"]]
    return _result(1_000, 30.0, 200.0, 180_000, samples, holds, 5).wrong


def test_a_flat_memory_is_right() -> None:
    assert judged(0.0) == []


@pytest.mark.parametrize(
    ("rate", "found"), [(2.0, []), (10.0, ["the memory grew by 150 MB in the second half"])]
)
def test_a_memory_that_grows_is_said(rate: float, found: list[str]) -> None:
    assert judged(rate) == found


def test_a_service_that_falls_behind_is_said() -> None:
    assert judged(0.0, last_lag=41) == ["it was 2,050 events behind at the end"]


def test_a_cut_that_holds_the_loop_is_said() -> None:
    assert judged(0.0, cut_ms=21.0) == [
        "the cuts of checkpoints hold the loop 21.0 ms at p99; 20 is the most"
    ]
