"""Two matchers that stand for one, so that a recording is read once for both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from engine.alerts import Alert
from engine.events import BadEvent, Event, EventDecoder
from engine.matcher import Matcher
from engine.report.compare import Held


class BothEvents(Event, tag="both events", kw_only=True, gc=False):
    """One record as each side decodes it; None where a side does not read its kind, or refuses it."""

    old: Event | None
    new: Event | None


class BothDecoders:
    """Decodes for both sides.

    Attributes:
        refused: records that one side takes and the other refuses, by side (``before``, ``after``) and
            reason: their declarations differ.
    """

    def __init__(self, old: EventDecoder, new: EventDecoder) -> None:
        self._old = old
        self._new = new
        self.refused: Counter[tuple[str, str]] = Counter()

    def decode(self, raw: bytes) -> BothEvents | None:
        """A record given as JSON; None if neither side reads its kind.

        Raises:
            BadEvent: neither side can use it.
        """
        return self._both(lambda decoder: decoder.decode(raw))

    def convert(self, wire: dict[str, Any]) -> BothEvents | None:
        """As :meth:`decode`, for a record that is decoded already."""
        return self._both(lambda decoder: decoder.convert(wire))

    def _both(self, decode: Callable[[EventDecoder], Event | None]) -> BothEvents | None:
        old, bad_old = _tried(decode, self._old)
        new, bad_new = _tried(decode, self._new)
        event = new or old
        if event is None:
            bad = next((b for b in (bad_new, bad_old) if b and b.reason != "unknown_kind"), None)
            if bad is not None or (bad_new and bad_old):
                raise bad or bad_new  # type: ignore[misc]  # one of them is there
            return None
        for side, bad in (("before", bad_old), ("after", bad_new)):
            if bad is not None and bad.reason != "unknown_kind":
                self.refused[side, bad.reason] += 1
        return BothEvents(
            device=event.device, time=event.time, attribution=event.attribution, old=old, new=new
        )


def _tried(
    decode: Callable[[EventDecoder], Event | None], decoder: EventDecoder
) -> tuple[Event | None, BadEvent | None]:
    try:
        return decode(decoder), None
    except BadEvent as bad:
        return None, bad


class BothMatchers:
    """Feeds two matchers and holds what they say; a replay takes it for one.

    Args:
        old: runs the rules that are compared against.
        new: runs those that are looked at.
        before: takes the alerts of ``old``.
        after: takes those of ``new``.
    """

    def __init__(self, old: Matcher, new: Matcher, before: Held, after: Held) -> None:
        self.decoder: BothDecoders = BothDecoders(old.decoder, new.decoder)
        self._sides = ((old, before), (new, after))

    def feed(self, event: Event, position: int | None = None) -> list[Alert]:
        """One event for both. The alerts are with those who hold them."""
        assert isinstance(event, BothEvents)
        for (matcher, held), own in zip(self._sides, (event.old, event.new), strict=True):
            if own is not None:
                for alert in matcher.feed(own, position):
                    held.take(alert)
        return []

    def close(self) -> list[Alert]:
        """The input has ended."""
        for matcher, held in self._sides:
            for alert in matcher.close():
                held.take(alert)
        return []
