"""The matcher as a processor: one message in, the alerts and dead letters it causes out."""

import hashlib
import logging
from collections.abc import Iterable, Sequence

from dsl.model import NamedList, RuleSet
from engine.alerts import Alert, encode
from engine.events import POSITION_SHIFT, BadEvent
from engine.matcher import Matcher
from engine.report.ocsf import encode_finding
from engine.service.checkpoints.model import Cutting
from engine.service.limits import is_overfull, too_dense
from engine.service.parts import Parts
from engine.service.processor import Outgoing
from engine.service.subjects import TICK, alert_subject, dead_letter, finding_subject, late_event
from engine.state import digest
from engine.state import parts as state_parts

_log = logging.getLogger("thenwire.service")
DEFAULT_MAX_SKEW_MS = 120_000
_WARN_EVERY_MS = 10_000
"""Caps that were met are logged together: a flood meets them with every event."""
_MAX_INDEX = (1 << POSITION_SHIFT) - 1


class MatchingProcessor:
    """Runs a rule set over messages.

    Args:
        ruleset: from ``dsl.load``.
        max_skew_ms: an event whose time lies further in the future of its message is a dead letter:
            it would push the clock of its type ahead and make honest events late.
        ocsf: publish each alert a second time, as an OCSF Detection Finding.
        matcher: of the rule set, new; made here if it is left out.

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
        self.unknown: dict[str, int] = {}
        self.events = 0
        self.unread = 0
        self.dead_letters: dict[str, int] = {}
        self.late = 0
        self._warn_at = 0
        self.alerts = 0
        self.failed = 0
        """Events at which the matcher raised; each became a dead letter ``processor_error``."""
        self._max_skew_ms = max_skew_ms
        self._ocsf = ocsf
        self._digest_of: Matcher | None = None
        self._digest = ""
        self._list_digests: dict[str, tuple[frozenset[str], str]] = {}
        self.use(ruleset, Matcher(ruleset) if matcher is None else matcher)

    def use(self, ruleset: RuleSet, matcher: Matcher) -> None:
        """Run this matcher of a rule set from the next message on."""
        self.ruleset = ruleset
        self.matcher = matcher
        self.replace_list = matcher.replace_list
        self.refreshed: Sequence[NamedList] = tuple(
            found
            for found in ruleset.lists.values()
            if found.path is not None and found.refresh_ms is not None
        )
        self._loaded = {name: frozenset(found.items) for name, found in ruleset.lists.items()}
        self._shadow = {name for name, rule in ruleset.rules.items() if rule.meta.get("status") == "shadow"}

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
        latest = received_ms + self._max_skew_ms
        for alert in self.matcher.advance(received_ms):
            self.alerts += 1
            out.extend(self._outgoing(alert))
        if payload == TICK:
            return out
        self.matcher.not_after(latest)
        if payload[:1] == b"{" and (content_type is None or "ndjson" not in content_type):
            place = (stream_sequence, stream, subject)
            if self._one(payload, place, out):
                self._warn(received_ms)
                return out
        items = None if is_overfull(payload) else self.matcher.decoder.decode_payload(payload, content_type)
        if items is None or too_dense(len(items), len(payload)):
            out.append(self._overfull(payload, stream_sequence, stream, subject))
            return out
        parts: Parts | None = None
        for index, item in enumerate(items):
            if item is None:
                self.unread += 1
                continue
            bad = item if isinstance(item, BadEvent) else None
            if bad is None and index > _MAX_INDEX:
                bad = BadEvent("too_many_events", f"a message holds at most {_MAX_INDEX + 1:,} events")
            elif bad is None and item.time > latest:  # type: ignore[union-attr,operator]  # an Event, its time an int
                bad = BadEvent(
                    "future_time", f"the event is more than {self._max_skew_ms} ms ahead of its message"
                )
            if bad is not None:
                if bad.reason == "unknown_kind":
                    self._unknown(bad)
                    continue
                self.dead_letters[bad.reason] = self.dead_letters.get(bad.reason, 0) + 1
                parts = parts or Parts(payload, len(items))
                out.append(
                    dead_letter(
                        reason=bad.reason,
                        detail=bad.detail,
                        payload=parts[index],
                        stream=stream,
                        sequence=stream_sequence,
                        subject=subject,
                        index=index,
                    )
                )
                continue
            self.events += 1
            position = stream_sequence << POSITION_SHIFT | index
            try:
                alerts = self.matcher.feed(item, position)  # type: ignore[arg-type]  # an Event, shown above
            except Exception as error:
                # A bug; but the alerts of the events before it in this message must not vanish with it.
                parts = parts or Parts(payload, len(items))
                out.append(self._failed(error, parts[index], stream_sequence, stream, subject, index))
                continue
            for alert in alerts:
                self.alerts += 1
                out.extend(self._outgoing(alert))
            if self.matcher.late:
                self.matcher.late.clear()
                self.late += 1
                parts = parts or Parts(payload, len(items))
                out.append(
                    late_event(
                        kind=item.kind,  # type: ignore[union-attr]  # an Event, shown above
                        payload=parts[index],
                        stream=stream,
                        sequence=stream_sequence,
                        subject=subject,
                        index=index,
                    )
                )
        self._warn(received_ms)
        return out

    def _one(self, payload: bytes, place: tuple[int, str, str], out: list[Outgoing]) -> bool:
        """A message that is one event: the quick way. False, and nothing has been done, if it is none."""
        sequence, stream, subject = place
        try:
            # In full, though feed_json would be quicker: a bad event is to be refused whether it fits or not.
            event = self.matcher.decoder.decode(payload)
            if event is None:
                self.unread += 1
                return True
            alerts = self.matcher.feed(event, sequence << POSITION_SHIFT)
        except BadEvent as bad:
            if bad.reason == "malformed_json":
                # Or several, a line each.
                return False
            if bad.reason == "unknown_kind":
                self._unknown(bad)
                return True
            detail = bad.detail
            if bad.reason == "future_time":
                detail = f"the event is more than {self._max_skew_ms} ms ahead of its message"
            self.dead_letters[bad.reason] = self.dead_letters.get(bad.reason, 0) + 1
            out.append(
                dead_letter(
                    reason=bad.reason,
                    detail=detail,
                    payload=payload,
                    stream=stream,
                    sequence=sequence,
                    subject=subject,
                    index=0,
                )
            )
            return True
        except Exception as error:
            out.append(self._failed(error, payload, *place, 0))
            return True
        self.events += 1
        for alert in alerts:
            self.alerts += 1
            out.extend(self._outgoing(alert))
        if self.matcher.late:
            self.matcher.late.clear()
            self.late += 1
            out.append(
                late_event(
                    kind=event.kind,
                    payload=payload,
                    stream=stream,
                    sequence=sequence,
                    subject=subject,
                    index=0,
                )
            )
        return True

    def _warn(self, received_ms: int) -> None:
        if received_ms >= self._warn_at:
            self._warn_at = received_ms + _WARN_EVERY_MS
            for warning in self.matcher.cap_warnings():
                _log.warning("%s", warning)

    def _overfull(self, payload: bytes, sequence: int, stream: str, subject: str) -> Outgoing:
        reason = "too_many_events"
        self.dead_letters[reason] = self.dead_letters.get(reason, 0) + 1
        detail = f"a message of {len(payload):,} bytes has too many elements for them to be events"
        return dead_letter(
            reason=reason, detail=detail, payload=payload, stream=stream, sequence=sequence, subject=subject
        )

    def _outgoing(self, alert: Alert) -> list[Outgoing]:
        return self._published(alert, "shadow" if alert.rule.name in self._shadow else alert.created_severity)

    def _published(self, alert: Alert, severity: str) -> list[Outgoing]:
        subject = alert_subject(severity, alert.rule.name, alert.device)
        revision = f"{alert.id}.{alert.revision}"
        found = [Outgoing(subject=subject, payload=encode(alert), message_id=revision, headers={})]
        if self._ocsf:
            # Should one stream take in both, their ids must differ.
            message_id = f"ocsf:{revision}"
            found.append(Outgoing(finding_subject(subject), encode_finding(alert), message_id, {}))
        return found

    def _failed(
        self, error: Exception, raw: bytes, sequence: int, stream: str, subject: str, index: int
    ) -> Outgoing:
        self.failed += 1
        _log.exception("the engine failed at event %d of message %d of stream %s", index, sequence, stream)
        return dead_letter(
            reason="processor_error",
            detail=f"{type(error).__name__}: {error}",
            payload=raw,
            stream=stream,
            sequence=sequence,
            subject=subject,
            index=index,
        )

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

    def cut(self) -> Cutting:
        """The state now."""
        return state_parts.cut(self.matcher)

    def restore(self, shared: bytes, devices: Iterable[tuple[str, bytes]]) -> None:
        """Go on from a state. Raises ``engine.state.OtherState``."""
        state_parts.restore(self.matcher, shared, devices)

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

    def _unknown(self, bad: BadEvent) -> None:
        kind = bad.detail.rpartition(" ")[2]
        if kind not in self.unknown and len(self.unknown) < 1000:
            self.unknown[kind] = 0
            _log.warning("events of the kind %s are passed over: no EVENT declares it", kind)
        if kind in self.unknown:
            self.unknown[kind] += 1
