"""An event that fits some step or guard, as the automata keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from engine.baselines import Reading
    from engine.events import Event


Order: TypeAlias = tuple[int, ...]


class Kept(msgspec.Struct, gc=False):
    """An event with its place in the order and the baseline values fixed when it arrived. :func:`kept_of`
    makes them. Nothing it holds refers back to it, so Python's collector of cycles need not see it.

    Attributes:
        order: ``(time, position)``, the order of LANGUAGE.md section 4 item 1; an alert's is longer, and
            so just greater than that of the event at its place.
        begin: where bounds measure from: ``start`` of an interval, else ``time``.
        mask: the sources of the rule whose local part it fits, one bit each.
        key: the rule's key without ``device``; None where the event type lacks a key field.
        readings: by baseline name, for the baselines of its kind that the rules read.
    """

    event: Event
    time: int
    order: Order
    begin: int
    mask: int
    key: tuple[object, ...]
    readings: dict[str, Reading] | None

    def __eq__(self, other: object) -> bool:
        """Whether both are of the same event: what a rule takes from a log anew is the same event."""
        return isinstance(other, Kept) and self.event is other.event and self.order == other.order

    def __hash__(self) -> int:
        return hash(self.order)

    @property
    def position(self) -> int:
        return self.order[1]

    def may_belong_to(self, key: tuple[object, ...]) -> bool:
        """Whether a run of a key sees it: a key field that its type lacks matches every value."""
        return all(mine is None or mine == other for mine, other in zip(self.key, key, strict=True))

    @property
    def event_id(self) -> str:
        """The sender's id, else stream sequence and index."""
        if self.event.id is not None:
            return self.event.id
        return f"{self.position >> 20}.{self.position & 0xFFFFF}"


def kept_of(
    event: Event,
    position: int,
    mask: int,
    key: tuple[object, ...],
    readings: dict[str, Reading] | None,
) -> Kept:
    """An event as it is kept, at its position in the input; for the rest see :class:`Kept`."""
    time: int = event.time  # type: ignore[assignment]  # the decoder has made it an int
    start: int | None = event.start  # type: ignore[assignment]  # likewise
    # An alert as an event stands just behind the event that completes it.
    order: Order = (time, position, 1) if event.is_alert else (time, position)
    return Kept(event, time, order, time if start is None else start, mask, key, readings)
