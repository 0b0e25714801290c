"""What follows from an event's time: its minute and its buckets.

Events come nearly in order of their times, so most of them are of the same minute as the one before: what
follows from the minute is worked out when it changes.
"""

from __future__ import annotations

from typing import Any

from engine.baselines.rows import MINUTE_MS


class Ticks:
    """Numbers that are the same for all times from ``begin`` up to ``end``, without it. Generated code reads
    them as globals, and has them renewed by :meth:`tick` when a time is not among those.

    Args:
        prefix: of the names.

    Attributes:
        begin, end, minute: names of those times and of the minute.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._parts: list[tuple[int, int, int]] = []
        self._shown: list[dict[str, Any]] = []
        self._known: dict[str, int] = {}
        self.begin, self.end = f"{prefix}begin", f"{prefix}end"
        self.minute = self.part(MINUTE_MS)

    def part(self, length_ms: int, plus: int = 0, mask: int = -1) -> str:
        """Name of ``time // length_ms + plus & mask``."""
        part = (length_ms, plus, mask)
        if part not in self._parts:
            self._parts.append(part)
            # Whatever time it was, it is to be worked out anew.
            self._know({self.begin: 0, self.end: 0, self._name(len(self._parts) - 1): 0})
        return self._name(self._parts.index(part))

    def _name(self, number: int) -> str:
        return f"{self._prefix}{number}" if number else f"{self._prefix}minute"

    def shown_in(self, names: dict[str, Any]) -> None:
        """Have these globals of generated code be the numbers, always those of the last :meth:`tick`."""
        if not any(shown is names for shown in self._shown):
            self._shown.append(names)
        names.update(self._known)

    def _know(self, numbers: dict[str, int]) -> None:
        self._known.update(numbers)
        for names in self._shown:
            names.update(numbers)

    def tick(self, time: int) -> None:
        """Come to a time."""
        numbers: dict[str, int] = {}
        begin, end = 0, time + MINUTE_MS
        for number, (length, plus, mask) in enumerate(self._parts):
            whole = time // length
            begin = max(begin, whole * length)
            end = min(end, (whole + 1) * length)
            numbers[self._name(number)] = whole + plus & mask
        numbers[self.begin], numbers[self.end] = begin, end
        self._know(numbers)
