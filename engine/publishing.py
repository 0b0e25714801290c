"""What a rule says: alerts for new matches, and the difference when late events change the answer.

A match of the present that was not said becomes a create, one that changed an update, one that is
gone a close (LANGUAGE.md section 4 items 10 and 13).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from engine.alert_builder import AlertBuilder
from engine.alerts import Alert
from engine.automaton import Match
from engine.caps import PUBLISHED, Caps
from engine.device_state import DeviceState, Published
from engine.elements import AFTER_ALL, flat
from engine.kept import Kept
from engine.plan import RulePlan

MAX_PUBLISHED = 1_024
"""Matches of a rule and device that are remembered after they were said or suppressed; the oldest go,
and no longer change."""
_CUT_BY = 64


class Publishing:
    """Publishes for one rule.

    Args:
        plan: the rule.
        builder: makes its alerts.
        caps: counts what is no longer remembered.
        spoken: where other rules read this one's alerts: each with the position of its completing event.
    """

    def __init__(
        self,
        plan: RulePlan,
        builder: AlertBuilder,
        caps: Caps,
        spoken: list[tuple[Alert, int]] | None = None,
    ) -> None:
        self.matches = 0
        self.suppressed = 0
        self._plan = plan
        self._builder = builder
        self._caps = caps
        self._spoken = spoken

    def publish(self, state: DeviceState, match: Match, out: list[Alert], cause: Kept | None = None) -> None:
        """A new match: an alert, or one more suppressed. ``cause``: the event that came out of order."""
        self.matches += 1
        id_ = self._identity(state, match)
        group: tuple[object, ...] = ()
        if self._plan.rule.suppress is not None:
            group = self._builder.suppress_key(match)
            before = self._suppressor(state, match, group)
            if before is not None:
                self.suppressed += 1
                state.counts[group] = state.counts.get(group, 0) + 1
                self._keep(state, Published(match, None, id_, group, before))
                return
        builder = self._builder
        if self._spoken is None and builder.may_be_silent and builder.severity(match) == "none":
            return
        suppressed = state.counts.pop(group, 0) if state.counts else 0
        alert = builder.create(match, id_, suppressed, cause)
        self._keep(state, Published(match, alert, id_, group, None))
        self._say(alert, match, out)

    def spend(self, state: DeviceState, match: Match) -> None:
        """A match that is counted and not to be said, now or after a late event."""
        self.matches += 1
        self._keep(state, Published(match, None, self._builder.identity(match), (), None))

    def _keep(self, state: DeviceState, published: Published) -> None:
        """Remember what was said as long as it can change, within the cap. What was only counted goes
        first: a published alert decides about those that come after it.
        """
        if not state.published:
            # The empty list is everybody's.
            state.published = [published]
            return
        kept = state.published
        kept.append(published)
        if len(kept) >= MAX_PUBLISHED + _CUT_BY:
            silent = [p for p in kept if p.alert is None or not p.open][:_CUT_BY]
            gone = {id(p) for p in silent or kept[:_CUT_BY]}
            state.published = [p for p in kept if id(p) not in gone]
            self._caps.met(PUBLISHED, state.device, len(gone))

    def reconcile(
        self,
        state: DeviceState,
        old: list[Published],
        new: list[Match],
        cause: Kept,
        out: list[Alert],
    ) -> None:
        """Pair old and new matches (LANGUAGE.md section 4 item 10) and say the difference.

        Args:
            state: of the device.
            old: what stood before, as far as ``cause`` can have changed it.
            new: what stands now, as far as ``cause`` can have changed it.
            cause: the event that came late, or was taken back.
            out: takes the alerts.
        """
        old, new = list(old), list(new)
        pairs: list[tuple[Published, Match]] = []
        # Under EACH several matches complete at one event: each is paired with itself before others.
        for same in (_same_run, _same_completion, _shares_event):
            _pair(old, new, same, pairs)
        for published, match in sorted(pairs, key=lambda pair: pair[1].last.order):
            if published.match.events != match.events:
                self._update(published, match, cause, out)
            published.match = match
        for published in old:
            self._close(state, published, cause, out)
        for match in sorted(new, key=lambda m: m.last.order):
            if not self._reopen(state, match, cause, out):
                self.publish(state, match, out, cause)

    def incomplete(self, state: DeviceState, cause: Kept, horizon_ms: int, out: list[Alert]) -> None:
        """An event came for a time that is no longer kept: alerts that it could have changed stay, and say
        so, once. ``horizon_ms``: how long after an event a match that it belongs to may complete.
        """
        for published in state.published:
            alert, match = published.alert, published.match
            if alert is None or alert.incomplete or not published.open:
                continue
            if cause.begin <= match.last.time <= cause.time + horizon_ms and cause.may_belong_to(match.key):
                published.alert = self._builder.incomplete(alert, match, cause)
                self._say(published.alert, match, out)

    def _say(self, alert: Alert, match: Match, out: list[Alert]) -> None:
        """Publish, and tell the rules that read this one. SEVERITY none is only told."""
        if alert.created_severity != "none":
            out.append(alert)
        if self._spoken is not None:
            # What reads it may itself wait for a deadline at that time: that comes after.
            self._spoken.append((alert, min(match.last.order[1], AFTER_ALL - 1)))

    def _identity(self, state: DeviceState, match: Match) -> str:
        """The id of a new alert. An alert keeps the id it was born with when late evidence moves it to
        another completing event; what completes where it was born must not be taken for it.
        """
        id_ = self._builder.identity(match)
        while state.published and any(p.id == id_ and p.alert is not None for p in state.published):
            born = "|".join([id_, *(kept.event_id for kept in match.events)])
            id_ = blake2b(born.encode(), digest_size=12).hexdigest()
        return id_

    def _suppressor(self, state: DeviceState, match: Match, group: tuple[object, ...]) -> Published | None:
        """The published alert within whose SUPPRESS time this match falls."""
        suppress = self._plan.rule.suppress
        if suppress is None:
            return None
        for published in reversed(state.published):
            if (
                published.open
                and published.alert is not None
                and published.group == group
                and abs(match.last.time - published.match.last.time) <= suppress.duration_ms
            ):
                return published
        return None

    def _update(self, published: Published, match: Match, cause: Kept, out: list[Alert]) -> None:
        if published.alert is None:
            return
        alert = self._builder.build(match, published.id, "update", 0, published.alert, cause)
        if alert.changes:
            published.alert = alert
            self._say(alert, match, out)

    def _close(self, state: DeviceState, published: Published, cause: Kept, out: list[Alert]) -> None:
        published.open = False
        if published.alert is None:
            return
        published.alert = self._builder.build(
            published.match, published.id, "close", 0, published.alert, cause
        )
        self._say(published.alert, published.match, out)
        # What it had suppressed is judged again: the first is published, the rest fall under it.
        freed = [p for p in state.published if p.suppressed_by is published and p.open]
        for held in freed:
            state.published.remove(held)
            state.counts[held.group] = max(0, state.counts.get(held.group, 0) - 1)
        for held in sorted(freed, key=lambda p: p.match.last.order):
            self.publish(state, held.match, out, cause)

    def _reopen(self, state: DeviceState, match: Match, cause: Kept, out: list[Alert]) -> bool:
        id_ = self._builder.identity(match)
        for published in state.published:
            if not published.open and published.alert is not None and published.id == id_:
                published.open = True
                published.match = match
                published.alert = self._builder.build(match, id_, "update", 0, published.alert, cause)
                self._say(published.alert, match, out)
                return True
        return False


def _pair(
    old: list[Published],
    new: list[Match],
    same: Callable[[Match, Match], bool],
    pairs: list[tuple[Published, Match]],
) -> None:
    """Move what belongs together from both lists into ``pairs``, the latest match first."""
    for match in sorted(new, key=lambda m: m.last.order, reverse=True):
        published = next((p for p in reversed(old) if same(p.match, match)), None)
        if published is not None:
            old.remove(published)
            new.remove(match)
            pairs.append((published, match))


def _same_run(old: Match, new: Match) -> bool:
    return _same_completion(old, new) and old.first.event is new.first.event


def _same_completion(old: Match, new: Match) -> bool:
    return old.key == new.key and old.last.order == new.last.order


def _shares_event(old: Match, new: Match) -> bool:
    mine = flat(old.events)
    return old.key == new.key and any(
        kept.event is other.event for kept in mine for other in flat(new.events)
    )
