"""Fifty reloads in a run, held against each version of each rule alone."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from sets import Message, Running, evidence, prepared, rules, stream

from engine.alerts import encode
from engine.events import POSITION_SHIFT
from engine.matcher import Matcher
from engine.reload.draining import TRANSPORT_MS
from engine.reload.in_force import MOST_DRAINS

GRACE = 300_000
MESSAGES = 1_500
RELOADS = 50


def alone(text: str, messages: list[Message], name: str) -> list[tuple[Any, ...]]:
    """What one rule of a set says of some messages, in a matcher of its own."""
    matcher = Matcher(prepared(text).ruleset)
    said = []
    for message in messages:
        found = matcher.advance(message.stored_ms)
        found += matcher.feed_json(message.raw, message.sequence << POSITION_SHIFT)
        said += [(message.sequence, *evidence(alert)) for alert in found if alert.rule.name == name]
    return said


def run(texts: list[str], swaps: list[int], messages: list[Message], crashes: frozenset[int]) -> Running:
    """All messages; set i + 1 comes into force after the message ``swaps[i]``."""
    running = Running(texts[0])
    for message in messages:
        running.take(message)
        for number, at in enumerate(swaps):
            if at == message.sequence:
                running.swap(texts[number + 1])
        if message.sequence in crashes:
            running.crash()
    return running


def own_events(
    texts: list[str], swaps: list[int], messages: list[Message]
) -> list[tuple[str, list[Message]]]:
    """For each version of `chain`, its text and the messages that are its own: those after it came into
    force, and of those after it was replaced no first step, until its runs are over.
    """
    begins = [0, *swaps]
    found: list[tuple[str, list[Message]]] = []
    number = 0
    while number < len(texts):
        last = number
        while last + 1 < len(texts) and _chain(texts[last + 1]) == _chain(texts[number]):
            last += 1
        begin = begins[number]
        end = begins[last + 1] if last + 1 < len(texts) else messages[-1].sequence
        window = 60_000 if "THEN b WITHIN 60s" in texts[number] else 45_000
        over = messages[end - 1].stored_ms + window + GRACE + TRANSPORT_MS
        mine = []
        for message in messages[begin:]:
            if message.sequence > end and message.event["kind"] == "a":
                # It is no event of this version, but it shows what time it is.
                message = Message(message.sequence, message.stored_ms, message.event | {"x": -1})
            mine.append(message)
            if message.sequence > end and message.stored_ms >= over:
                break
        found.append((texts[number], mine))
        number = last + 1
    return found


def _chain(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("RULE chain"))


@pytest.mark.parametrize("seed", [1, 2])
def test_fifty_reloads_say_what_each_version_says_alone(seed: int) -> None:
    random = Random(seed)
    messages = stream(random, MESSAGES)
    swaps = sorted(random.sample(range(1, MESSAGES), RELOADS))
    texts = [rules()]
    changed_at: list[int] = []
    for number, at in enumerate(swaps):
        # No more sets may drain at a time than are kept; runs last nine minutes, which are some 480 messages.
        draining = sum(s > at - 600 for s in changed_at)
        if number % 3 == 0 and draining < MOST_DRAINS:
            changed_at.append(at)
        changes = len(changed_at)
        texts.append(rules(1 + changes % 5, ("low", "high")[number % 2], ("60s", "45s")[changes % 2]))
    assert len(changed_at) >= 10
    whole = run(texts, swaps, messages, frozenset())

    expected: list[tuple[Any, ...]] = []
    for text, mine in own_events(texts, swaps, messages):
        expected += [said[1:] for said in alone(text, mine, "chain")]
    chains = [evidence(alert) for alert in whole.said if alert.rule.name == "chain"]
    assert Counter(chains) == Counter(expected)
    assert len({(alert.id, alert.revision) for alert in whole.said}) == len(whole.said)
    drained = [alert for alert in whole.said if alert.rule.name == "chain" and alert.activity == "create"]
    assert len(drained) > 100

    for name in ("steady", "quiet"):
        # Nothing ever happened to these, but for their severity.
        steady = [_without_severity(evidence(a)) for a in whole.said if a.rule.name == name]
        assert steady == [_without_severity(e[1:]) for e in alone(rules(), messages, name)]
        assert {"low", "high"} <= {a.severity for a in whole.said if a.rule.name == name}

    crashes = frozenset(random.sample(range(1, MESSAGES), 12)) | frozenset(swaps[::7])
    again = run(texts, swaps, messages, crashes)
    assert [encode(alert) for alert in again.said] == [encode(alert) for alert in whole.said]


def _without_severity(said: tuple[Any, ...]) -> tuple[Any, ...]:
    return said[:4] + said[5:]


def test_the_counts_are_right() -> None:
    running = Running(rules(more="RULE gone { WHEN a THEN c WITHIN 60s }"))
    at = 1_700_000_000_000
    events = [("a", 5), ("a", 1), ("c", None), ("a", 7)]
    for number, (kind, x) in enumerate(events, 1):
        event = {"kind": kind, "device": f"d{number % 2}", "host": f"h{number}", "time": at + number}
        running.take(Message(number, at + number, event | ({} if x is None else {"x": x})))
    report = running.swap(rules(4, "high", more="RULE extra { WHEN b }"))
    assert {(one.rule, one.fate, one.state, one.devices, one.partial) for one in report.rules} == {
        ("chain", "changed", "drained", 2, 2),
        ("steady", "metadata", "kept", 1, 1),
        ("quiet", "metadata", "kept", 1, 1),
        ("extra", "new", "cold", 0, 0),
        ("gone", "removed", "dropped", 2, 1),
    }
    assert str(report) == (
        f"rules {report.hash_after} in force after sequence 4: 2 kept (2 matches under way), "
        "1 drained (2 matches under way), 1 dropped (1 match under way), 1 new"
    )
    assert running.swap(rules(4, "high", more="RULE extra { WHEN b }")).partial("kept") == 2


def test_what_drains_ends() -> None:
    running = Running(rules(limit=1))
    running.take(Message(1, 1_700_000_000_000, _event("a", 0, x=5)))
    running.swap(rules(limit=2))
    until = running.force.drains[0].until_ms
    running.take(Message(2, until - 1, _event("c", until - 1)))
    assert running.force.drains
    running.take(Message(3, until, _event("c", until)))
    assert not running.force.drains


def test_too_many_drain_at_a_time() -> None:
    running = Running(rules(limit=0))
    early: list[str] = []
    for number in range(1, MOST_DRAINS + 3):
        running.take(Message(number, 1_700_000_000_000 + number, _event("a", number, x=50)))
        early += running.swap(rules(limit=number)).ended_early
    assert early == ["chain (sequence 1)", "chain (sequence 2)"]
    assert len(running.force.drains) == MOST_DRAINS


def test_a_rule_that_reads_a_changed_one_drains_with_it() -> None:
    more = "RULE second { WHEN ALERT chain THEN c WITHIN 60s }"
    running = Running(rules(limit=1, more=more))
    running.take(Message(1, 1_700_000_000_010, _event("a", 10, x=5)))
    report = running.swap(rules(limit=2, more=more))
    second = next(one for one in report.rules if one.rule == "second")
    assert (second.fate, second.why) == ("changed", "it reads the alerts of `chain`, which changed")
    running.take(Message(2, 1_700_000_000_020, _event("a", 20, x=2)))
    # Begun before: the old chain completes, but the old second began with nothing.
    assert [a.rule.name for a in running.take(Message(3, 1_700_000_000_030, _event("b", 30)))] == ["chain"]
    assert running.take(Message(4, 1_700_000_000_040, _event("c", 40))) == []


def test_a_level_that_reaches_back_over_the_reload_is_said() -> None:
    def level(count: int) -> str:
        return rules(more=f"RULE burst {{ WHEN AT LEAST {count} a IN 60s AS xs }}")

    running = Running(level(3))
    for number in (1, 2):
        running.take(Message(number, 1_700_000_000_000 + number, _event("a", number, x=0)))
    running.swap(level(4))
    said = running.take(Message(3, 1_700_000_000_003, _event("a", 3, x=0)))
    assert [len(alert.steps) for alert in said] == [3]
    later = [
        running.take(Message(n, 1_700_000_000_000 + 100_000 + n, _event("a", 100_000 + n, x=0)))
        for n in range(4, 8)
    ]
    # Of the old version nothing more: its three are all from after the reload. The new one counts to four.
    assert [len(alerts) for alerts in later] == [0, 0, 0, 1]


def _event(kind: str, after: int, **fields: Any) -> dict[str, Any]:
    time = after if after > 1_000_000_000_000 else 1_700_000_000_000 + after
    return {"kind": kind, "device": "d1", "host": "h", "time": time, **fields}
