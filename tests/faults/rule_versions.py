"""Versions of the campaign's rules, one after the other, from a seed: what people change while a service
runs.

The first version is ``rules.rule`` with what only a changing set needs: a PARAM, a LIST from a file, and a
TEST, so that a set can be refused for failing it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from random import Random
from typing import Final

import msgspec
from workload import RULES

import dsl
from engine.reload.bundle import bundle_of

LIST: Final = "watched"
LIST_FILE: Final = "watched.txt"
_EXTRA: Final = """
PARAM many = 700KB

LIST watched FROM "watched.txt" REFRESH 1s

# A PARAM and a LIST decide, in the first step and in the last.
RULE watched app "A watched app sends much, then another event of a watched app" {
  WHEN net flow [bytes_out > many] AS flow THEN app exit [app IN LIST watched] AS ending WITHIN 3s
  SEVERITY medium
}

TEST "an upload and a crash" FOR upload then crash {
  AT 0s net flow { app: "a" bytes_out: 2_000_000 }
  AT 1s app exit { app: "a" class: "memory_violation" }
  EXPECT ALERT @1s { severity: "high" }
}
"""
_ADDED: Final = """
RULE opened twice "A user opens two sessions" {
  BY device, user
  WHEN session [phase == "open"] AS first THEN session [phase == "open"] AS second WITHIN 5s
  SEVERITY low
}
"""
_APPS: Final = ("app0", "app1", "app2", "app3")
_EDITS: Final = {
    "AS crash\n    WITHIN 4s\n  UNLESS app update WITHIN 2s BEFORE\n  SEVERITY high": [
        ("4s", "{upload_within}s"),
        ("high", "{upload_severity}"),
    ],
    "AS copy\n    WITHIN 6s\n  SEVERITY medium": [
        ("6s", "{copied_within}s"),
        ("medium", "{copied_severity}"),
    ],
    "sensor == beat.sensor] FOR 2s\n  SEVERITY low": [
        ("2s", "{silent_for}s"),
        ("low", "{silent_severity}"),
    ],
    "AT LEAST 4 app exit IN 3s AS exits\n  SEVERITY medium\n  SUPPRESS 5s": [
        ("LEAST 4", "LEAST {loop_least}"),
        ("5s", "{loop_suppress}s"),
    ],
    'severity: "high"': [("high", "{upload_severity}")],
    "many = 700KB": [("700", "{many}")],
    "WARMUP 8": [("8", "{warmup}")],
    "GRACE 400ms": [("400", "{grace}")],
}
"""What of the text is replaced by which setting."""


class Version(msgspec.Struct, frozen=True):
    """A set as it stands in the files. ``kind``: what was changed against the one before."""

    hash: str
    text: str
    kind: str
    good: bool


class Versions:
    """Gives one version after the other. What is bad changes nothing of the good ones after it."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed + 5)
        self._settings: dict[str, object] = {
            "upload_within": 4,
            "upload_severity": "high",
            "copied_within": 6,
            "copied_severity": "medium",
            "silent_for": 2,
            "silent_severity": "low",
            "loop_least": 4,
            "loop_suppress": 5,
            "many": 700,
            "warmup": 8,
            "grace": 400,
            "added": False,
        }
        self._changes: dict[str, tuple[Callable[[], dict[str, object]], int]] = {
            "metadata": (self._metadata, 3),
            "pattern": (self._pattern, 4),
            "param": (lambda: {"many": self._other("many", 600, 700, 800, 1_500)}, 2),
            "rule added or removed": (lambda: {"added": not self._settings["added"]}, 2),
            "baseline": (lambda: {"warmup": self._other("warmup", 6, 8, 10)}, 1),
            "event": (lambda: {"grace": self._other("grace", 300, 400, 500)}, 1),
        }
        self.first = self._version("first")

    def entries(self) -> tuple[str, ...]:
        """Entries for the LIST's file."""
        return tuple(sorted(self._random.sample(_APPS, self._random.randrange(1, 4))))

    def next(self) -> Version:
        """Another good set."""
        kinds = list(self._changes)
        kind = self._random.choices(kinds, [weight for _, weight in self._changes.values()])[0]
        self._settings |= self._changes[kind][0]()
        return self._version(kind)

    def bad(self) -> Version:
        """A set that must be refused."""
        text = self._text()
        kind = self._random.choice(["syntax", "unknown", "failing test", "no rule"])
        broken = {
            "syntax": text.replace("RULE crash loop", "RULE crash loop WHEN {", 1),
            "unknown": text.replace("WHEN sensor beat AS", "WHEN nobody beat AS", 1),
            "failing test": text.replace("EXPECT ALERT @1s", "EXPECT ALERT @2s", 1),
            # The number makes it another set each time.
            "no rule": f"# {self._random.randrange(10**9)}\nEVENT ping {{ host: string }}\n",
        }[kind]
        assert broken != text
        return Version(_hash(broken), broken, f"refused, {kind}", False)

    def _metadata(self) -> dict[str, object]:
        return self._random.choice(
            [
                lambda: {"upload_severity": self._other("upload_severity", "high", "critical", "medium")},
                lambda: {"copied_severity": self._other("copied_severity", "low", "medium", "high")},
                lambda: {"silent_severity": self._other("silent_severity", "low", "medium")},
                lambda: {"loop_suppress": self._other("loop_suppress", 3, 5, 7)},
            ]
        )()

    def _pattern(self) -> dict[str, object]:
        return self._random.choice(
            [
                lambda: {"upload_within": self._other("upload_within", 3, 4, 5)},
                lambda: {"copied_within": self._other("copied_within", 5, 6, 7)},
                lambda: {"silent_for": self._other("silent_for", 2, 3)},
                lambda: {"loop_least": self._other("loop_least", 3, 4, 5)},
            ]
        )()

    def _other(self, name: str, *values: object) -> object:
        return self._random.choice([value for value in values if value != self._settings[name]])

    def _version(self, kind: str) -> Version:
        text = self._text()
        return Version(_hash(text), text, kind, True)

    def _text(self) -> str:
        text = RULES.read_text() + _EXTRA
        names = {name: str(value) for name, value in self._settings.items()}
        edits = {
            old: reduce(lambda done, pair: done.replace(pair[0], pair[1].format(**names)), changes, old)
            for old, changes in _EDITS.items()
        }
        for old, new in edits.items():
            assert old in text, old
            text = text.replace(old, new)
        return text + (_ADDED if self._settings["added"] else "")


def _hash(text: str) -> str:
    return bundle_of(dsl.load_text(text)).hash
