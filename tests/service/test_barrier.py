"""The order of a checkpoint, step by step: cut, pack in slices, wait for what was caused, store."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.service.changes import at_once
from engine.service.checkpoints import barrier as module
from engine.service.checkpoints.barrier import Barrier
from engine.service.checkpoints.model import Checkpoint, Mark, Stateful, StoreUnavailableError
from engine.service.errors import ServiceError

MARK: dict[str, Any] = {
    "generation": 1,
    "stream": "EVENTS",
    "stream_created": "today",
    "sequence": 1,
    "received_ms": 1,
    "written_ms": 1,
    "rules": "r",
}


class FakeCut:
    shared = b"shared"

    def __init__(self, rows: list[tuple[str, bytes | None]], log: list[str], clock: "Clock") -> None:
        self._rows = rows
        self._log = log
        self._clock = clock

    def pack(self, most: int) -> list[tuple[str, bytes | None]]:
        part, self._rows = self._rows[:most], self._rows[most:]
        self._log.append(f"pack {len(part)}")
        for _ in part:
            self._clock.packed += 1
            self._clock.now += self._clock.dear.get(self._clock.packed, self._clock.a_part)
        return part


class Clock:
    """``a_part``: seconds that packing one takes; ``dear``: other ones, by its number."""

    def __init__(self) -> None:
        self.now = 0.0
        self.a_part = 0.001
        self.dear: dict[int, float] = {}
        self.packed = 0

    def perf_counter(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Everything:
    """Stands in for processor, publisher and store, and writes down in which order they are used."""

    rule_names = ("r",)
    name = "the file x"
    last_number = 5

    def __init__(self, devices: int) -> None:
        self.log: list[str] = []
        self.clock = Clock()
        self.rows: list[tuple[str, bytes | None]] = [(f"d{n}", b"x") for n in range(devices)]
        self.stored: list[Checkpoint] = []
        self.fails: list[Exception] = []

    def state_digest(self) -> str:
        return "digest"

    def list_digests(self) -> dict[str, str]:
        return {}

    def notes(self) -> dict[str, str]:
        return {"rules.since": "7"}

    def cut(self) -> FakeCut:
        self.log.append("cut")
        return FakeCut(list(self.rows), self.log, self.clock)

    def restore(self, shared: bytes, devices: Any) -> None:
        raise AssertionError

    def renew_lists(self) -> list[str]:
        raise AssertionError

    async def settled(self, number: int) -> None:
        self.log.append(f"settled {number}")

    async def commit(self, checkpoint: Checkpoint) -> None:
        self.log.append("commit")
        if self.fails:
            raise self.fails.pop(0)
        # The barrier takes the devices out again when it is done.
        self.stored.append(Checkpoint(checkpoint.mark, checkpoint.shared, dict(checkpoint.devices)))


def _barrier(all_of_it: Everything, monkeypatch: pytest.MonkeyPatch) -> Barrier:
    monkeypatch.setattr(module, "time", all_of_it.clock)
    monkeypatch.setattr(module, "_RETRY_SECONDS", (0.0,))
    assert isinstance(all_of_it, Stateful)
    made: Any = all_of_it
    found = Barrier(made, made, made, stream="EVENTS")
    found.begin(None, "today")
    return found


def test_nothing_is_stored_before_what_was_caused_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Everything(3)
    barrier = _barrier(fake, monkeypatch)
    asyncio.run(barrier.store(9, 1234))
    assert fake.log == ["cut", "pack 3", "pack 0", "settled 5", "commit"]
    (stored,) = fake.stored
    assert (stored.mark.generation, stored.mark.sequence, stored.mark.received_ms) == (1, 9, 1234)
    assert (stored.mark.rules, stored.mark.notes) == ("digest", {"rules.since": "7"})
    assert (stored.shared, stored.devices) == (b"shared", dict(fake.rows))
    assert barrier.stored == 9


def test_what_is_caused_after_the_cut_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Everything(3)
    barrier = _barrier(fake, monkeypatch)

    async def scenario() -> None:
        storing = asyncio.ensure_future(barrier.store(9, 0))
        await asyncio.sleep(0)
        fake.last_number = 99
        await storing

    asyncio.run(scenario())
    assert "settled 5" in fake.log


def _store_beside_others(fake: Everything, barrier: Barrier) -> None:
    """Store while somebody else takes every turn that there is, and has it written down."""

    async def other() -> None:
        while True:
            fake.log.append("other")
            await asyncio.sleep(0)

    async def scenario() -> None:
        beside = asyncio.ensure_future(other())
        await barrier.store(1, 0)
        beside.cancel()

    asyncio.run(scenario())


def _slices(fake: Everything, barrier: Barrier) -> list[int]:
    """How many parts were packed between two turns of others."""
    _store_beside_others(fake, barrier)
    packs = " ".join(fake.log[: fake.log.index("settled 5")]).split("other")
    found = [sum(map(int, one.replace("cut", "").replace("pack", "").split())) for one in packs]
    return [count for count in found if count]


@pytest.mark.parametrize(("milliseconds", "parts"), [(1.0, 8), (0.2, 16), (0.05, 64), (0.0, 1000)])
def test_a_slice_ends_when_it_has_worked_long_enough(
    monkeypatch: pytest.MonkeyPatch, milliseconds: float, parts: int
) -> None:
    fake = Everything(1000)
    fake.clock.a_part = milliseconds / 1000
    slices = _slices(fake, _barrier(fake, monkeypatch))
    # The last one has what is left.
    assert slices[0] == parts
    assert set(slices[:-1]) <= {parts}


def test_a_dear_part_among_cheap_ones_makes_its_own_slice_long_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Everything(400)
    fake.clock.dear = {200: 0.05}
    fake.clock.a_part = 0.0001
    slices = _slices(fake, _barrier(fake, monkeypatch))
    assert sum(slices) == 400
    assert set(slices) <= {32, 8, 16, 24}


def test_others_get_their_turn_between_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Everything(40)
    _store_beside_others(fake, _barrier(fake, monkeypatch))
    assert not any(
        first.startswith("pack") and second.startswith("pack")
        for first, second in zip(fake.log, fake.log[1:], strict=False)
    )


def test_a_store_that_fails_gets_the_same_checkpoint_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake = Everything(1)
    fake.fails = [StoreUnavailableError("the disk is full"), StoreUnavailableError("the disk is full")]
    barrier = _barrier(fake, monkeypatch)
    asyncio.run(barrier.store(4, 0))
    assert fake.log.count("cut") == 1
    assert (barrier.failures, barrier.committed, barrier.problem) == (2, 1, None)
    # Loud, but not for each attempt.
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "The state cannot be stored in the file x: the disk is full. Nothing is acknowledged until it can "
        "be; trying again."
    ]
    asyncio.run(barrier.store(5, 0))
    assert [one.mark.generation for one in fake.stored] == [1, 2]


@pytest.mark.parametrize("method", ["cut", "pack"])
def test_a_state_that_cannot_be_taken_ends_the_service_and_stores_nothing(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("a bug")

    fake = Everything(1)
    barrier = _barrier(fake, monkeypatch)
    monkeypatch.setattr(fake if method == "cut" else FakeCut, method, fails)
    word = "taken" if method == "cut" else "packed"
    with pytest.raises(ServiceError, match=rf"The state cannot be {word}: KeyError: 'a bug'\."):
        asyncio.run(barrier.store(1, 0))
    assert fake.stored == []


def test_a_processor_that_begins_with_nothing_is_told_that_there_will_be_cuts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NotesToo(Everything):
        def note_changes(self) -> None:
            self.log.append("note")

    fake = NotesToo(1)
    barrier = _barrier(fake, monkeypatch)
    assert fake.log == ["note"]
    barrier.begin(Mark(**MARK), "today")
    assert fake.log == ["note"]


def test_a_busy_machine_makes_slices_no_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Everything(400)
    fake.clock.a_part = 0.001
    barrier = _barrier(fake, monkeypatch)
    # By the clock all takes ten times as long as the thread works.
    monkeypatch.setattr(fake.clock, "thread_time", lambda: fake.clock.now / 10)
    assert set(_slices(fake, barrier)[:-1]) == {32}


def test_a_change_without_a_record_is_made_at_once() -> None:
    double: Callable[[int], int] = lambda sequence: sequence + 1  # noqa: E731  # what a caller gives
    assert asyncio.run(at_once(double)) == 1
