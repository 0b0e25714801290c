"""Logs: one record, one line (or one object); nothing that a terminal obeys; no secret."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.service.operations.logs import ConsoleFormatter, JsonFormatter, Secrets, harmless, set_up
from engine.service.settings import Settings


@pytest.fixture
def root() -> Iterator[None]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


def record(message: str, *arguments: Any, level: int = logging.WARNING, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("thenwire.service", level, "f.py", 1, message, arguments, None)
    made.created, made.msecs = 1_772_438_400.25, 250.0
    made.__dict__.update(fields)
    return made


def test_json_is_one_object_with_fields() -> None:
    text = JsonFormatter(Secrets()).format(record("read %d of %s", 3, "EVENTS", stream="EVENTS", sequence=7))
    assert json.loads(text) == {
        "time": "2026-03-02T08:00:00.250Z",
        "level": "warning",
        "logger": "thenwire.service",
        "message": "read 3 of EVENTS",
        "stream": "EVENTS",
        "sequence": 7,
    }


def test_the_console_is_for_people() -> None:
    text = ConsoleFormatter(Secrets()).format(record("reconnected", attempt=2))
    assert text == "2026-03-02 08:00:00.250Z WARNING reconnected attempt=2"
    coloured = ConsoleFormatter(Secrets(), colours=True).format(record("reconnected"))
    assert coloured == "\033[33m2026-03-02 08:00:00.250Z WARNING reconnected\033[0m"


def test_what_comes_from_outside_cannot_forge_a_line_or_move_the_cursor() -> None:
    hostile = "kind\nERROR forged \x1b[2J\x07\u202egnp\u2028\u0085\x00"
    for formatter in (ConsoleFormatter(Secrets()), JsonFormatter(Secrets())):
        text = formatter.format(record("passed over %s", hostile, field=hostile))
        assert text.isprintable(), text
        assert len(text.splitlines()) == 1
    assert harmless(hostile) == r"kind\nERROR forged \x1b[2J\x07\u202egnp\u2028\x85\x00"


@given(st.text())
def test_any_text_becomes_one_printable_line(text: str) -> None:
    assert harmless(text).isprintable() or set(harmless(text)) <= {*map(chr, range(32, 127)), "\xa0", *text}
    line = JsonFormatter(Secrets()).format(record("%s", text))
    assert len(line.splitlines()) == 1
    assert json.loads(line)["message"] == harmless(text[: 8 * 1024])


def test_secrets_are_masked_everywhere() -> None:
    secrets = Secrets()
    secrets.hide_login(
        Settings(servers=("nats://me:hunter2@a:4222", "nats://tok3n@b:4222"), user="me", password="s3cr3t")
    )
    try:
        raise ValueError("cannot log in as me with s3cr3t at nats://me:hunter2@a:4222")
    except ValueError:
        failure = sys.exc_info()
    for formatter in (ConsoleFormatter(secrets), JsonFormatter(secrets)):
        made = record(
            "login %s at %s", "s3cr3t", "tls://x:other@c:1", where="nats://tok3n@b:4222", pw="s3cr3t"
        )
        made.exc_info = failure
        text = formatter.format(made)
        for secret in ("hunter2", "s3cr3t", "tok3n", "other"):
            assert secret not in text, text
        assert "***" in text
        assert "ValueError" in text


def test_tracebacks_stay_one_record() -> None:
    try:
        raise ValueError("a\x1b[31m\nb")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    shown = ConsoleFormatter(Secrets()).format(made)
    first, *rest = shown.splitlines()
    assert first.endswith("WARNING failed")
    assert all(line.startswith("    ") for line in rest), "no line of a traceback looks like a record"
    assert "\x1b" not in shown
    assert "ValueError: a\\x1b[31m" in json.loads(JsonFormatter(Secrets()).format(made))["exception"]


def test_a_wrong_call_costs_no_line() -> None:
    assert "%d of" in JsonFormatter(Secrets()).format(record("%d of", "x"))


def test_very_long_messages_are_cut() -> None:
    text = json.loads(JsonFormatter(Secrets()).format(record("x" * 100_000)))["message"]
    assert len(text) == 8 * 1024 + 3


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("form", "terminal", "is_json"),
    [
        (None, False, True),
        (None, True, False),
        ("json", True, True),
        ("console", False, False),
    ],
)
def test_the_form_follows_the_terminal_unless_named(form: str | None, terminal: bool, is_json: bool) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    set_up(logging.INFO, form, Secrets(), stream)
    logging.getLogger("thenwire.service").info("here")
    logging.getLogger("thenwire.service").debug("not here")
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("{") == is_json
    assert "here" in line
