"""What the endpoints over NATS take and give, as JSON. Times are epoch milliseconds."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.explain.history import History


class StatusRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many ``rules`` and ``kinds`` are given: those with most matches, and most events."""

    rules: int = 200
    kinds: int = 200


class RulesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``skip`` rules are left out, in order of name, and at most ``most`` are given."""

    skip: int = 0
    most: int = 500


class RuleInfo(msgspec.Struct, frozen=True):
    """One rule that runs. ``hash`` is of what it matches, as in alerts."""

    name: str
    title: str
    status: str
    version: str
    hash: str
    file: str


class RulesAnswer(msgspec.Struct, frozen=True):
    """``total`` rules run; these are some of them."""

    total: int
    rules: list[RuleInfo]


class CheckRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rule text to be checked, alone or (``with_running``) together with what the service runs."""

    text: str
    name: str = "request.rule"
    with_running: bool = True


class CheckAnswer(msgspec.Struct, frozen=True):
    """``ok``: no error. The diagnostics are those of ``thenwire check --json``."""

    ok: bool
    errors: int
    warnings: int
    diagnostics: list[dict[str, Any]]


class ExplainRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a rule that runs."""

    rule: str
    code: bool = False


class ExplainAnswer(msgspec.Struct, frozen=True):
    """The text of ``thenwire explain``, and the same as an object."""

    text: str
    explanation: dict[str, Any]


class WhyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As ``thenwire why``; ``since`` is a duration such as ``2h``: how far back the stream is read."""

    rule: str
    device: str
    at: str | None = None
    since: str = "24h"


class BaselineRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As ``thenwire baseline show``; ``key`` holds fields and the values that a key must have."""

    device: str
    key: dict[str, str] = {}
    baselines: list[str] = []
    since: str | None = None
    """A duration; None for all that the stream holds."""
    most: int = 12
    """Keys given; of more only the number is told."""


class BaselineAnswer(msgspec.Struct, frozen=True):
    """The histories of the keys with most points, and how many keys were left out."""

    histories: list[History]
    left: int


class InForceAnswer(msgspec.Struct, frozen=True):
    """What ``thenwire rules status --json`` prints: the set in force and since when, what drains until when,
    what is withheld, and what was refused last.
    """

    status: dict[str, Any]


class Done(msgspec.Struct, frozen=True):
    """What was begun, in one sentence."""

    message: str
