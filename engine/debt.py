"""A bound on what one moment may cost.

Two things can ask for much work at once. An event out of order makes the kept events around it run again:
some tens for an honest device, but up to all that are kept for one that sends a flood backwards. And where
many deadlines pass together, as when a source goes silent, each has to be judged. What such work costs is
owed; every event that fits something, and every millisecond of the wall clock, pays a little back. While more
is owed than ``LIMIT``, late events of a device are only kept, and its answer is brought up to date when the
debt is paid: later, and once for all of them. Deadlines that are many go a few at a time, whenever nothing is
owed (``engine.deadlines``). So a flood delays alerts, and the answer at the end is the same.

It all follows from the input, so the same input gives the same alerts at the same places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from engine.alerts import Alert
    from engine.rule_runtime import RuleRuntime

LIMIT: Final = 20_000
"""Events run again, ahead of what is paid, before reruns wait: some tenths of a second."""
PAID_BY_EVENT: Final = 32
"""Reruns then cost at most as much as so many kept events for each event that fits: a message of a hundred
events holds others up for some ten milliseconds."""
PAID_BY_MILLISECOND: Final = 50
"""About a quarter of a core."""
MOST_MILLISECONDS: Final = 20
"""Paid at once: after an hour without a message the first one is not to pay for all of it."""


class Portions(Protocol):
    """Work that is done in portions when nothing is owed; each portion owes what it cost."""

    @property
    def waiting(self) -> bool:
        """Whether there is any."""
        ...

    def serve(self, out: list[Alert]) -> None:
        """Do the next portion; alerts go to ``out``."""
        ...


class Debt:
    """The debt of one matcher, and the devices that wait for it to be paid."""

    __slots__ = ("_now", "_portions", "_waiting", "owed")

    def __init__(self) -> None:
        self.owed = 0
        self._now: int | None = None
        self._waiting: dict[tuple[int, str], RuleRuntime] = {}
        self._portions: Portions | None = None

    @property
    def exceeded(self) -> bool:
        """Whether reruns have to wait."""
        return self.owed > LIMIT

    @property
    def waiting(self) -> bool:
        """Whether something waits for the debt to be paid."""
        return bool(self._waiting) or (self._portions is not None and self._portions.waiting)

    def also(self, portions: Portions) -> None:
        """Have this work done, too; it goes before the reruns of devices."""
        self._portions = portions

    def wait(self, runtime: RuleRuntime, device: str) -> None:
        """Have a device brought up to date when the debt is paid."""
        self._waiting[runtime.plan.index, device] = runtime

    def served(self, runtime: RuleRuntime, device: str) -> None:
        """A device is up to date."""
        self._waiting.pop((runtime.plan.index, device), None)

    def pay(self, amount: int, out: list[Alert]) -> None:
        """Pay, and serve who waits as far as that goes."""
        self.owed -= amount
        while self.owed <= 0 and self.waiting:
            self._serve_first(out)
        # What was paid too much is no credit for later.
        self.owed = max(0, self.owed)

    def advance(self, now: int, out: list[Alert]) -> None:
        """The wall clock shows a time, in milliseconds."""
        elapsed = 0 if self._now is None else max(0, now - self._now)
        self._now = now
        if self.owed:
            self.pay(min(elapsed, MOST_MILLISECONDS) * PAID_BY_MILLISECOND, out)

    def serve_all(self, out: list[Alert]) -> None:
        """Do all that waits, whatever it costs."""
        while self.waiting:
            self._serve_first(out)

    def state(self) -> list[Any]:
        """All that is known, as plain data."""
        return [self.owed, self._now, list(self._waiting)]

    def restore(self, state: list[Any], runtimes: Sequence[RuleRuntime]) -> None:
        """Go on from what :meth:`state` gave."""
        self.owed, self._now, waiting = state
        self._waiting = {(rule, device): runtimes[rule] for rule, device in waiting}

    def _serve_first(self, out: list[Alert]) -> None:
        if self._portions is not None and self._portions.waiting:
            self._portions.serve(out)
            return
        (_, device), runtime = next(iter(self._waiting.items()))
        runtime.catch_up(device, out)
