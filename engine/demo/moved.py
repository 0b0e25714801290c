"""Moving events in time.

The demo's events lie in the past. A running service takes what is older than LATE of its kind as too late, so
who publishes them to one moves them to now, all by the same amount where their distances matter.
"""

from typing import Any

TIMES = ("time", "start", "seen", "valid_from", "valid_to")
"""The fields of the mobile pack's events that are times."""


def moved(event: dict[str, Any], milliseconds: int) -> dict[str, Any]:
    """The event that much later (earlier, if negative); the given one is left as it is."""
    return event | {name: event[name] + milliseconds for name in TIMES if name in event}
