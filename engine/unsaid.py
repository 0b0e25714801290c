"""Making unsaid what a matcher has said, once it was only to get to know the past.

Its rules know the matches of the past as such, so that none of them is said again. But nobody has heard of
them: they change no more, and they suppress nothing.
"""

from __future__ import annotations

from engine.alerts import Alert
from engine.device_state import DeviceState
from engine.matcher import Matcher


def unsay(matcher: Matcher) -> list[Alert]:
    """Have all that was said so far change no more and suppress nothing. ``Matcher.catch_up`` comes first,
    without storms.

    Takes time by the number of devices. A rule that has read an alert goes on with it, and is not told if
    evidence that comes late would take it away.

    Returns:
        Alerts that are no match and can still change: sources that are silent. Whoever publishes has to keep
        their end to himself.
    """
    for runtime in matcher.runtimes:
        for state in runtime.devices.values():
            if state.published or state.counts:
                matcher.changes.touch(state.device)
                _unsay(state)
    return [storm.alert for runtime in matcher.runtimes for storm in runtime.storms.all]


def _unsay(state: DeviceState) -> None:
    if state.counts:
        state.counts.clear()
    for published in state.published:
        published.alert = None
