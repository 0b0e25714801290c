"""What a TEST may give a baseline: which parts, by estimator. LANGUAGE.md section 5."""

from __future__ import annotations

from typing import Any

_PARTS = {
    "robust": ("center", "spread", "n"),
    "novelty": ("seen",),
    "cadence": ("period", "regularity"),
    "fanout": ("now", "center", "spread", "n"),
    "hours": ("active", "n"),
}
_LISTS = frozenset({"seen", "active"})
_PREVALENCE = '{ "x.example": 0.001 devices: 500 }'


def wrong_state(using: str, state: dict[str, Any]) -> str | None:
    """What is wrong with the state given to a baseline of that estimator; None if nothing is."""
    if using == "prevalence":
        return _wrong_prevalence(state)
    parts = _PARTS[using]
    if set(state) != set(parts):
        shown = " ".join(map(str, state)) or "nothing"
        return f"a {using} baseline is given as {{ {' '.join(parts)} }}, not {{ {shown} }}"
    for name, value in state.items():
        if name in _LISTS:
            if not isinstance(value, list):
                return f"`{name}` is a list"
        elif not _number(value) or value < 0:
            return f"`{name}` is a number, not below zero"
    if using == "hours" and not all(isinstance(x, int) and 0 <= x < 24 for x in state["active"]):
        return "`active` lists hours of the day in UTC, 0 to 23"
    if using == "cadence" and state["regularity"] > 1:
        return "`regularity` is at most 1"
    return None


def _wrong_prevalence(state: dict[str, Any]) -> str | None:
    if not isinstance(state.get("devices"), int) or isinstance(state["devices"], bool):
        return f"a prevalence baseline is given as {_PREVALENCE}"
    shares = [value for name, value in state.items() if name != "devices"]
    if not all(_number(share) and 0 <= share <= 1 for share in shares):
        return "a share of devices is a number from 0 to 1"
    return None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
