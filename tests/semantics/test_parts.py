"""A state written in parts is the state at the cut, whatever is fed while it is being packed.

A store takes what each cut gives, as a checkpoint does. Whoever goes on from it, behind the last event
before the cut, says what an engine says that was never interrupted. Only the order of alerts whose
deadlines lie at the same moment may differ.
"""

from __future__ import annotations

from random import Random

import pytest
from generate import Case
from hypothesis import settings
from inputs import Input, tell, with_clocks
from running import runnable
from test_deliveries import any_case, suppressing

import dsl
import engine
from dsl import model as m
from engine.baselines.declared import OtherState
from engine.state import parts
from engine.state.keys import part_of

SLICES = 2


class Store:
    """What a checkpoint keeps."""

    def __init__(self) -> None:
        self.shared = b""
        self.devices: dict[str, bytes] = {}
        self.items = 0
        """Items before the cut."""

    def put(self, shared: bytes, packed: list[tuple[str, bytes | None]], items: int) -> None:
        self.shared, self.items = shared, items
        for device, part in packed:
            if part is None:
                self.devices.pop(device, None)
            else:
                self.devices[device] = part

    def restored(self, ruleset: m.RuleSet) -> engine.Matcher:
        matcher = engine.Matcher(ruleset)
        parts.restore(matcher, self.shared, self.devices.items())
        return matcher


def check(case: Case, random: Random) -> int:
    """Gives how many alerts there were after a cut."""
    if not runnable(case.ruleset):
        return 0
    arrival = case.in_order()
    if random.randrange(3):
        random.shuffle(arrival)
    items: list[Input] = with_clocks(random, arrival)
    found = 0
    said: list[list[bytes]] = []
    stores: list[tuple[Store, int]] = []
    matcher = engine.Matcher(case.ruleset)
    store = Store()
    cut: parts.Cut | None = None
    packed: list[tuple[str, bytes | None]] = []
    at = 0
    for number, item in enumerate(items):
        if cut is None and not random.randrange(3):
            cut, packed, at = parts.cut(matcher), [], number
        said.append([engine.encode(alert) for alert in tell(matcher, item)])
        if cut is not None:
            some = cut.pack(1)
            packed += some
            if not some:
                store.put(cut.shared, packed, at)
                copy = Store()
                copy.put(store.shared, list(store.devices.items()), store.items)
                stores.append((copy, at))
                cut = None
    last = [engine.encode(alert) for alert in matcher.close()]
    for kept, since in stores:
        again = kept.restored(case.ruleset)
        rest = [engine.encode(alert) for item in items[since:] for alert in tell(again, item)]
        rest += [engine.encode(alert) for alert in again.close()]
        expected = [alert for of_item in said[since:] for alert in of_item] + last
        assert sorted(rest) == sorted(expected), f"cut before item {since}"
        assert again.rule_counts() == matcher.rule_counts()
        found += len(rest)
    return found


@pytest.mark.parametrize("part", range(SLICES))
def test_seeded_cases(part: int) -> None:
    alerts = 0
    count = settings().max_examples // SLICES
    for number in range(count):
        seed = number * SLICES + part
        random = Random(seed)
        case = any_case(random)
        try:
            alerts += check(case, random)
            alerts += check(suppressing(case, random), random)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert count < 50 or alerts > count


RULES = dsl.load_text(
    """
    EVENT flow LATE 1m { app: string?  bytes_out: int? }
    EVENT crash LATE 1m { app: string? }
    BASELINE egress = bytes_out OF flow BY device, app EVERY 1s USING robust WARMUP 3
    RULE odd { BY device  WHEN flow [bytes_out > 5] THEN crash WITHIN 20s }
    RULE silent { WHEN flow [bytes_out > 5] THEN NO crash WITHIN 20s }
    RULE far { BY device, app  WHEN flow [deviation(egress) > 100] THEN crash WITHIN 1m }
    """
)


def line(kind: str, device: str, second: int, fields: str = "") -> bytes:
    return b'{"kind":"%s","device":"%s","time":%d%s}' % (
        kind.encode(), device.encode(), second * 1000, fields.encode(),
    )  # fmt: skip


def packed_all(cut: parts.Cut) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    while some := cut.pack(10):
        found.update(some)
    return found


def devices_in(cut: parts.Cut) -> set[str | None]:
    return {part_of(key)[0] for key in packed_all(cut)}


def test_only_devices_that_changed_are_in_a_cut() -> None:
    matcher = engine.Matcher(RULES)
    for device in ("a", "b", "c"):
        matcher.feed_json(line("flow", device, 1, ',"app":"x","bytes_out":9'))
    assert devices_in(parts.cut(matcher)) == {"a", "b", "c"}
    assert packed_all(parts.cut(matcher)) == {}
    matcher.feed_json(line("crash", "b", 2))
    assert devices_in(parts.cut(matcher)) == {"b"}


def test_a_device_that_is_forgotten_is_taken_out() -> None:
    matcher = engine.Matcher(RULES)
    matcher.feed_json(line("crash", "gone", 1))
    assert set(packed_all(parts.cut(matcher))) == {"gone"}
    for day in range(1, 20):
        matcher.feed_json(line("crash", "here", day * 86_400))
        matcher.feed_json(line("flow", "here", day * 86_400))
        matcher.advance(day * 86_400_000)
    assert packed_all(parts.cut(matcher))["gone"] is None


def test_a_second_cut_waits_for_the_first() -> None:
    matcher = engine.Matcher(RULES)
    matcher.feed_json(line("crash", "a", 1))
    parts.cut(matcher)
    with pytest.raises(RuntimeError, match="the cut before is not packed yet"):
        parts.cut(matcher)


def test_parts_of_other_rules_are_refused() -> None:
    matcher = engine.Matcher(RULES)
    matcher.feed_json(line("crash", "a", 1))
    cut = parts.cut(matcher)
    other = engine.Matcher(dsl.load_text("EVENT crash { app: string? } RULE one { WHEN crash }"))
    with pytest.raises(OtherState, match="of other rules"):
        parts.restore(other, cut.shared, [])
    with pytest.raises(OtherState, match="damaged"):
        parts.restore(engine.Matcher(RULES), cut.shared, [("a", b"nonsense")])
