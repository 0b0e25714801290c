"""What a reload did, for logs, notices and status."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.reload.compare import Change

State = Literal["kept", "drained", "dropped", "cold"]


class RuleReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule: what became of it, and of what it knew.

    Attributes:
        fate: ``unchanged``, ``metadata``, ``changed``, ``new`` or ``removed``.
        state: what became of its state. ``cold``: it had none.
        devices: of which it knew something.
        partial: matches that were under way: choices of events waiting for the next.
        alerts: that it had said and could still revise.
        why: why it counts as changed.
    """

    rule: str
    fate: str
    state: State
    devices: int = 0
    partial: int = 0
    alerts: int = 0
    why: str = ""


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
        cold = self.count("cold")
        if cold:
            text += f", {cold:,} new"
        if self.baselines_cold:
            text += f"; baselines that start anew: {', '.join(self.baselines_cold)}"
        if self.ended_early:
            text += f"; too many drain at a time, ended early: {', '.join(self.ended_early)}"
        return text


def _matches(count: int) -> str:
    return "1 match" if count == 1 else f"{count:,} matches"


def state_of(change: Change) -> State:
    """What becomes of a rule's state."""
    if change.fate in ("unchanged", "metadata"):
        return "kept"
    return {"changed": "drained", "removed": "dropped"}.get(change.fate, "cold")  # type: ignore[return-value]  # of these four
