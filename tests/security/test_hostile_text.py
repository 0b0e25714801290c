"""Device ids, apps and other texts that anyone may have chosen change nothing but the text that is shown."""

from __future__ import annotations

import io
import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

import dsl
from engine.alerts import Alert
from engine.cli import main
from engine.cli.alerts import alert_line
from engine.cli.common import complain
from engine.cli.show import alert_panel, alert_table
from engine.service.checkpoints.model import Checkpoint, Mark
from engine.service.checkpoints.sqlite import SqliteStore
from engine.service.matching import MatchingProcessor
from engine.service.operations.logs import ConsoleFormatter, JsonFormatter, Secrets
from engine.service.processor import Outgoing
from engine.service.serve import run_loop
from engine.service.subjects import decode_token, header_value

RULES = """
EVENT flow LATE 1m { app: string }
EVENT crash { app: string }
RULE flow then crash {
  BY device, app
  WHEN flow AS f THEN crash AS c WITHIN 10m
  SEVERITY high
  ALERT { title: "{f.app} on {device}" }
}
"""
NOW_MS = 1_772_438_400_000
NASTY = [
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
    "a\r\nPUB alerts.critical.x.y 2\r\nhi",
    "a.>.*",
    "<script>alert(1)</script>",
    "\" onload='alert(1)' x=\"",
    "</script><img src=x onerror=alert(1)>",
    "<!--",
    "]]>",
    "'; DROP TABLE devices; --",
    "../../../../etc/passwd",
    "/etc/passwd\x00",
    "[bold red]x[/bold red][link=http://x]y[/link]",
    "{f.app} {0.__class__} %s %n",
    "\u2028\u2029\x85",
    "=cmd|' /C calc'!A0",
    "$(reboot)`reboot`",
    "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH SPACE}",
    "\U000e0041\ufeff",
]
TEXT = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
SUBJECT = re.compile(r"(alerts|ocsf)\.high\.flow_then_crash\.[A-Za-z0-9_=-]+")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
SET_APART = ("span", "time")
LOADED = dsl.load_text(RULES)
assert not LOADED.errors


def published(device: str, app: str) -> list[Outgoing]:
    processor = MatchingProcessor(LOADED, ocsf=True)
    found: list[Outgoing] = []
    for sequence, event in enumerate(
        (
            {"kind": "flow", "device": device, "app": app, "time": NOW_MS, "id": app},
            {"kind": "crash", "device": device, "app": app, "time": NOW_MS + 1_000, "source": app},
            {"kind": app, "device": device, "time": NOW_MS},
            {"kind": "flow", "device": device, "app": app, "time": app},
            {"kind": "flow", "device": device, "time": NOW_MS, app: app},
            {"kind": "flow", "device": device, "app": app, "time": NOW_MS + 3_600_000},
            {"kind": "flow", "device": device, "app": app, "time": NOW_MS + 1},
        ),
        1,
    ):
        raw = msgspec.json.encode(event)
        found += processor.process(raw, None, sequence, "EVENTS", "events.x", NOW_MS + 3_700_000)
    return found


def alert_of(outgoing: list[Outgoing]) -> Alert:
    payload = next(one.payload for one in outgoing if one.subject.startswith("alerts."))
    return msgspec.json.decode(payload, type=Alert)


@settings(max_examples=60, deadline=None)
@given(TEXT, TEXT)
@example(NASTY[3], NASTY[4])
def test_nothing_leaves_its_place_in_a_message(device: str, app: str) -> None:
    found = published(device, app)
    forms = [one for one in found if one.subject.startswith(("alerts.", "ocsf."))]
    assert len(forms) == 2
    for one in forms:
        assert SUBJECT.fullmatch(one.subject)
        token = one.subject.rpartition(".")[2]
        assert "==" in token or decode_token(token) == device
    for one in found:
        assert re.fullmatch(r"[!-~]+", one.subject), one.subject
        assert re.fullmatch(r"[ -~]+", one.message_id), one.message_id
        for name, value in one.headers.items():
            assert re.fullmatch(r"[A-Za-z-]+", name)
            assert re.fullmatch(r"[\x20-\x7e]*", header_value(value))
    alert, finding = (json.loads(one.payload) for one in forms)
    assert alert["device"] == device
    assert alert["key"] == {"device": device, "app": app}
    assert finding["finding_info"]["uid"] == alert["id"]


@settings(max_examples=60, deadline=None)
@given(TEXT, TEXT)
@example(NASTY[0], NASTY[13])
def test_a_terminal_is_shown_text_and_nothing_that_acts(device: str, app: str) -> None:
    alert = alert_of(published(device, app))
    for terminal in (False, True):
        stream = io.StringIO()
        console = Console(
            file=stream,
            force_terminal=terminal,
            width=4_000,
            color_system="256",
            highlight=False,
            legacy_windows=False,
        )
        for shown in (alert_table([alert]), alert_panel(alert), alert_line(alert)):
            console.print(shown)
        plain = COLOURS.sub("", stream.getvalue())
        assert plain.replace("\n", "").isprintable()
        # Markup of rich is text like any other.
        if device == "[bold red]x[/bold red][link=http://x]y[/link]":
            assert device in plain


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_sentence_of_the_command_has_nothing_that_acts(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        from engine.cli import common

        stream = io.StringIO()
        patch.setattr(common, "err", Console(file=stream, highlight=False, soft_wrap=True))
        complain(text)
        assert stream.getvalue().replace("\n", "").isprintable()


@given(TEXT)
def test_a_finding_in_a_rule_file_has_nothing_that_acts(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        from engine.cli import common

        ruleset = dsl.load_text(f"EVENT flow {text}\n{RULES}\nRULE {text} {{", file=f"{text}.rule")
        stream = io.StringIO()
        console = Console(file=stream, highlight=False, soft_wrap=True)
        patch.setattr(common, "err", console)
        common.print_diagnostics(ruleset, ruleset.errors, console)
        assert stream.getvalue().replace("\n", "").isprintable()


@given(TEXT)
def test_a_line_of_the_log_is_a_line(text: str) -> None:
    record = logging.LogRecord("thenwire.service", logging.WARNING, "f.py", 1, "kind %s", (text,), None)
    for formatter in (ConsoleFormatter(Secrets()), JsonFormatter(Secrets())):
        assert formatter.format(record).replace("\N{NO-BREAK SPACE}", " ").isprintable()


class Tags(HTMLParser):
    """The shape of a page: its tags, and the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def replayed(folder: Path, device: str, app: str) -> tuple[list[tuple[str, tuple[str, ...]]], set[str]]:
    """The shape of the page of a replay, and the files that there are afterwards."""
    folder.mkdir()
    (folder / "r.rule").write_text(RULES)
    events = [
        {
            "kind": kind,
            "device": device,
            "app": app,
            "time": NOW_MS + time,
            "id": f"{app}{time}",
            "source": app,
        }
        for time, kind in ((0, "flow"), (1_000, "crash"))
    ]
    (folder / "events.ndjson").write_bytes(b"\n".join(map(msgspec.json.encode, events)))
    page = folder / "page.html"
    assert (
        main(
            [
                "replay",
                "--rules",
                str(folder / "r.rule"),
                "--report",
                str(page),
                str(folder / "events.ndjson"),
            ]
        )
        < 2
    )
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return Tags(page.read_text("utf-8")).found, files


def test_a_page_keeps_its_shape_and_no_other_file_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    expected, files = replayed(tmp_path / "plain", "device", "app")
    assert len(expected) > 50
    for number, text in enumerate(NASTY):
        found, more = replayed(tmp_path / str(number), text, text)
        # Brackets in a sentence are set apart, so the number of spans and times may differ, and no other.
        assert set(found) <= {*expected, ("span", ("class",)), ("time", ("datetime",))}, text
        assert [one for one in found if one[0] not in SET_APART] == [
            one for one in expected if one[0] not in SET_APART
        ], text
        assert more == files
        printed = COLOURS.sub("", capsys.readouterr().out)
        assert printed.replace("\n", "").isprintable(), text
    assert {path.name for path in tmp_path.iterdir()} == {"plain", *map(str, range(len(NASTY)))}


def test_a_store_keeps_any_device_id(tmp_path: Path) -> None:
    ids = [*NASTY, "", "\x00", "\ud800", "%", "_", "a" * 256]
    mark = Mark(
        generation=1, stream="S", stream_created="c", sequence=1, received_ms=1, written_ms=1, rules="r"
    )

    async def scenario() -> list[tuple[str, bytes]]:
        store = SqliteStore(tmp_path / "state.db")
        await store.open(None)
        states: dict[str, bytes | None] = {text: repr(text).encode() for text in ids}
        await store.commit(Checkpoint(mark, b"shared", states))
        gone = msgspec.structs.replace(mark, generation=2, sequence=2)
        await store.commit(Checkpoint(gone, b"shared", {"%": None, NASTY[10]: None}))
        saved = await store.load()
        await store.close()
        assert saved is not None
        return saved.devices

    found = dict(run_loop(scenario()))
    assert found == {text: repr(text).encode() for text in ids if text not in ("%", NASTY[10])}
