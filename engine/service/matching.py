"""The matcher as a processor: one message in, the alerts and dead letters it causes out."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from dsl.model import NamedList, RuleSet
from engine.alerts import Alert
from engine.events import POSITION_SHIFT, BadEvent
from engine.matcher import Matcher
from engine.service.checkpoints.model import Cutting
from engine.service.limits import is_overfull, too_dense
from engine.service.outcomes import MAX_INDEX, Outcomes, Place, Raws
from engine.service.parts import Parts
from engine.service.processor import Outgoing
from engine.service.subjects import TICK
from engine.state import digest
from engine.state import parts as state_parts
from engine.unsaid import unsay

_log = logging.getLogger("thenwire.service")
DEFAULT_MAX_SKEW_MS = 120_000
WARN_EVERY_MS = 10_000
"""Caps that were met are logged together: a flood meets them with every event."""


def _too_many() -> BadEvent:
    return BadEvent("too_many_events", f"a message holds at most {MAX_INDEX + 1:,} events")


class MatchingProcessor(Outcomes):
    """Runs a rule set over messages.

    Args:
        ruleset: from ``dsl.load``.
        max_skew_ms: an event whose time lies further in the future of its message is a dead letter:
            it would push the clock of its type ahead and make honest events late.
        ocsf: publish each alert a second time, as an OCSF Detection Finding.
        matcher: of the rule set, new, and strict, or not every bad event is refused; made here if it is
            left out.

    An event of a kind that no EVENT declares is counted and passed over, not a dead letter: the
    stream may serve others, too.
    """

    def __init__(
        self,
        ruleset: RuleSet,
        max_skew_ms: int = DEFAULT_MAX_SKEW_MS,
        ocsf: bool = False,
        matcher: Matcher | None = None,
    ) -> None:
        super().__init__(max_skew_ms, ocsf)
        self.sequence = 0
        """Of the last message that was taken in; 0 before the first of this process."""
        self._warn_at = 0
        self._received = 0
        self._goes_further = False
        self._events_before = 0
        self._seen_before = 0
        self._digest_of: Matcher | None = None
        self._digest = ""
        self._list_digests: dict[str, tuple[frozenset[str], str]] = {}
        self.matcher = Matcher(ruleset, strict=True) if matcher is None else matcher
        self.use(ruleset, self.matcher)

    def use(self, ruleset: RuleSet, matcher: Matcher) -> None:
        """Run this matcher of a rule set from the next message on."""
        self._events_before = self.events
        self.ruleset = ruleset
        self.matcher = matcher
        self._seen_before = self._seen()
        self._moved_to: int | None = None
        self.replace_list = matcher.replace_list
        self.refreshed: Sequence[NamedList] = tuple(
            found
            for found in ruleset.lists.values()
            if found.path is not None and found.refresh_ms is not None
        )
        self._loaded = {name: frozenset(found.items) for name, found in ruleset.lists.items()}
        self._shadow = frozenset(
            name for name, rule in ruleset.rules.items() if rule.meta.get("status") == "shadow"
        )

    @property
    def events(self) -> int:
        """Events that rules have looked at, late ones among them. The matcher counts them."""
        return self._events_before + self._seen() - self._seen_before

    @property
    def unread(self) -> int:
        """Events of kinds that no rule reads."""
        return max(0, self._received - self._refused - self.events)

    def _seen(self) -> int:
        return sum(count.seen for count in self.matcher.counts.values())

    def process(
        self,
        payload: bytes,
        content_type: str | None,
        stream_sequence: int,
        stream: str,
        subject: str,
        received_ms: int,
    ) -> list[Outgoing]:
        """See ``engine.service.processor.Processor``."""
        out: list[Outgoing] = []
        self.sequence = stream_sequence
        if received_ms != self._moved_to:
            # At the same time once more, the matcher would find nothing to do: many messages share one.
            self._move_on(received_ms, out)
        late = self.matcher.late
        if payload == TICK:
            pass
        elif payload[:1] == b"{" and b"\n" not in payload:
            # The quick way of most messages. Whatever their type says, this is one event or none.
            self._received += 1
            try:
                alerts = self.matcher.feed_json(payload, stream_sequence << POSITION_SHIFT)
            except Exception as error:
                self._refuse(error, (payload,), 0, (stream, stream_sequence, subject), out)
            else:
                if alerts:
                    self._say(alerts, out)
                if late:
                    event = self.matcher.decoder.decode(payload)
                    place = (stream, stream_sequence, subject)
                    self._set_aside(late, lambda _: (event, (payload,), place), out)
        else:
            self._several(payload, content_type, (stream, stream_sequence, subject), out)
        if self._goes_further:
            self._also(payload, content_type, stream_sequence, stream, subject, received_ms, out)
        if received_ms >= self._warn_at:
            self._warn(received_ms)
        return out

    def process_together(
        self,
        payloads: Sequence[bytes],
        first_sequence: int,
        stream: str,
        subjects: Sequence[str],
        received_ms: int,
    ) -> list[Outgoing] | None:
        """See ``engine.service.processor.ProcessesTogether``."""
        feed = self.matcher.feed_decoded
        events = None if feed is None or self._goes_further else self.matcher.decoder.each(payloads)
        if feed is None or events is None:
            return None
        out: list[Outgoing] = []
        self.sequence = first_sequence + len(payloads) - 1
        if received_ms != self._moved_to:
            self._move_on(received_ms, out)
        self._received += len(events)

        def found(position: int) -> tuple[Any, Raws, Place]:
            index = (position >> POSITION_SHIFT) - first_sequence
            return events[index], (payloads[index],), (stream, first_sequence + index, subjects[index])

        def refuse(error: Exception, position: int) -> None:
            _, raws, place = found(position)
            self._refuse(error, raws, 0, place, out)

        self._say(feed(events, first_sequence << POSITION_SHIFT, 1 << POSITION_SHIFT, refuse), out)
        if self.matcher.late:
            self._set_aside(self.matcher.late, found, out)
        if received_ms >= self._warn_at:
            self._warn(received_ms)
        return out

    def _also(
        self,
        payload: bytes,
        content_type: str | None,
        stream_sequence: int,
        stream: str,
        subject: str,
        received_ms: int,
        out: list[Outgoing],
    ) -> None:
        """What else is done with a message, while ``_goes_further``."""

    def _move_on(self, received_ms: int, out: list[Outgoing]) -> None:
        """The time at which messages are stored has moved."""
        self._moved_to = received_ms
        self._say(self.matcher.advance(received_ms), out)
        self.matcher.not_after(received_ms + self._max_skew_ms)

    def _several(self, payload: bytes, content_type: str | None, place: Place, out: list[Outgoing]) -> None:
        """A message of several events, or of one that is written over several lines."""
        matcher = self.matcher
        if is_overfull(payload):
            out.append(self._overfull(payload, place))
            return
        feed = matcher.feed_decoded
        events = None if feed is None else matcher.decoder.together(payload, content_type)
        if (
            feed is None
            or events is None
            or len(events) > MAX_INDEX + 1
            or too_dense(len(events), len(payload))
        ):
            self._one_by_one(payload, content_type, place, out)
            return
        self._received += len(events)
        parts = Parts(payload, len(events))

        rest: dict[str, int] = {}

        def refuse(error: Exception, position: int) -> None:
            self._refuse_one(error, parts, position & MAX_INDEX, place, out, rest)

        self._say(feed(events, place[1] << POSITION_SHIFT, 1, refuse), out)
        if matcher.late:
            self._set_aside(matcher.late, lambda position: (events[position & MAX_INDEX], parts, place), out)
        if rest:
            out.append(self._of_the_rest(rest, payload, place))

    def _one_by_one(
        self, payload: bytes, content_type: str | None, place: Place, out: list[Outgoing]
    ) -> None:
        """The events of a message of which some are bad."""
        matcher = self.matcher
        items = matcher.decoder.decode_payload(payload, content_type)
        if too_dense(len(items), len(payload)):
            out.append(self._overfull(payload, place))
            return
        self._received += len(items)
        parts = Parts(payload, len(items))
        rest: dict[str, int] = {}
        position = (place[1] << POSITION_SHIFT) - 1
        for index, item in enumerate(items):
            position += 1
            if item is None:
                continue
            if isinstance(item, BadEvent) or index > MAX_INDEX:
                bad = item if isinstance(item, BadEvent) else _too_many()
                self._refuse_one(bad, parts, index, place, out, rest)
                continue
            try:
                alerts = matcher.feed(item, position)
            except Exception as error:
                self._refuse_one(error, parts, index, place, out, rest)
                continue
            if alerts:
                self._say(alerts, out)
        if matcher.late:
            self._set_aside(matcher.late, lambda position: (items[position & MAX_INDEX], parts, place), out)
        if rest:
            out.append(self._of_the_rest(rest, payload, place))

    def _warn(self, received_ms: int) -> None:
        self._warn_at = received_ms + WARN_EVERY_MS
        for warning in self.matcher.cap_warnings():
            _log.warning("%s", warning)

    # --- the past: ``engine.service.filling.Fills``

    def begin_filling(self) -> None:
        """See ``engine.service.filling.Fills``."""
        self._filling = True

    def end_filling(self) -> int:
        """See ``engine.service.filling.Fills``."""
        self._say(self.matcher.catch_up(storms=False), [])
        self._stay_unheard(unsay(self.matcher))
        self._filling = False
        return self._unheard

    def _stay_unheard(self, alerts: Sequence[Alert]) -> None:
        """Alerts of the past of which the matcher will say the end."""

    # --- state: ``engine.service.checkpoints.model.Stateful``

    @property
    def rule_names(self) -> tuple[str, ...]:
        """Names of the rules that run."""
        return self.matcher.rules

    def state_digest(self) -> str:
        """What the state depends on: rules, PARAMs, and the fields of events."""
        if self._digest_of is not self.matcher:
            self._digest = digest(self.matcher)
            self._digest_of = self.matcher
        return self._digest

    def list_digests(self) -> dict[str, str]:
        """A digest of the entries in force of each LIST."""
        found = {}
        for name, test in self.matcher.plan.lists.items():
            known = self._list_digests.get(name)
            # A list that is replaced has another set; sorting a long one takes its time.
            if known is None or known[0] is not test.entries:
                text = "\n".join(sorted(test.entries)).encode("utf-8", "surrogatepass")
                known = test.entries, hashlib.blake2b(text, digest_size=8).hexdigest()
                self._list_digests[name] = known
            found[name] = known[1]
        return found

    def notes(self) -> dict[str, str]:
        """Nothing further is needed."""
        return {}

    def note_changes(self) -> None:
        """See ``engine.service.checkpoints.model.Noting``."""
        self.matcher.changes.begin()

    def cut(self) -> Cutting:
        """The state now."""
        return state_parts.cut(self.matcher)

    def restore(self, shared: bytes, devices: Iterable[tuple[str, bytes]]) -> None:
        """Go on from a state. Raises ``engine.state.OtherState``."""
        state_parts.restore(self.matcher, shared, devices)
        self.count_from_here()

    def count_from_here(self) -> None:
        """To be called when the matcher has taken up a state: with it comes what was counted before."""
        self._seen_before = self._seen()

    def renew_lists(self) -> list[str]:
        """Give LISTs the entries that were loaded at the start; names of those that differ."""
        differ = []
        for name, entries in self._loaded.items():
            if self.matcher.plan.lists[name].entries != entries:
                change = self.matcher.replace_list(name, entries)
                differ.append(name)
                _log.info(
                    "LIST %s: %d added, %d removed since the state was stored",
                    name,
                    change.added,
                    change.removed,
                )
        return differ

    # --- time: ``engine.service.ticks.Waits``

    @property
    def has_deadlines(self) -> bool:
        """Whether a rule can wait for a time to pass."""
        return bool(self.matcher.clocks.watched)

    @property
    def waiting(self) -> bool:
        """Whether a rule waits for a time to pass."""
        return self.matcher.clocks.waiting or self.matcher.debt.waiting

    @property
    def behind(self) -> bool:
        """Whether work is left over that goes on with time."""
        return self.matcher.debt.waiting
