"""Restarts without a process: the campaign's stream through checkpoints in parts, as the service makes."""

from random import Random

import pytest
from reference_run import Published, published
from workload import RULES, Message, Workload

import dsl
from engine.service.matching import MatchingProcessor
from engine.state import parts

BASE_MS = 1_790_000_000_000
Stored = tuple[int, int, Message]


@pytest.fixture(scope="module")
def rules() -> dsl.RuleSet:
    return dsl.load_text(RULES.read_text())


def _stream(seed: int, seconds: int = 14) -> list[Stored]:
    """Sequence, time and message. Now and then the server stands still, and then everything comes at once."""
    random, workload = Random(seed), Workload(seed, devices=150, stories=60)
    found: list[Stored] = []
    elapsed = 0
    while elapsed < seconds * 1000:
        for message in workload.due(elapsed, BASE_MS):
            found.append((len(found) + 1, BASE_MS + elapsed, message))
        elapsed += 20
        if random.random() < 0.002:
            elapsed += random.choice([2_000, 10_000])
    return found


def _process(processor: MatchingProcessor, stored: Stored) -> list[Published]:
    sequence, at, message = stored
    out = processor.process(message.payload, message.content_type, sequence, "EVENTS", message.subject, at)
    return [published(one) for one in out]


class Checkpoints:
    """What a state store holds: the shared part and the devices, changed by each checkpoint."""

    def __init__(self) -> None:
        self.sequence = 0
        self.shared: bytes | None = None
        self.devices: dict[str, bytes] = {}

    def store(self, cut: parts.Cut, sequence: int, changed: dict[str, bytes | None]) -> None:
        self.sequence, self.shared = sequence, cut.shared
        for device, state in changed.items():
            if state is None:
                self.devices.pop(device, None)
            else:
                self.devices[device] = state

    def resume(self, rules: dsl.RuleSet) -> MatchingProcessor:
        processor = MatchingProcessor(rules)
        if self.shared is not None:
            parts.restore(processor.matcher, self.shared, list(self.devices.items()))
        return processor


@pytest.mark.parametrize("seed", range(3))
def test_after_any_number_of_crashes_the_same_is_published(rules: dsl.RuleSet, seed: int) -> None:
    stream = _stream(seed)
    plain = MatchingProcessor(rules)
    right = [_process(plain, stored) for stored in stream]
    random = Random(seed + 1)
    checkpoints, processor = Checkpoints(), MatchingProcessor(rules)
    cut: tuple[parts.Cut, int, dict[str, bytes | None]] | None = None
    crashes = place = 0
    while place < len(stream):
        assert _process(processor, stream[place]) == right[place], (
            f"message {place + 1} after {crashes} crashes"
        )
        place += 1
        if cut is None and random.random() < 0.05:
            cut = parts.cut(processor.matcher), place, {}
        elif cut is not None:
            # A slice between two messages, while the state moves on.
            rows = cut[0].pack(random.randrange(1, 40))
            cut[2].update(rows)
            if not rows:
                checkpoints.store(*cut)
                cut = None
        if random.random() < 0.01:
            crashes += 1
            processor, place, cut = checkpoints.resume(rules), checkpoints.sequence, None
    assert crashes > 3
    assert sum(map(len, right)) > 100


@pytest.mark.parametrize("seed", range(2))
def test_a_part_is_the_state_at_the_moment_of_the_cut(rules: dsl.RuleSet, seed: int) -> None:
    """Packed at once or while events come in: the same bytes. One that shows the state of later would lose,
    after a crash, what is between the two.
    """
    stream = _stream(seed)
    at_once, later = MatchingProcessor(rules), MatchingProcessor(rules)
    cut: parts.Cut | None = None
    right: dict[str, bytes | None] = {}
    compared = 0
    for place, stored in enumerate(stream):
        if cut is None and place % 25 == 0:
            cut = parts.cut(later.matcher)
            right = _packed(parts.cut(at_once.matcher))
        elif cut is not None and place % 25 == 10:
            found = _packed(cut)
            assert sorted(found) == sorted(right)
            for device, state in right.items():
                assert found[device] == state, (
                    f"{device}, packed ten messages after the cut before message {place - 9}"
                )
            compared += len(right)
            cut = None
        _process(at_once, stored)
        _process(later, stored)
    assert compared > 200


def _packed(cut: parts.Cut) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    while rows := cut.pack(50):
        found.update(rows)
    return found
