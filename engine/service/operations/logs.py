"""Logs: for people on a console, or one JSON object a line.

Log messages carry text from outside (kinds, subjects, error texts), and logs are read in terminals and by
programs that split lines: control characters, line breaks and characters that turn the direction of text
are written as escapes. Secrets: what `hide` was given and logins inside URLs never come out, also not in
tracebacks.

Fields: what a call gives as ``extra`` stands beside the message, in JSON under its own name.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import unicodedata
from typing import IO, Any, Final

import msgspec

from engine.service.settings import Settings

CONSOLE: Final = "console"
JSON: Final = "json"
FORMATS: Final = (CONSOLE, JSON)
LONGEST_MESSAGE: Final = 8 * 1024
_HIDDEN: Final = "***"
_SHORTEST_SECRET: Final = 3
"""A password of one or two letters is not looked for: it would blacken every line."""
_URL_LOGIN = re.compile(r"(?<=://)[^\s/@]+@")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_COLOURS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[1;31m", "DEBUG": "\033[2m"}
_RESET = "\033[0m"


def harmless(text: str) -> str:
    """One line that no terminal obeys: what is not printable becomes ``\\n``, ``\\x1b``, ``\\u202e``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\N{NO-BREAK SPACE}" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")


class Secrets:
    """What must not be written."""

    def __init__(self) -> None:
        self._known: list[str] = []

    def hide(self, *secrets: str | None) -> None:
        """Never write these from now on."""
        found = {*self._known, *(s for s in secrets if s and len(s) >= _SHORTEST_SECRET)}
        # The longest first: one may be part of another.
        self._known = sorted(found, key=len, reverse=True)

    def hide_login(self, settings: Settings) -> None:
        """Never write the secrets of these settings."""
        self.hide(settings.password, settings.token)
        for url in settings.servers:
            login = url.rpartition("://")[2].rpartition("@")[0]
            self.hide(login, login.partition(":")[2])

    def without(self, text: str) -> str:
        """The text with every secret masked."""
        for secret in self._known:
            text = text.replace(secret, _HIDDEN)
        return _URL_LOGIN.sub(f"{_HIDDEN}@", text)


class _Formatter(logging.Formatter):
    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def text(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except Exception:
            # A wrong call must not cost the line.
            message = f"{record.msg} {record.args}"
        message = harmless(self._secrets.without(message))
        if len(message) > LONGEST_MESSAGE:
            return message[:LONGEST_MESSAGE] + "..."
        return message

    def trace(self, record: logging.LogRecord) -> list[str]:
        if record.exc_info is None:
            return []
        text = self.formatException(record.exc_info)
        return [harmless(line) for line in self._secrets.without(text).splitlines()]

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in record.__dict__.items():
            if name not in _STANDARD and not name.startswith("_"):
                plain = isinstance(value, int | float | bool) or value is None
                found[name] = value if plain else harmless(self._secrets.without(str(value)))
        return found


class ConsoleFormatter(_Formatter):
    """``2026-03-02 08:00:00.123 WARNING message name=value``; colours where there is a terminal."""

    def __init__(self, secrets: Secrets, colours: bool = False) -> None:
        super().__init__(secrets)
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record.created))
        fields = "".join(f" {name}={value}" for name, value in self.fields(record).items())
        line = f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {self.text(record)}{fields}"
        colour = _COLOURS.get(record.levelname, "") if self._colours else ""
        if colour:
            line = f"{colour}{line}{_RESET}"
        return "\n".join([line, *(f"    {row}" for row in self.trace(record))])


class JsonFormatter(_Formatter):
    """One object a line: ``time`` (RFC 3339), ``level``, ``logger``, ``message``, fields, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.text(record),
        }
        line.update({name: value for name, value in self.fields(record).items() if name not in line})
        trace = self.trace(record)
        if trace:
            line["exception"] = "\n".join(trace)
        return msgspec.json.encode(line).decode()


def set_up(level: int, form: str | None, secrets: Secrets, stream: IO[str] | None = None) -> None:
    """Have all logs of this process written to ``stream`` (standard error) from ``level`` on.

    ``form`` is one of `FORMATS`; None is the console form on a terminal, else JSON.
    """
    target = sys.stderr if stream is None else stream
    terminal = target.isatty()
    handler = logging.StreamHandler(target)
    if form == JSON or (form is None and not terminal):
        handler.setFormatter(JsonFormatter(secrets))
    else:
        handler.setFormatter(ConsoleFormatter(secrets, colours=terminal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
