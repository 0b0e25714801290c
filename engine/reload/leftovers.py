"""Rule sets that are no longer in force, taken apart a little at a time.

The state of a set can be that of hundreds of thousands of devices. To let go of it at once would hold the
event loop, and to leave it to Python's collector of cycles would, too: the parts of a matcher refer to each
other. So the devices are let go of one by one between the messages, and at last the parts of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from engine.matcher import Matcher
from engine.state.keys import fleet_key, known_key, learned_key
from engine.state.parts import Changes


class Leftovers:
    """The matchers that are over, in the order in which they ended."""

    def __init__(self) -> None:
        self._waiting: list[Matcher] = []
        self._steps: Iterator[str | None] | None = None

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return bool(self._waiting) or self._steps is not None

    def add(self, matchers: Iterable[Matcher]) -> None:
        """These are over. Nobody may use them from now on, but a cut that has begun."""
        self._waiting += matchers

    def free(self, most: int, changes: Changes) -> None:
        """Let go of about so many things.

        Args:
            most: of them.
            changes: of the matcher in force, whose next cut forgets what the others knew.
        """
        if self._steps is None:
            if not self._waiting or changes.packs(self._waiting[0]):
                return
            self._steps = taken_apart(self._waiting.pop(0))
        for _ in range(most):
            try:
                key = next(self._steps)
            except StopIteration:
                self._steps = None
                return
            if key is not None:
                changes.change(key)


def taken_apart(matcher: Matcher) -> Iterator[str | None]:
    """Take a matcher apart, a step at a time; gives the key of the part that a step let go of."""
    for runtime in matcher.runtimes:
        yield from _emptied(runtime.devices)
        yield from _let_go(runtime.storms.devices)
        yield from _cut_down(runtime.expiry.buckets.values())
    yield from _emptied(matcher.logs.logs)
    yield from _cut_down(matcher.logs.expiry.buckets.values())
    for last in matcher.sightings.last.values():
        yield from _emptied(last)
    yield from _cut_down(matcher.clocks.heaps)
    for index, key in matcher.baselines.taken_apart():
        yield learned_key(key) if index is None else fleet_key(index, key)
    yield from _parts_apart(matcher)


def _parts_apart(matcher: Matcher) -> Iterator[None]:
    for kind in matcher.kinds.values():
        names = getattr(kind.handle, "__globals__", {})
        # Those of generated code, never those of a module.
        if "__name__" not in names:
            names.clear()
            yield None
    for part in (*matcher.runtimes, matcher.deadlines, matcher):
        vars(part).clear()
        yield None


def _emptied(of_devices: dict[str, Any]) -> Iterator[str | None]:
    while of_devices:
        device, _ = of_devices.popitem()
        yield known_key(device) if device else None


def _cut_down(lists: Iterable[list[Any]]) -> Iterator[None]:
    for entries in lists:
        while entries:
            del entries[-16:]
            yield None


def _let_go(of_devices: dict[str, Any]) -> Iterator[None]:
    """Of what no part is to be forgotten for."""
    while of_devices:
        of_devices.popitem()
        yield None
