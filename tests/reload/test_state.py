"""What stays over a reload and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sets import Message, Running, prepared

import dsl
from engine.baselines.declared import OtherState
from engine.reload.bundle import bundle_of
from engine.reload.in_force import InForce
from engine.reload.prepare import Refused, prepare_loaded

AT = 1_700_000_000_000


class Short(Running):
    """Events without ceremony: each a second after the one before."""

    def tell(self, kind: str, after: int | None = None, device: str = "d1", **fields: Any) -> list[Any]:
        number = self.last.sequence + 1
        time = AT + (number if after is None else after) * 1000
        event = {"kind": kind, "device": device, "time": time, **fields}
        return self.take(Message(number, max(time, self.last.stored_ms), event))


def test_a_field_that_was_not_read_before_is_missing() -> None:
    events = "EVENT a { host: string  app: string? }  EVENT b { host: string }"
    rule = 'RULE r {{ BY device, host  WHEN a AS s THEN b WITHIN 60s  ALERT {{ title: "{}" }} }}'
    running = Short(events + rule.format("t {s.host}"))
    running.tell("a", host="h", app="mail")
    report = running.swap(events + rule.format("t {s.app}"))
    assert [one.fate for one in report.rules] == ["metadata"]
    assert [a.title for a in running.tell("b", host="h")] == ["t unknown"]
    running.tell("a", host="i", app="mail")
    assert [a.title for a in running.tell("b", host="i")] == ["t mail"]
    running.crash()


def test_a_field_that_may_not_be_missing_is_there_for_later_rules() -> None:
    events = "EVENT a { host: string  size: int }  EVENT b { host: string }"
    rule = 'RULE r {{ BY device, host  WHEN a AS s THEN b WITHIN 60s  ALERT {{ title: "{}" }} }}'
    running = Short(events + rule.format("t"))
    running.tell("a", host="h", size=7)
    running.swap(events + rule.format("t {s.size}"))
    assert [a.title for a in running.tell("b", host="h")] == ["t 7"]


def test_a_new_field_that_may_not_be_missing_drains_who_keeps_the_event() -> None:
    events = "EVENT a {{ host: string {} }}  EVENT b {{ host: string }}"
    rule = "RULE r { BY device, host  WHEN a AS s THEN b WITHIN 60s }"
    running = Short(events.format("") + rule)
    running.tell("a", host="h")
    report = running.swap(events.format(" size: int") + rule)
    assert [(one.state, one.why) for one in report.rules] == [
        ("drained", "`a` has a new field `size` that may not be missing")
    ]
    assert len(running.tell("b", host="h")) == 1


def test_a_key_that_an_event_declares_anew_is_another_pattern() -> None:
    events = "EVENT a {{ host: string }}  EVENT b {{ {} }}"
    rule = "RULE r { BY device, host  WHEN a THEN b WITHIN 60s }"
    running = Short(events.format("n: int?") + rule)
    report = running.swap(events.format("host: string") + rule)
    assert [one.why for one in report.rules] == ["`b` declares its key `host` anew"]


def test_a_param_is_pattern_where_the_pattern_reads_it_and_metadata_elsewhere() -> None:
    text = "EVENT a {{ x: int }}\nPARAM p = {}\nRULE r {{ WHEN a [x > {}]  RISK {} }}"
    running = Short(text.format(1, "p", "5"))
    assert [one.fate for one in running.swap(text.format(2, "p", "5")).rules] == ["changed"]
    running = Short(text.format(1, "1", "p"))
    assert [one.fate for one in running.swap(text.format(2, "1", "p")).rules] == ["metadata"]


def test_a_place_and_a_comment_are_nothing() -> None:
    running = Short("EVENT a { x: int } RULE r { WHEN a }")
    report = running.swap("# moved\n\nEVENT a { x: int }\n\n  RULE r { WHEN a # here\n }")
    assert [one.fate for one in report.rules] == ["unchanged"]


def test_a_rule_that_begins_later_says_how_far_its_guards_look_back() -> None:
    events = "EVENT a { x: int? }  EVENT g { x: int? }"
    first = "RULE old { WHEN a UNLESS g WITHIN 60s BEFORE }"
    running = Short(events + first)
    running.tell("a", 1)
    running.tell("a", 100)
    running.swap(events + first + "RULE young { WHEN a UNLESS g WITHIN 60s BEFORE }")
    for crash in (False, True):
        if crash:
            running.crash()
        levels = {a.rule.name: a.confidence.level for a in running.tell("a", 110 + 3 * crash)}
        assert levels == {"old": "high", "young": "low"}
    said = {a.rule.name: a for a in running.tell("a", 200)}
    assert said["young"].confidence.level == "high"


def test_a_silence_goes_on_over_a_reload() -> None:
    events = "EVENT a { x: int? }  EVENT g GRACE 1s { x: int? }"
    rule = "RULE r {{ WHEN a THEN NO g FOR 30s  SEVERITY {} }}"
    running = Short(events + rule.format("low"))
    running.tell("a", 1)
    running.swap(events + rule.format("high"))
    running.crash()
    said = running.tell("g", 60)
    assert [a.severity for a in said] == ["high"]


def test_a_changed_silence_drains() -> None:
    events = "EVENT a { x: int? }  EVENT g GRACE 1s { x: int? }"
    running = Short(events + "RULE r { WHEN a THEN NO g FOR 30s }")
    running.tell("a", 1)
    report = running.swap(events + "RULE r { WHEN a THEN NO g FOR 300s }")
    assert report.partial("drained") >= 1
    running.crash()
    assert [a.rule.hash == report.rules[0].rule for a in running.tell("g", 60)] == [False]
    assert len(running.said) == 1


def test_late_evidence_reaches_alerts_of_before() -> None:
    events = "EVENT a { x: int? }  EVENT b { x: int? }  EVENT g { x: int? }"
    for after in (
        "RULE r { WHEN a THEN b WITHIN 60s UNLESS g WITHIN 60s BEFORE  SEVERITY high }",
        "RULE r { WHEN a THEN b WITHIN 61s UNLESS g WITHIN 60s BEFORE }",
    ):
        running = Short(events + "RULE r { WHEN a THEN b WITHIN 60s UNLESS g WITHIN 60s BEFORE }")
        running.tell("a", 10)
        (create,) = running.tell("b", 20)
        running.swap(events + after)
        running.crash()
        (close,) = running.tell("g", 15)
        assert (close.activity, close.id, close.revision) == ("close", create.id, 2)


LEARNS = """
EVENT flow {{ app: string  bytes: int  host: string }}
BASELINE egress = bytes OF flow BY device, app EVERY 1s USING robust WARMUP 3
{}
RULE odd {{ BY device, app  WHEN flow [deviation(egress) >= {}] }}
"""


def _learn(running: Short, count: int) -> None:
    for number in range(count):
        running.tell("flow", app="m", bytes=100 + number % 2, host="h")


def test_baselines_of_one_key_stay_together() -> None:
    running = Short(LEARNS.format("", 3))
    _learn(running, 20)
    report = running.swap(LEARNS.format("BASELINE hosts = host OF flow BY device USING novelty", 4))
    assert (report.baselines_kept, report.baselines_cold) == (("egress",), ("hosts",))
    assert len(running.tell("flow", app="m", bytes=9_000_000, host="h")) >= 1

    running = Short(LEARNS.format("", 3))
    _learn(running, 20)
    same = "BASELINE other = bytes OF flow BY device, app EVERY 2s USING robust WARMUP 3"
    report = running.swap(LEARNS.format(same, 3))
    assert (report.baselines_kept, report.baselines_cold) == ((), ("egress", "other"))
    assert "baselines that start anew: egress, other" in str(report)
    assert running.tell("flow", app="m", bytes=9_000_000, host="h") == []


def test_a_baseline_learns_while_no_rule_reads_it() -> None:
    without = LEARNS.format("", 3).replace("deviation(egress) >= 3", "bytes > 1000000000")
    running = Short(without)
    _learn(running, 20)
    running.swap(LEARNS.format("", 3))
    assert len(running.tell("flow", app="m", bytes=9_000_000, host="h")) == 1


def test_list_entries_of_the_running_set_stay_unless_the_set_names_others() -> None:
    text = 'EVENT a {{ x: string }}\nLIST l = ["{}"]\nRULE r {{ WHEN a [x IN LIST l] SEVERITY {} }}'
    running = Short(text.format("one", "low"))
    running.force.matcher.replace_list("l", ["two"])
    running.swap(text.format("one", "high"))
    assert len(running.tell("a", x="two")) == 1
    running.swap(text.format("three", "high"))
    assert [len(running.tell("a", x=x)) for x in ("two", "three")] == [0, 1]


def test_sets_that_are_refused() -> None:
    def refused(text: str) -> Refused:
        ruleset = dsl.load_text(text, "r.rule")
        found = prepare_loaded(bundle_of(ruleset), ruleset)
        assert isinstance(found, Refused)
        return found

    assert refused("EVENT a { x: int }").sentence == "it has no rule"
    bad = refused("EVENT a { x: int } RULE r { WHEN b }")
    assert bad.sentence == "it has 1 error"
    assert bad.records[0]["code"] == "TW201"
    assert "r.rule:1:34" in bad.problems[0]
    test = 'TEST "no" FOR r { AT 0s a { x: 1 } EXPECT NONE }'
    failing = refused("EVENT a { x: int } RULE r { WHEN a } " + test)
    assert failing.sentence == "1 of its 1 tests fail"
    assert failing.problems[0].startswith("r: no")


def test_a_record_that_is_damaged_is_refused() -> None:
    running = Short("EVENT a { x: int } RULE r { WHEN a }")
    record, state = running.force.snapshot()
    with pytest.raises(OtherState, match="the record of the rules in force is damaged"):
        InForce.restore(record[: len(record) // 2], state)


def test_the_same_set_has_the_same_hash() -> None:
    one, two = (
        prepared("EVENT a { x: int } RULE r { WHEN a }"),
        prepared("EVENT a { x: int } RULE r { WHEN a [x > 1] }"),
    )
    assert one.bundle.hash != two.bundle.hash
    assert one.bundle.hash == prepared("EVENT a { x: int } RULE r { WHEN a }").bundle.hash


def test_an_old_version_goes_on_with_the_entries_that_were_in_force() -> None:
    text = """
    EVENT a {{ x: int }}  EVENT b {{ app: string }}
    LIST known = ["mail"]
    RULE r {{ WHEN a [x > {}] THEN b [app IN LIST known] WITHIN 60s }}
    """
    running = Short(text.format(1))
    running.force.matcher.replace_list("known", ["chat"])
    running.tell("a", x=5)
    running.swap(text.format(2))
    assert len(running.tell("b", app="mail")) == 0
    running.crash()
    # The old one; the new one has seen no first step.
    assert len(running.tell("b", app="chat")) == 1


def test_a_list_file_that_is_gone_does_not_keep_the_state_from_being_taken_up(tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text("mail\n")
    text = (
        "EVENT a { x: int }  EVENT b { app: string }\n"
        f'LIST known FROM "{tmp_path / "known.txt"}" REFRESH 5m\n'
        "RULE r { WHEN a [x > %d] THEN b [app IN LIST known] WITHIN 60s }"
    )
    running = Short(text % 1)
    running.tell("a", x=5)
    running.swap(text % 2)
    running.tell("a", x=5)
    # The set that follows needs it no more, and the service is started anew for it.
    (tmp_path / "known.txt").unlink()
    running.crash()
    assert sorted(len(alert.steps) for alert in running.tell("b", app="mail")) == [2, 2]
