"""Rules that are filled beside those in force: what each knows afterwards. The property, that everything goes
on as if the rules had been there from the beginning, is in ``tests/semantics/test_filled.py``.
"""

from __future__ import annotations

from typing import Any

import pytest
from sets import AHEAD, Message, Running, prepared

from engine.alerts import Alert, encode
from engine.events import POSITION_SHIFT
from engine.reload.in_force import InForce
from engine.reload.prepare import Prepared
from engine.reload.report import ReloadReport
from engine.reload.side import Side
from engine.service.rules.apart import Apart
from engine.unsaid import unsay

AT = 1_700_000_000_000
EVENTS = """
EVENT a GRACE 1s LATE 1h { host: string?  app: string?  x: int? }
EVENT b GRACE 1s LATE 1h { host: string? }
EVENT c GRACE 1s LATE 1h { host: string? }
EVENT g GRACE 1s LATE 1h { host: string? }
"""
KEPT = 'RULE kept { WHEN a [x > 3] AS s THEN b WITHIN 60s  ALERT { title: "{s.host}" } }\n'


class Filling(Running):
    """Events in seconds; what follows is filled from `begin` on."""

    def __init__(self, first: str) -> None:
        super().__init__(first)
        self.side: Side | None = None
        self.next: Prepared | None = None

    def begin(self, text: str) -> None:
        self.next = prepared(text)
        self.side = self.force.beside(self.next)

    def tell(self, kind: str, at: float, device: str = "d1", **fields: Any) -> list[Alert]:
        number, time = self.last.sequence + 1, AT + round(at * 1000)
        event = {"kind": kind, "device": device, "time": time, "id": f"e{number}", **fields}
        return self.take(Message(number, max(time, self.last.stored_ms), event))

    def take(self, message: Message) -> list[Alert]:
        if self.side is not None:
            self.side.matcher.advance(message.stored_ms)
            self.side.matcher.feed_json(message.raw, message.sequence << POSITION_SHIFT)
            self.side.took(message.sequence, 1, message.stored_ms)
        return super().take(message)

    def fill(self) -> ReloadReport:
        assert self.next is not None
        assert self.side is not None
        self.side.matcher.catch_up()
        unsay(self.side.matcher)
        report = self.force.swap(self.next, self.last.sequence, self.last.stored_ms, self.side)
        self.side = None
        return report


def names(alerts: list[Alert]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(a.rule.name, a.activity, tuple(step.event_id for step in a.steps)) for a in alerts]


@pytest.mark.parametrize("crash", [False, True])
def test_an_event_that_both_have_kept_is_one(crash: bool) -> None:
    running = Filling(EVENTS + KEPT)
    new = 'RULE new { WHEN a [x > 5] AS s THEN c WITHIN 60s  ALERT { title: "{s.app}" } }\n'
    running.begin(EVENTS + KEPT + new)
    running.tell("a", 10, x=9, host="h", app="mail")
    assert running.tell("c", 5) == []
    report = running.fill()
    assert {(one.rule, one.state, one.partial) for one in report.rules} == {
        ("kept", "kept", 1),
        ("new", "filled", 1),
    }
    if crash:
        running.crash()
    (said,) = running.tell("c", 20)
    assert (said.title, names([said])) == ("mail", [("new", "create", ("e1", "e3"))])
    # What comes late has the rule run again, from the log: there it finds the same event. So it is the same
    # alert, with a better end.
    assert names(running.tell("c", 15)) == [("new", "update", ("e1", "e4"))]
    assert running.tell("a", 8, x=9) == []
    (said,) = running.tell("b", 21)
    assert said.title == "h"


def test_what_was_complete_is_neither_said_nor_revised_and_suppresses_nothing() -> None:
    running = Filling(EVENTS + KEPT)
    running.begin(EVENTS + KEPT + "RULE new { WHEN a THEN c WITHIN 60s  SUPPRESS 1h }\n")
    running.tell("a", 10, x=1)
    running.tell("c", 20)
    running.fill()
    assert running.tell("a", 15, x=1) == []
    running.tell("a", 30, x=1)
    (said,) = running.tell("c", 31)
    assert (names([said]), said.dedup.suppressed) == ([("new", "create", ("e4", "e5"))], 0)


def test_a_silence_that_began_in_the_past() -> None:
    running = Filling(EVENTS + KEPT)
    running.begin(EVENTS + KEPT + "RULE new { WHEN a THEN NO g FOR 30s }\n")
    running.tell("g", 5)
    running.tell("a", 10, x=1)
    running.tell("g", 30, device="d2")
    running.fill()
    running.crash()
    # One that comes late, and whose time is over by what was heard in the past.
    assert names(running.tell("a", -10, x=1, device="d3")) == [("new", "create", ("e4",))]
    # Another device shows that the kind is heard of.
    assert names(running.tell("g", 60, device="d2")) == [("new", "create", ("e2",))]


def test_lateness_of_a_kind_that_no_rule_read_before() -> None:
    running = Filling(EVENTS + KEPT)
    running.begin(EVENTS + KEPT + "RULE new { WHEN g THEN c WITHIN 2h }\n")
    running.tell("g", 5_000)
    running.fill()
    running.tell("g", 100)
    assert running.force.matcher.late == [2 << POSITION_SHIFT]


def test_guards_look_back_on_what_was_read() -> None:
    running = Filling(EVENTS + KEPT)
    new = "RULE new { WHEN a THEN c WITHIN 60s UNLESS g WITHIN 100s BEFORE }\n"
    running.tell("a", 1, x=1)
    running.begin(EVENTS + KEPT + new)
    running.tell("g", 20)
    running.tell("a", 150, x=1)
    running.fill()
    (said,) = running.tell("c", 160)
    assert (said.confidence.level, said.gaps) == ("high", [])
    # The fill began at 20: what was before it is not known.
    running.tell("a", 110, x=1, device="d2")
    (said,) = running.tell("c", 115, device="d2")
    assert (said.confidence.level, said.gaps[0].need) == ("low", "g")
    assert "since" in said.gaps[0].status


def test_how_far_back_a_log_is_whole_is_known_for_each() -> None:
    short = "RULE kept { WHEN p THEN q WITHIN 10s }\n"
    events = EVENTS + "EVENT p GRACE 0s LATE 1m { n: int? }\nEVENT q GRACE 0s LATE 1m { n: int? }\n"
    running = Filling(events + short)
    running.begin(events + short + "RULE new { WHEN a THEN c WITHIN 1h }\n")
    running.tell("a", 1)
    for number in range(130):
        running.tell("q", 10 + number)
    (old,) = running.force.matcher.logs.logs.values()
    assert old.known(0) > AT
    running.fill()
    (log,) = running.force.matcher.logs.logs.values()
    indexes = {plan.rule.name: plan.index for plan in running.force.matcher.plan.rules}
    assert log.known(indexes["kept"]) == old.known(0)
    assert log.known(indexes["new"]) < AT
    # One that is older than what the kept rule knows completes the new one.
    assert names(running.tell("c", 2)) == [("new", "create", ("e1", "e132"))]


LEARNS = """
EVENT flow {{ app: string  bytes: int }}
BASELINE egress = bytes OF flow BY device, app EVERY 1s USING robust WARMUP 12
{}
RULE odd {{ BY device, app  WHEN flow [deviation(egress) >= 3] }}
"""
SECOND = "BASELINE seen = bytes OF flow BY app EVERY 1s USING robust WARMUP {}\n"


def test_a_baseline_that_both_have_stays_and_a_new_one_is_filled() -> None:
    running = Filling(LEARNS.format(""))
    for number in range(20):
        running.tell("flow", number, app="m", bytes=100 + number % 2)
    of_new = "RULE new {{ BY device, app  WHEN flow [deviation(egress) >= 3 AND deviation(seen) >= {}] }}\n"
    running.begin(LEARNS.format(SECOND.format(5)) + of_new.format(3))
    for number in range(20, 28):
        running.tell("flow", number, app="m", bytes=100 + number % 2)
    report = running.fill()
    assert (report.baselines_kept, report.baselines_filled, report.baselines_cold) == (
        ("egress",),
        ("seen",),
        (),
    )
    said = running.tell("flow", 40, app="m", bytes=9_000_000)
    assert [alert.rule.name for alert in said] == ["odd", "new"]


def test_what_baselines_answered_to_both_stays_with_the_event() -> None:
    c = "EVENT c GRACE 1s { n: int? }\n"
    kept = "RULE odd { BY device, app  WHEN flow [deviation(egress) >= 3] THEN flow WITHIN 60s }"
    old = c + LEARNS.format("").rpartition("RULE")[0] + kept
    new = (
        SECOND.format(5)
        + "RULE new { WHEN flow [bytes > 1] THEN c WITHIN 60s\n"
        + "  SEVERITY choose(deviation(seen) > 3, high, low) }"
    )
    running = Filling(old)
    running.begin(old + new)
    for number in range(28):
        running.tell("flow", number, app="m", bytes=100 + number % 2)
    running.tell("flow", 30, app="m", bytes=9_000_000)
    running.fill()
    # It has all of the log run again.
    running.tell("flow", 29, app="m", bytes=100)
    assert [alert.severity for alert in running.tell("c", 31)] == ["high"]


def test_baselines_alone_are_filled() -> None:
    running = Filling(LEARNS.format(""))
    running.begin(
        LEARNS.format("BASELINE more = bytes OF flow BY device, app EVERY 2s USING robust WARMUP 3")
    )
    assert running.side is not None
    assert (running.side.rules, running.side.baselines) == (frozenset(), {"egress", "more"})
    for number in range(20):
        running.tell("flow", number, app="m", bytes=100 + number % 2)
    assert running.fill().baselines_filled == ("egress", "more")
    assert len(running.tell("flow", 40, app="m", bytes=9_000_000)) == 1


def test_a_rule_that_reads_alerts_of_a_kept_one_goes_on_with_them() -> None:
    running = Filling(EVENTS + "RULE kept { WHEN a THEN b WITHIN 60s UNLESS g WITHIN 60s BEFORE }\n")
    new = "RULE new { WHEN ALERT kept THEN c WITHIN 1h }\n"
    running.begin(EVENTS + "RULE kept { WHEN a THEN b WITHIN 60s UNLESS g WITHIN 60s BEFORE }\n" + new)
    running.tell("a", 10)
    (first,) = running.tell("b", 20)
    running.fill()
    # Evidence that comes late closes what the kept rule has said, and so the other does not know it any more.
    assert names(running.tell("g", 15)) == [("kept", "close", ("e1", "e2"))]
    assert running.tell("c", 30) == []
    running.tell("a", 110)
    (second,) = running.tell("b", 120)
    assert names(running.tell("c", 130)) == [("new", "create", (second.id, "e7"))]
    assert first.id != second.id


def test_one_that_has_read_nothing_leaves_them_cold() -> None:
    running = Filling(EVENTS + KEPT)
    running.tell("a", 1)
    running.begin(EVENTS + KEPT + "RULE new { WHEN c }\n")
    report = running.fill()
    assert (report.count("cold"), report.filled_with) == (1, None)
    assert str(report).endswith(", 1 new")


def test_one_of_another_set_is_refused_and_nothing_changes() -> None:
    running = Filling(EVENTS + KEPT)
    running.begin(EVENTS + KEPT + "RULE new { WHEN c }\n")
    running.tell("a", 1)
    running.next = prepared(EVENTS + KEPT + "RULE other { WHEN c }\n")
    before = running.force.snapshot()
    with pytest.raises(ValueError, match="not those that begin cold"):
        running.fill()
    assert running.force.snapshot() == before


def test_lists_have_the_entries_in_force() -> None:
    text = EVENTS + 'LIST l = ["one"]\nRULE kept { WHEN a [app IN LIST l] }\n'
    running = Filling(text)
    running.force.matcher.replace_list("l", ["two"])
    running.begin(text + "RULE new { WHEN a [app IN LIST l] THEN c WITHIN 60s }\n")
    running.tell("a", 1, app="two")
    running.fill()
    assert names(running.tell("c", 2)) == [("new", "create", ("e1", "e2"))]


def test_the_state_says_what_was_filled_and_a_replay_finds_the_same() -> None:
    """From the record: which rules, from which message, to which."""
    first, then = EVENTS + KEPT, EVENTS + KEPT + "RULE new { WHEN a THEN c WITHIN 60s  SUPPRESS 20s }\n"
    kinds = ("a", "b", "a", "c", "g", "a", "c", "b", "a", "c")
    running = Filling(first)
    messages: list[Message] = []
    for number in range(60):
        if number == 12:
            running.begin(then)
        if number == 31:
            running.fill()
        running.tell(kinds[number % 10], 3 * number - 7 * (number % 3), x=number % 7)
        messages.append(running.last)
    record, state = running.force.snapshot()
    known = InForce.restore(record, state)
    begin, swapped = known.begins["new"], known.sequence
    assert (begin.sequence, swapped) == (12, 31)

    again = Filling(first)
    for message in messages:
        if message.sequence == begin.sequence + 1:
            again.begin(then)
        again.take(message)
        if message.sequence == swapped:
            again.fill()
    assert [encode(alert) for alert in again.said] == [encode(alert) for alert in running.said]
    assert "new" in {alert.rule.name for alert in again.said}
    assert again.force.snapshot() == (record, state)


def silence_filled() -> tuple[Filling, Apart]:
    """A rule about silence that is filled beside another."""
    text = "EVENT beat GRACE 1s { n: int? }\nEVENT a { n: int? }\nRULE kept { WHEN a }\n"
    running = Filling(text)
    running.begin(text + "RULE new { WHEN beat THEN NO beat FOR 60s }\n")
    assert running.side is not None
    assert running.next is not None
    return running, Apart(running.next, running.side, AHEAD, ())


def test_a_source_that_was_silent_in_the_past_is_not_said_to_be_heard_again() -> None:
    running, apart = silence_filled()
    for number in range(40):
        running.tell("beat", number / 10, device=f"d{number}")
    running.take(Message(running.last.sequence + 1, AT + 3_600_000, {"kind": "a", "device": "x", "time": AT}))
    apart.end_filling()
    assert [alert.rule.name for alert in apart.silent] == ["new"]


def test_a_silence_of_the_past_that_may_be_a_storm_is_not_said_later() -> None:
    running, apart = silence_filled()
    for number in range(300):
        running.tell("beat", 0 if number < 20 else 28, device=f"d{number}")
    # Twenty have been silent for a minute, and nobody was heard of for half of one.
    running.take(Message(running.last.sequence + 1, AT + 63_000, {"kind": "a", "device": "x", "time": AT}))
    runtime = apart.matcher.runtimes[-1]
    assert len(runtime.storms.suspicions) == 1
    apart.end_filling()
    assert not runtime.storms.suspicions
    assert not apart.silent
    # Then it would have been clear that it is none.
    assert apart.matcher.advance(AT + 70_000) == []
    assert sum(len(state.published) for state in runtime.devices.values()) == 20
