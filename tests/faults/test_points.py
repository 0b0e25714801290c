"""Death at every point of a checkpoint."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest
from child import BUCKET_POINTS, IN_TRANSACTION, POINTS
from service_running import running

_PATIENCE_SECONDS = 180.0


def _within(scenario: Awaitable[None]) -> None:
    async def inside() -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await scenario

    asyncio.run(inside())


@pytest.mark.parametrize("points", [(*POINTS, IN_TRANSACTION), tuple(BUCKET_POINTS)], ids=["file", "bucket"])
def test_death_at_every_point_of_a_checkpoint_loses_nothing(
    binary: Path, tmp_path: Path, points: tuple[str, ...]
) -> None:
    state = "kv:STATE" if points == tuple(BUCKET_POINTS) else None

    async def scenario() -> None:
        async with running(binary, tmp_path, state=state) as run:
            await run.more("EVENTS", 100)
            run.service.kill()
            for point in points:
                # There is one tick at the start, others only in a silence.
                run.service.start(broken=f"die:{point}:{1 if point.startswith('tick') else 3}")
                assert await run.service.ended(60) == -9, f"it did not end at {point!r}: {run.service.log()}"
            run.service.start()
            await run.service.ready()
            await run.more("EVENTS", 100)
            found = await run.end()
            assert found.wrong == [], found.alerts.examples + found.letters.examples
            assert found.alerts.expected > 50

    _within(scenario())
