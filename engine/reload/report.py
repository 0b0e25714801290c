"""What a reload did, for logs, notices and status."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.alerts import rfc3339
from engine.reload.compare import Change

State = Literal["kept", "drained", "dropped", "cold", "filled"]


class RuleReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule: what became of it, and of what it knew.

    Attributes:
        fate: ``unchanged``, ``metadata``, ``changed``, ``new`` or ``removed``.
        state: what became of its state. ``cold``: it had none. ``filled``: it had none, and was given what
            the stream holds of the past.
        devices: of which it knew something.
        partial: matches that were under way: choices of events waiting for the next.
        alerts: that it had said and could still revise.
        why: why it counts as changed.
        anew: matches under way that its new version was given, where the old one drains and the new one was
            filled; None where it was not.
    """

    rule: str
    fate: str
    state: State
    devices: int = 0
    partial: int = 0
    alerts: int = 0
    why: str = ""
    anew: int | None = None


class FilledWith(msgspec.Struct, frozen=True):
    """The part of the stream that rules were filled with: all from ``first`` on, which was stored at
    ``stored_ms``, up to the reload; so many messages.
    """

    first: int
    stored_ms: int
    messages: int


class ReloadReport(msgspec.Struct, frozen=True):
    """One reload. It took effect after the message ``sequence``, which was stored at ``at_ms``."""

    sequence: int
    at_ms: int
    hash_before: str
    hash_after: str
    rules: tuple[RuleReport, ...]
    baselines_kept: tuple[str, ...]
    baselines_cold: tuple[str, ...]
    ended_early: tuple[str, ...] = ()
    """Rules whose draining versions ended now because too many drain at a time."""
    filled_with: FilledWith | None = None
    """What the rules that began without a past were given; None: they begin cold."""
    baselines_filled: tuple[str, ...] = ()
    """Those that would have begun cold."""

    def partial(self, state: State) -> int:
        """How many matches under way were kept, drained or dropped."""
        return sum(one.partial for one in self.rules if one.state == state)

    def count(self, state: State) -> int:
        """How many rules were."""
        return sum(one.state == state for one in self.rules)

    def __str__(self) -> str:
        said = [
            f"{self.count(state):,} {state} ({_matches(self.partial(state))} under way)"
            for state in ("kept", "drained", "dropped")
        ]
        text = f"rules {self.hash_after} in force after sequence {self.sequence:,}: {', '.join(said)}"
        new, filled = self.count("cold") + self.count("filled"), self.filled_with
        if new:
            text += f", {new:,} new"
        if filled is not None:
            count = self.count("filled") + sum(one.anew is not None for one in self.rules)
            text += (
                f"; {_rules(count)} filled with the {filled.messages:,} messages stored from "
                f"{rfc3339(filled.stored_ms)} on"
            )
        if self.baselines_filled:
            text += f"; baselines that begin with these: {', '.join(self.baselines_filled)}"
        if self.baselines_cold:
            text += f"; baselines that start anew: {', '.join(self.baselines_cold)}"
        if self.ended_early:
            text += f"; too many drain at a time, ended early: {', '.join(self.ended_early)}"
        return text


def _matches(count: int) -> str:
    return "1 match" if count == 1 else f"{count:,} matches"


def _rules(count: int) -> str:
    return "1 rule" if count == 1 else f"{count:,} rules"


def state_of(change: Change) -> State:
    """What becomes of a rule's state."""
    if change.fate in ("unchanged", "metadata"):
        return "kept"
    return {"changed": "drained", "removed": "dropped"}.get(change.fate, "cold")  # type: ignore[return-value]  # of these four
