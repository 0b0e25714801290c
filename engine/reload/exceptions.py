"""Exceptions: alerts of a rule that are known and not wanted, without editing the rule.

A TOML file of tables, each an exception for one rule::

    [[exception]]
    rule = "crash after upload"
    where = { device = { like = "lab-*" }, app = "com.acme.fuzz", upload.ip = { cidr = "10.0.0.0/8" } }
    author = "mara"
    reason = "the fuzzing lab crashes apps all day"
    expires = 2027-01-31

``where`` names what of the alert must hold, all of it: ``device``, a key of the rule by its name, or
``step.field``, a field that the alert shows of a step. A value is compared as it is; ``{ like = ... }``
takes ``*`` and ``?``, ``{ cidr = ... }`` a network, and a list holds if one of its values does. What is
missing on an alert never holds.

An exception ends with the day ``expires`` names, in UTC and by the time of the stream. It is decided when an
alert is created and holds for the alert's life. Nothing here knows a clock or a file.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from dsl.diagnostics import nearest
from dsl.literals import check_wildcards
from dsl.model import RuleSet
from engine.alerts import Alert
from engine.runtime_functions import Network, like

CODES: Final = {
    "EX101": "no TOML",
    "EX102": "something that an exception does not have",
    "EX103": "something that an exception needs",
    "EX104": "a value of the wrong form",
    "EX105": "unknown rule",
    "EX106": "unknown name in `where`",
    "EX107": "expired",
}
"""Permanent codes of the messages."""
MOST: Final = 1_000
"""Exceptions in a file. Each alert of a rule is held against those of that rule."""
_NEEDED = ("rule", "where", "author", "reason", "expires")
_TABLE = re.compile(r"^\s*\[\[\s*exception\s*\]\]")
_DAY_MS: Final = 86_400_000
_LONGEST: Final = 1_000
Test = Callable[[Any], bool]


class Problem(msgspec.Struct, frozen=True):
    """What is wrong in a file, and where. An exception with a problem does not apply; the others do."""

    code: str
    message: str
    line: int
    hint: str
    warning: bool = False

    def __str__(self) -> str:
        kind = "warning" if self.warning else "error"
        hint = f" (hint: {self.hint})" if self.hint else ""
        return f"line {self.line}: {kind}[{self.code}]: {self.message}{hint}"


class Excepted(msgspec.Struct, frozen=True):
    """One exception. ``until_ms`` is the first moment at which it no longer applies."""

    id: str
    rule: str
    author: str
    reason: str
    expires: str
    until_ms: int
    shown: str
    tests: tuple[tuple[str, Test], ...]

    def meets(self, alert: Alert) -> bool:
        """Whether all that it names holds of an alert."""
        return all(any(test(value) for value in values_of(alert, name)) for name, test in self.tests)


class Exceptions:
    """All exceptions of a file, by rule."""

    def __init__(self, found: tuple[Excepted, ...] = ()) -> None:
        self.all = found
        self._of_rule: dict[str, list[Excepted]] = {}
        for one in found:
            self._of_rule.setdefault(one.rule, []).append(one)

    def of(self, alert: Alert, now_ms: int) -> Excepted | None:
        """The first exception that an alert meets at a time of the stream."""
        for one in self._of_rule.get(alert.rule.name, ()):
            if now_ms < one.until_ms and one.meets(alert):
                return one
        return None

    def expired(self, now_ms: int) -> list[Excepted]:
        """Those that no longer apply."""
        return [one for one in self.all if now_ms >= one.until_ms]


def values_of(alert: Alert, name: str) -> list[Any]:
    """What an alert shows under a name of ``where``."""
    if name == "device":
        return [alert.device]
    step, dot, field = name.partition(".")
    if not dot:
        value = alert.key.get(name)
        return [] if value is None else [value]
    shown = [one.fields.get(field) for one in alert.steps if one.name.replace(" ", "_") == step]
    return [value for value in shown if value is not None]


def read_exceptions(text: str, ruleset: RuleSet) -> tuple[Exceptions, list[Problem]]:
    """The exceptions of a file for a rule set, and what is wrong with the others."""
    problems: list[Problem] = []
    found: dict[str, Excepted] = {}
    for line, table in _tables(text, problems):
        one = _Reading(line, ruleset, problems).exception(table)
        if one is not None:
            found[one.id] = one
    return Exceptions(tuple(found.values())), problems


def _tables(text: str, problems: list[Problem]) -> list[tuple[int, dict[str, Any]]]:
    """The tables of the file with their lines. Where one is no TOML, the others are read without it."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if _TABLE.match(line)]
    if len(starts) > MOST:
        problems.append(
            Problem("EX102", f"more than {MOST:,} exceptions", starts[MOST] + 1, "write fewer, wider ones")
        )
        del starts[MOST:]
    head = [line for line in lines[: starts[0] if starts else len(lines)] if line.partition("#")[0].strip()]
    if head:
        problems.append(
            Problem(
                "EX102", f"`{_shown(head[0])}` belongs to no exception", 1, "begin each with [[exception]]"
            )
        )
    found: list[tuple[int, dict[str, Any]]] = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=False):
        try:
            tables = tomllib.loads("\n".join(lines[start:end]))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            place = re.search(r"at line (\d+)", str(error))
            line = start + (int(place[1]) if place else 1)
            said = str(error).partition(" (at ")[0]
            problems.append(Problem("EX101", f"no TOML: {said[:1].lower()}{said[1:]}", line, ""))
            continue
        extra = [name for name in tables if name != "exception"]
        if extra:
            problems.append(
                Problem("EX102", f"`{_shown(extra[0])}` is not known here", start + 1, "only [[exception]]")
            )
        found += [(start + 1, table) for table in tables["exception"]]
    return found


class _Reading:
    """One table of the file, which begins at ``line``."""

    def __init__(self, line: int, ruleset: RuleSet, problems: list[Problem]) -> None:
        self._line = line
        self._ruleset = ruleset
        self._problems = problems
        self._found = len(problems)

    def _failed(self) -> bool:
        return len(self._problems) > self._found

    def exception(self, table: Mapping[str, Any]) -> Excepted | None:
        """The exception, or None if something is wrong with it."""
        for name in table:
            if name not in _NEEDED:
                self._say("EX102", f"an exception has no `{_shown(name)}`", f"it has {', '.join(_NEEDED)}")
        for name in _NEEDED:
            if name not in table:
                self._say("EX103", f"`{name}` is missing", _WHY[name])
        if self._failed():
            return None
        rule, where = self._text(table, "rule").replace(" ", "_"), table["where"]
        author, reason = self._text(table, "author"), self._text(table, "reason")
        until = self._expires(table["expires"])
        if not isinstance(where, dict) or not where:
            self._say("EX104", "`where` is a table with at least one name", "where = { device = ... }")
            where = {}
        if not self._failed() and rule not in self._ruleset.rules:
            close = nearest(rule, self._ruleset.rules)
            hint = (
                f"did you mean `{close.replace('_', ' ')}`?" if close else "name a rule of the set in force"
            )
            self._say("EX105", f"no rule is called `{_shown(rule.replace('_', ' '))}`", hint)
        if self._failed():
            return None
        whole = _flat(where, {"device", *self._ruleset.rules[rule].by})
        tests = tuple((name, self._test(name, value)) for name, value in whole)
        for name, _ in tests:
            self._known(rule, name)
        if self._failed():
            return None
        shown = ", ".join(f"{name} = {_shown(str(value))}" for name, value in whole)
        parts = msgspec.json.encode([rule, shown, author, reason, str(table["expires"])])
        id_ = blake2b(parts, digest_size=4).hexdigest()
        return Excepted(id_, rule, author, reason, str(table["expires"]), until, shown, tests)

    def _text(self, table: Mapping[str, Any], name: str) -> str:
        value = table[name]
        if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
            self._say("EX104", f"`{name}` is a text, not empty and not long", _WHY[name])
            return ""
        return value.strip()

    def _expires(self, value: object) -> int:
        if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
            self._say("EX104", "`expires` is a date", _WHY["expires"])
            return 0
        epoch = datetime.date(1970, 1, 1).toordinal()
        return (value.toordinal() - epoch + 1) * _DAY_MS

    def _test(self, name: str, value: Any) -> Test:
        if isinstance(value, list) and value:
            tests = [self._test(name, item) for item in value]
            return lambda found: any(test(found) for test in tests)
        if isinstance(value, dict) and len(value) == 1:
            ((form, text),) = value.items()
            if form == "like" and isinstance(text, str):
                problem = check_wildcards(text)
                if problem is None:
                    match = like(text)
                    return lambda found: isinstance(found, str) and match(found)
                self._say("EX104", f"`{_shown(name)}`: {problem}", "")
                return _nothing
            if form == "cidr" and isinstance(text, str):
                try:
                    network = Network(text)
                except ValueError:
                    self._say("EX104", f"`{_shown(text)}` is no network", 'write it as "10.0.0.0/8"')
                    return _nothing
                return lambda found: isinstance(found, str) and network.has(found)
        if isinstance(value, str | int | float):
            # TRUE is no 1 here.
            return lambda found: type(found) is type(value) and found == value
        self._say(
            "EX104",
            f"`{_shown(name)}` cannot be compared with that",
            'a value, { like = "lab-*" }, { cidr = "10.0.0.0/8" }, or a list of these',
        )
        return _nothing

    def _known(self, rule: str, name: str) -> None:
        found = self._ruleset.rules[rule]
        step, dot, _ = name.partition(".")
        steps = {one.name for one in found.pattern.steps if one.name is not None}
        if name == "device" or (not dot and name in found.by):
            return
        if dot and (step in steps or any(_named(part, step) for part in found.pattern.steps)):
            return
        known = [
            "device",
            *(key for key in found.by if key != "device"),
            *(f"{one}.<field>" for one in sorted(steps)),
        ]
        self._say(
            "EX106",
            f"`{_shown(name)}` is no key and no step of `{rule.replace('_', ' ')}`",
            f"there are {', '.join(known)}",
        )

    def _say(self, code: str, message: str, hint: str) -> None:
        self._problems.append(Problem(code, message, self._line, hint))


def _named(part: Any, step: str) -> bool:
    """Whether a part of a pattern has a step of that name, or one without a name that looks for it."""
    if isinstance(part, tuple):
        return any(_named(item, step) for item in part)
    if not isinstance(part, msgspec.Struct):
        return False
    if getattr(part, "name", None) == step:
        return True
    return any(
        _named(getattr(part, name), step)
        for name in ("node", "source", "pattern", "branches", "steps")
        if hasattr(part, name)
    )


_WHY: Final = {
    "rule": 'the name of one rule: rule = "crash after upload"',
    "where": 'what must hold of the alert: where = { device = "lab-1" }',
    "author": "who answers for it",
    "reason": "why these alerts are not wanted, for who reads this next year",
    "expires": "the last day on which it applies, as a date: expires = 2027-01-31",
}


def _flat(where: Mapping[str, Any], keys: Collection[str]) -> list[tuple[str, Any]]:
    """Names with dots: TOML makes tables of them. ``keys``: names that are no steps."""
    found: list[tuple[str, Any]] = []
    for name, value in where.items():
        place = name.replace(" ", "_")
        if (
            isinstance(value, dict)
            and "." not in place
            and place not in keys
            and not set(value) <= {"like", "cidr"}
        ):
            found += [(f"{place}.{field}", of_field) for field, of_field in value.items()]
        else:
            found.append((place, value))
    return found


def _nothing(found: object) -> bool:
    return False


def _shown(text: str) -> str:
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= 80 else clean[:77] + "..."
