"""What follows from an event's time: its minute and its buckets.

Events come nearly in order of their times, so most of them are of the same minute as the one before: what
follows from the minute is worked out when it changes.
"""

from __future__ import annotations

from engine.baselines.rows import MINUTE_MS

_BEGIN, _END = 0, 1


class Ticks:
    """Numbers that are the same for all times from ``cells[0]`` up to ``cells[1]``, without it.

    Attributes:
        minute: name of the minute.
        cells: what generated code reads, and has renewed by :meth:`tick` when a time is not in it.
    """

    def __init__(self) -> None:
        self.cells: list[int] = [0, 0]
        self._parts: list[tuple[int, int, int]] = []
        self.minute = self.part(MINUTE_MS)

    def part(self, length_ms: int, plus: int = 0, mask: int = -1) -> str:
        """Name of ``time // length_ms + plus & mask``."""
        part = (length_ms, plus, mask)
        if part not in self._parts:
            self._parts.append(part)
            # Whatever time it was, it is to be worked out anew.
            self.cells[:2] = 0, 0
            self.cells.append(0)
        return self._name(self._parts.index(part))

    def _name(self, number: int) -> str:
        return f"tick_{number}" if number else "minute"

    def parts(self) -> list[tuple[str, int]]:
        """All names and their places in ``cells``."""
        return [(self._name(number), 2 + number) for number in range(len(self._parts))]

    def tick(self, time: int) -> None:
        """Come to a time."""
        cells = self.cells
        begin, end = 0, time + MINUTE_MS
        for number, (length, plus, mask) in enumerate(self._parts, 2):
            whole = time // length
            begin = max(begin, whole * length)
            end = min(end, (whole + 1) * length)
            cells[number] = whole + plus & mask
        cells[_BEGIN], cells[_END] = begin, end
