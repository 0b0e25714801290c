"""The exceptions file, and what is withheld."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sets import Message, Running

import dsl
from engine.alerts import Alert
from engine.reload.exceptions import CODES, Exceptions, read_exceptions
from engine.reload.withheld import OFF, Withheld

RULES = """
EVENT flow { app: string  ip: ip?  size: int? }
EVENT crash { app: string  class: string? }
RULE crash after upload {
  BY device, app
  WHEN flow AS upload THEN crash AS x WITHIN 10m UNLESS flow [size == 0] WITHIN 1s BEFORE
  ALERT { title: "t" fields: [upload.ip, upload.size] }
}
"""
AT = 1_700_000_000_000
"""14 November 2023."""
GOOD = """
[[exception]]
rule = "crash after upload"
where = { %s }
author = "mara"
reason = "the lab"
expires = 2024-01-31
"""


def alert(device: str = "lab-1", ip: str | None = "10.1.2.3", size: int = 7) -> Alert:
    running = Running(RULES)
    flow: dict[str, Any] = {"kind": "flow", "app": "com.acme", "size": size}
    if ip is not None:
        flow["ip"] = ip
    for number, event in enumerate([flow, {"kind": "crash", "app": "com.acme"}], 1):
        running.take(Message(number, AT, {"device": device, "time": AT + number, **event}))
    (found,) = running.said
    return found


def read(where: str) -> Exceptions:
    found, problems = read_exceptions(GOOD % where, dsl.load_text(RULES))
    assert not problems, problems
    return found


@pytest.mark.parametrize(
    ("where", "meets"),
    [
        ('device = "lab-1"', True),
        ('device = "lab-2"', False),
        ('device = { like = "lab-*" }', True),
        ('device = { like = "lab" }', False),
        ('device = ["x", { like = "*-1" }]', True),
        ('app = "com.acme"', True),
        ('"upload.ip" = { cidr = "10.0.0.0/8" }', True),
        ('upload.ip = { cidr = "10.0.0.0/8" }', True),
        ('upload.ip = { cidr = "11.0.0.0/8" }', False),
        ('upload.ip = { cidr = "fd00::/8" }', False),
        ("upload.size = 7", True),
        ("upload.size = 8", False),
        ('upload.size = "7"', False),
        ("upload.size = true", False),
        ('x.class = "a"', False),
        ('device = "lab-1", app = "com.acme", upload.ip = "10.1.2.3"', True),
        ('device = "lab-1", app = "com.other"', False),
    ],
)
def test_what_meets(where: str, meets: bool) -> None:
    assert (read(where).of(alert(), AT) is not None) is meets


def test_what_is_missing_never_holds() -> None:
    assert read('upload.ip = { like = "*" }').of(alert(ip=None), AT) is None


def test_an_exception_ends_with_its_day() -> None:
    found = read('device = "lab-1"')
    end = int(datetime.datetime(2024, 2, 1, tzinfo=datetime.UTC).timestamp() * 1000)
    assert found.of(alert(), end - 1) is not None
    assert found.of(alert(), end) is None
    assert [one.author for one in found.expired(end)] == ["mara"]
    assert found.expired(end - 1) == []


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        (
            ('author = "mara"\n', ""),
            "EX103",
            "line 2: error[EX103]: `author` is missing (hint: who answers for it)",
        ),
        (("expires = 2024-01-31", ""), "EX103", "`expires` is missing"),
        (('reason = "the lab"', 'reason = " "'), "EX104", "`reason` is a text, not empty and not long"),
        (("2024-01-31", '"2024-01-31"'), "EX104", "`expires` is a date"),
        (("2024-01-31", "2024-01-31T00:00:00Z"), "EX104", "`expires` is a date"),
        (
            ('upload"', 'uplaod"'),
            "EX105",
            "no rule is called `crash after uplaod` (hint: did you mean `crash after upload`?)",
        ),
        (
            ("device = ", "devise = "),
            "EX106",
            "`devise` is no key and no step of `crash after upload` "
            "(hint: there are device, app, upload.<field>, x.<field>)",
        ),
        (("device = ", "y.device = "), "EX106", "`y.device` is no key"),
        (('"lab-1"', '{ regex = "." }'), "EX104", "`device` cannot be compared with that"),
        (('"lab-1"', '{ cidr = "10/8/9" }'), "EX104", "`10/8/9` is no network"),
        (("author", "auther"), "EX102", "an exception has no `auther`"),
        (('= "mara"', "= mara"), "EX101", "line 5: error[EX101]: no TOML: invalid value"),
        (('{ device = "lab-1" }', "{}"), "EX104", "`where` is a table with at least one name"),
    ],
)
def test_a_bad_one_is_said_and_the_others_load(change: tuple[str, str], code: str, sentence: str) -> None:
    good = GOOD % 'device = "lab-1"'
    bad = good.replace(*change)
    assert bad != good
    found, problems = read_exceptions(bad + good, dsl.load_text(RULES))
    assert len(found.all) == 1
    assert problems[0].code == code
    assert sentence in str(problems[0])
    assert code in CODES


def test_an_empty_file_has_none() -> None:
    found, problems = read_exceptions("# nothing yet\n", dsl.load_text(RULES))
    assert (found.all, problems) == ((), [])


def test_what_stands_before_the_first_is_said() -> None:
    found, problems = read_exceptions("x = 1\n" + GOOD % 'device = "lab-1"', dsl.load_text(RULES))
    assert [str(p) for p in problems] == [
        "line 1: error[EX102]: `x = 1` belongs to no exception (hint: begin each with [[exception]])"
    ]
    assert len(found.all) == 1


def _change(alert: Alert, activity: Any) -> Alert:
    return msgspec.structs.replace(alert, activity=activity, revision=alert.revision + 1)


def test_it_is_decided_at_the_create_and_holds_for_life() -> None:
    withheld = Withheld()
    create = alert()
    assert withheld.by(create, AT) is None
    withheld.exceptions = read('device = "lab-1"')
    # Published already: it goes on being revised.
    assert withheld.by(_change(create, "close"), AT) is None
    other = msgspec.structs.replace(create, id="other")
    by = withheld.exceptions.all[0].id
    assert withheld.by(other, AT) == by
    withheld.exceptions = Exceptions()
    assert withheld.by(_change(other, "update"), AT) == by
    again = Withheld()
    again.restore(withheld.state())
    assert again.by(_change(other, "close"), AT) == by
    assert again.counts.by_exception == {by: 1}


def test_a_rule_that_is_off_keeps_its_state() -> None:
    withheld = Withheld()
    create = alert()
    assert withheld.switch(["crash_after_upload"]) == (["crash_after_upload"], [])
    assert withheld.by(create, AT) == OFF
    assert withheld.switch([]) == ([], ["crash_after_upload"])
    assert withheld.by(_change(create, "update"), AT) == OFF
    assert withheld.by(msgspec.structs.replace(create, id="next"), AT) is None
    assert withheld.counts.by_rule == {"crash_after_upload": 1}


def test_what_can_no_longer_change_is_forgotten() -> None:
    withheld = Withheld()
    withheld.switch(["crash_after_upload"])
    create = alert()
    withheld.by(create, AT)
    withheld.forget(AT)
    assert withheld.by(_change(create, "update"), AT) == OFF
    withheld.forget(AT + 30 * 86_400_000)
    assert withheld.by(_change(create, "update"), AT) is None


def test_the_page_has_every_code_and_its_example_is_right() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "exceptions.md").read_text("utf-8")
    assert dict(re.findall(r"^\| (EX\d+) \| (.*) \|$", page, re.MULTILINE)) == CODES
    example = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    found, problems = read_exceptions(example[1], dsl.load_text(RULES))
    assert (len(found.all), problems) == (1, [])
