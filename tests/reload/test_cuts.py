"""The state in parts while old versions drain: whoever goes on from it says what was said without a crash."""

from __future__ import annotations

import gc
import weakref
from random import Random

import pytest
from sets import AHEAD, EVENTS, Message, Running, prepared, rules, stream

from engine.alerts import Alert
from engine.baselines.declared import OtherState
from engine.events import POSITION_SHIFT
from engine.reload.in_force import InForce
from engine.reload.leftovers import Leftovers
from engine.state import parts

LEARNS = """
BASELINE usual = x OF a BY device, host EVERY 1s USING robust WARMUP 3 PEER host
BASELINE known = x OF a BY host USING prevalence
RULE odd { BY device, host  WHEN a [deviation(usual) > 2] THEN b WITHIN 60s }
RULE seldom { BY device, host  WHEN a [prevalence(known) < 0.9 OR NOT ready(known)] THEN b WITHIN 60s }
"""
LATER = "RULE later {{ BY device, host  WHEN c THEN a [deviation(usual) > {}] WITHIN 60s }}"
VERSIONS = [
    rules(),
    rules(limit=2),
    rules(limit=2, window="50s", more=LEARNS + LATER.format(1)),
    rules(limit=4, severity="high", more=LEARNS + LATER.format(1.5)),
    EVENTS + "RULE steady { BY device, host  WHEN c THEN b WITHIN 90s }",
]


class Stored:
    """What checkpoints keep, and where the last whole one stands."""

    def __init__(self) -> None:
        self.record = self.shared = b""
        self.parts: dict[str, bytes] = {}
        self.sequence = 0

    def put(self, record: bytes, cut: parts.Cut, packed: dict[str, bytes | None], sequence: int) -> None:
        self.record, self.shared, self.sequence = record, cut.shared, sequence
        for key, part in packed.items():
            if part is None:
                self.parts.pop(key, None)
            else:
                self.parts[key] = part

    def restored(self) -> InForce:
        return InForce.restore_parts(self.record, self.shared, sorted(self.parts.items()))


def tell(force: InForce, message: Message) -> list[Alert]:
    found = force.matcher.advance(message.stored_ms)
    found += force.matcher.feed_json(message.raw, message.sequence << POSITION_SHIFT)
    found += force.drained(message.raw, None, message.sequence, message.stored_ms, message.stored_ms + AHEAD)
    force.leftovers.free(3, force.matcher.changes)
    return found


def said(alerts: list[Alert]) -> list[tuple[object, ...]]:
    return sorted((one.id, one.revision, one.activity, one.rule.hash, one.title) for one in alerts)


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_at_any_message_changes_nothing(seed: int) -> None:
    random = Random(seed)
    messages = stream(random, 260, devices=5)
    order = random.sample(range(1, len(VERSIONS)), len(VERSIONS) - 1)
    swaps = dict(zip(sorted(random.sample(range(10, 220), len(order))), order, strict=True))
    made = prepared(VERSIONS[0])
    force = InForce(made.bundle, made.ruleset, made.matcher)
    stored = Stored()
    of_message: dict[int, list[Alert]] = {}
    crashes: list[tuple[int, InForce]] = []
    drained = 0
    cut: tuple[bytes, parts.Cut, dict[str, bytes | None], int] | None = None
    for at, message in enumerate(messages):
        if cut is None and not random.randrange(4):
            cut = *force.cut(), {}, at
        of_message[at] = tell(force, message)
        drained += bool(force.drains)
        if cut is not None:
            some = cut[1].pack(2)
            cut[2].update(some)
            if not some:
                stored.put(*cut)
                crashes.append((stored.sequence, stored.restored()))
                cut = None
        if at in swaps:
            # A change waits until the cut is stored, and is stored at once.
            while cut is not None:
                some = cut[1].pack(5)
                cut[2].update(some)
                if not some:
                    stored.put(*cut)
                    cut = None
            force.swap(prepared(VERSIONS[swaps[at]]), message.sequence, message.stored_ms)
            record, made_cut = force.cut()
            packed: dict[str, bytes | None] = {}
            while some := made_cut.pack(7):
                packed.update(some)
            stored.put(record, made_cut, packed, at + 1)
            crashes.append((at + 1, stored.restored()))
    assert drained > 10
    for since, again in crashes:
        until = min((at for at in swaps if at >= since), default=len(messages) - 1)
        now = [alert for at in range(since, until + 1) for alert in tell(again, messages[at])]
        assert said(now) == said([alert for at in range(since, until + 1) for alert in of_message[at]]), since


def test_what_an_old_version_alone_takes_is_stored() -> None:
    rule = "RULE r {{ BY device, host  WHEN a AS s THEN {} WITHIN 60s }}"
    running = Running(EVENTS + rule.format("b"))
    events = [("a", 1), ("a", 2), ("b", 3), ("b", 4)]
    messages = [
        Message(n, n * 1000, {"kind": kind, "device": "d", "host": "h", "time": n * 1000, "id": f"e{n}"})
        for kind, n in events
    ]
    for message in messages[:2]:
        running.take(message)
    running.swap(EVENTS + rule.format("c"))
    stored = Stored()

    def checkpoint() -> dict[str, bytes | None]:
        record, cut = running.force.cut()
        packed: dict[str, bytes | None] = {}
        while some := cut.pack(10):
            packed.update(some)
        stored.put(record, cut, packed, 0)
        return packed

    checkpoint()
    assert checkpoint() == {}
    # It fits nothing of the version in force.
    assert len(running.take(messages[2])) == 1
    assert set(checkpoint()) == {"d"}
    again = stored.restored()
    assert said(tell(again, messages[3])) == said(running.take(messages[3]))
    assert said(tell(stored.restored(), messages[2])) == []


def test_what_was_known_to_an_old_version_alone_is_removed_when_it_is_over() -> None:
    running = Running(rules())
    messages = stream(Random(3), 30, devices=4, late=False)
    for message in messages:
        running.take(message)
    stored = Stored()
    running.force.swap(
        prepared(EVENTS + "RULE steady { WHEN c THEN b WITHIN 1s }"), 30, messages[-1].stored_ms
    )

    def checkpoint() -> None:
        record, cut = running.force.cut()
        packed: dict[str, bytes | None] = {}
        while some := cut.pack(10):
            packed.update(some)
        stored.put(record, cut, packed, 0)

    checkpoint()
    before = dict(stored.parts)
    assert running.force.drains
    running.force.end_drains()
    changes = running.force.matcher.changes
    while running.force.leftovers:
        running.force.leftovers.free(1, changes)
    checkpoint()
    assert before
    assert sum(map(len, stored.parts.values())) < sum(map(len, before.values()))
    assert not any(part[0] == 0x92 for part in stored.parts.values())


def test_a_cut_that_is_open_keeps_what_is_over() -> None:
    running = Running(rules())
    for message in stream(Random(3), 30, devices=4, late=False):
        running.take(message)
    running.swap(rules(limit=2))
    force = running.force
    # The set before; the old version goes on.
    while force.leftovers:
        force.leftovers.free(100, force.matcher.changes)
    _, cut = force.cut()
    devices = len(force.drains[0].matcher.logs.logs)
    old = force.drains[0].matcher
    force.end_drains()
    force.leftovers.free(1_000, force.matcher.changes)
    assert len(old.logs.logs) == devices > 0
    while cut.pack(1):
        pass
    while force.leftovers:
        force.leftovers.free(1_000, force.matcher.changes)
    assert not vars(old)


def test_what_is_over_is_let_go_of_without_the_collector_of_cycles() -> None:
    made = prepared(rules(more=LEARNS))
    force = InForce(made.bundle, made.ruleset, made.matcher)
    messages = stream(Random(1), 60)
    for message in messages:
        tell(force, message)
    del made
    old = weakref.ref(force.matcher)
    log = weakref.ref(force.matcher.logs)
    gc.collect()
    gc.disable()
    try:
        force.swap(prepared(rules(severity="high", more=LEARNS)), 60, messages[-1].stored_ms)
        while force.leftovers:
            force.leftovers.free(1, force.matcher.changes)
        assert old() is None
        assert log() is None
    finally:
        gc.enable()


def test_nothing_is_left_of_nothing() -> None:
    leftovers = Leftovers()
    assert not leftovers
    made = prepared(rules())
    leftovers.free(5, made.matcher.changes)
    assert not leftovers


def test_a_part_that_is_damaged_is_refused() -> None:
    running = Running(rules())
    record, cut = running.force.cut()
    for part in (b"", b"\x92", b"\x92\x01\x02", b"\x94nonsense"):
        with pytest.raises(OtherState, match="damaged"):
            InForce.restore_parts(record, cut.shared, [("d", part)])
