"""Keys of parts: no two parts have the same, whatever devices and values are called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dsl
from engine import Matcher
from engine.state import parts
from engine.state.keys import fleet_key, fleet_of, known_key, learned_key, part_of

names = st.text(st.sampled_from("\0lkf1:a\xa3"), min_size=1, max_size=5)


@given(names, names)
def test_parts_of_all_kinds_and_devices_have_keys_of_their_own(one: str, other: str) -> None:
    keys = {known_key(one), learned_key(one), fleet_key(1, one), fleet_key(11, one)}
    assert len(keys) == 4
    if one != other:
        assert keys.isdisjoint({known_key(other), learned_key(other), fleet_key(1, other)})
    assert part_of(known_key(one)) == (one, False)
    assert part_of(learned_key(one)) == (one, True)
    assert part_of(fleet_key(1, one)) == (None, True)


@pytest.mark.parametrize("key", ["", "a:b", "\xe9\U0001f600", (), ("a", 1), ("a", 2, None), 7, 1.5, True])
def test_a_fleet_key_comes_back(key: Any) -> None:
    assert fleet_of(fleet_key(12, key)) == (12, key)


def test_a_device_whose_name_begins_as_a_key_is_a_device_like_any_other() -> None:
    ruleset = dsl.load_text(
        "EVENT a { x: int }  BASELINE usual = x OF a BY device EVERY 1s USING robust WARMUP 3\n"
        "BASELINE all = x OF a EVERY 1s USING robust WARMUP 3\n"
        "RULE r { WHEN a [deviation(usual) > 2 OR x == 7] THEN a [deviation(all) > 2 OR x == 7] WITHIN 1h }"
    )
    matcher, devices = Matcher(ruleset), ["x", "\0x", "\0lx", "\0kx", "\0fx", "\0f0:x"]

    def tell(of: Matcher, number: int) -> list[object]:
        time = number * 2_000
        return [
            alert
            for device in devices
            for alert in of.feed_json(
                json.dumps({"kind": "a", "device": device, "time": time, "x": number % 9}).encode(),
                number << 20,
            )
        ]

    for number in range(30):
        tell(matcher, number)
    cut = parts.cut(matcher)
    packed: dict[str, bytes] = {}
    while some := cut.pack(5):
        packed |= {key: part for key, part in some if part is not None}
    assert len(packed) == 2 * len(devices) + 1
    again = Matcher(ruleset)
    parts.restore(again, cut.shared, packed.items())
    assert again.baselines.encode_key(1, ()) == matcher.baselines.encode_key(1, ()) is not None
    found = [tell(again, n) for n in range(30, 60)]
    assert found == [tell(matcher, n) for n in range(30, 60)]
    assert sum(map(len, found)) >= len(devices)
