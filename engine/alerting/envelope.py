"""What the envelope of an event says that decides nothing: when it was seen, where its raw record is."""

from __future__ import annotations

from functools import lru_cache

from engine.alerts import rfc3339
from engine.events import Event, epoch_ms


def seen_ms(event: Event) -> int | None:
    """When an event was seen. It decides nothing, so one that is no time is left out."""
    seen = event.seen
    return _moment(seen) if isinstance(seen, str) else seen


def seen_at(event: Event) -> str | None:
    """The same as alerts say it."""
    seen = seen_ms(event)
    return None if seen is None else rfc3339(seen)


def raw_ref(event: Event) -> str | None:
    """Where the raw record is, if the event says so; alerts as events have none."""
    found: str | None = getattr(event, "raw_ref", None)
    return found


@lru_cache(maxsize=1_024)
def _moment(text: str) -> int | None:
    try:
        return epoch_ms(text)
    except (ValueError, OverflowError):
        return None
