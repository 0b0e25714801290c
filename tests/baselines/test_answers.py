"""What rules ask in place (engine/baselines/answers.py) is what the functions of the estimators say."""

from __future__ import annotations

import pytest
from test_inline import RULES, Stream

import dsl
from engine import Matcher
from engine.baselines.answers import Answer
from engine.baselines.estimator import Estimator

ASKING = """
RULE asks "Whatever can be asked" {
  WHEN flow [deviation(sent) >= 1 OR deviation(quick) >= 1 AND drift(quick) < 9 OR deviation(filtered) < 0.2]
    THEN stop WITHIN 1m
}
RULE counts "What counts" {
  WHEN flow [deviation(targets) > 0.5 OR fanout(many) >= 2 AND deviation(many) > 0 OR
  regularity(rhythm) > 0.2]
    THEN stop WITHIN 1m
}
RULE is new "Yes and no" {
  WHEN flow [unseen(short) OR unseen(hosts) AND NOT unseen(ports) OR NOT ready(near) OR unseen(near)]
    THEN stop WITHIN 1m
}
RULE is rare "Shares and hours" {
  WHEN flow [prevalence(share) < 0.5 OR ready(of port) AND prevalence(tagged) > 0.1 OR unusual(hourly) > 0.99]
    THEN stop WITHIN 1m
}
"""
_HEAD = RULES.partition("RULE r ")[0]


def _by_calls(
    estimator: Estimator, function: str, row: str, seen: str, peer: str, ask: str, names: dict[str, object]
) -> Answer:
    return Answer((), f"{ask}({row}, {seen}, {peer})", known=function == "ready")


@pytest.mark.parametrize(("seed", "devices"), [(1, 2), (2, 70)])
def test_both_ways_fit_the_same_events(seed: int, devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is seldom warm is warmer here.
    monkeypatch.setattr("engine.baselines.novelty.WARM_EVENTS", 4)
    monkeypatch.setattr("engine.baselines.novelty.WARM_MINUTES", 5)
    monkeypatch.setattr("engine.baselines.hours.WARM_MINUTES", 30)
    monkeypatch.setattr("engine.baselines.prevalence.WARM_DEVICES", 2)
    ruleset = dsl.load_text(_HEAD + ASKING)
    assert not ruleset.errors, ruleset.errors
    fits: list[list[tuple[int, int, int]]] = []
    for ways in ("in place", "by calls"):
        told: list[tuple[int, int, int]] = []
        with monkeypatch.context() as patch:
            if ways == "by calls":
                patch.setattr("engine.kind_code.answer", _by_calls)
            matcher = Matcher(
                ruleset,
                on_fit=lambda rule, bits, device, told=told: told.append((len(told), rule, bits)),  # type: ignore[misc]
            )
            stream = Stream(seed, devices, 9, 20_000, 60_000)
            for _ in range(2_500):
                event = matcher.decoder.convert(stream.next())
                assert event is not None
                told.append((-1, 0, 0))
                matcher.feed(event)
        fits.append(told)
    assert fits[0] == fits[1]
    for rule in range(4):
        times = sum(1 for count, which, _ in fits[0] if count >= 0 and which == rule)
        assert 50 < times < 2_500, (rule, times)
