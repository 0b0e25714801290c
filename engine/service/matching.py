"""The matcher as a processor: one message in, the alerts and dead letters it causes out."""

import logging
from collections.abc import Sequence

from dsl.model import NamedList, RuleSet
from engine.alerts import Alert, encode
from engine.events import POSITION_SHIFT, BadEvent
from engine.matcher import Matcher
from engine.report.ocsf import encode_finding
from engine.service.processor import Outgoing
from engine.service.subjects import alert_subject, dead_letter, finding_subject, late_event

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

    An event of a kind that no EVENT declares is counted and passed over, not a dead letter: the
    stream may serve others, too.
    """

    def __init__(self, ruleset: RuleSet, max_skew_ms: int = DEFAULT_MAX_SKEW_MS, ocsf: bool = False) -> None:
        self.matcher = Matcher(ruleset)
        self.unknown: dict[str, int] = {}
        self.events = 0
        self.unread = 0
        self.dead_letters: dict[str, int] = {}
        self.late = 0
        self._warn_at = 0
        self.alerts = 0
        self._max_skew_ms = max_skew_ms
        self._ocsf = ocsf
        self.replace_list = self.matcher.replace_list
        self.refreshed: Sequence[NamedList] = tuple(
            found
            for found in ruleset.lists.values()
            if found.path is not None and found.refresh_ms is not None
        )
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
        for index, item in enumerate(self.matcher.decoder.decode_payload(payload, content_type)):
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
                raw = bad.raw or payload
                out.append(
                    dead_letter(
                        reason=bad.reason,
                        detail=bad.detail,
                        payload=raw,
                        stream=stream,
                        sequence=stream_sequence,
                        subject=subject,
                        index=index,
                    )
                )
                continue
            self.events += 1
            position = stream_sequence << POSITION_SHIFT | index
            for alert in self.matcher.feed(item, position):  # type: ignore[arg-type]  # an Event, shown above
                self.alerts += 1
                out.extend(self._outgoing(alert))
            if self.matcher.was_late:
                self.matcher.was_late = False
                self.late += 1
                out.append(
                    late_event(
                        kind=item.kind,  # type: ignore[union-attr]  # an Event, shown above
                        payload=self.matcher.decoder.raw_event(payload, content_type, index),
                        stream=stream,
                        sequence=stream_sequence,
                        subject=subject,
                        index=index,
                    )
                )
        if received_ms >= self._warn_at:
            self._warn_at = received_ms + _WARN_EVERY_MS
            for warning in self.matcher.cap_warnings():
                _log.warning("%s", warning)
        return out

    def _outgoing(self, alert: Alert) -> list[Outgoing]:
        severity = "shadow" if alert.rule.name in self._shadow else alert.created_severity
        subject = alert_subject(severity, alert.rule.name, alert.device)
        revision = f"{alert.id}.{alert.revision}"
        found = [Outgoing(subject=subject, payload=encode(alert), message_id=revision, headers={})]
        if self._ocsf:
            # Should one stream take in both, their ids must differ.
            message_id = f"ocsf:{revision}"
            found.append(Outgoing(finding_subject(subject), encode_finding(alert), message_id, {}))
        return found

    def _unknown(self, bad: BadEvent) -> None:
        kind = bad.detail.rpartition(" ")[2]
        if kind not in self.unknown and len(self.unknown) < 1000:
            self.unknown[kind] = 0
            _log.warning("events of the kind %s are passed over: no EVENT declares it", kind)
        if kind in self.unknown:
            self.unknown[kind] += 1
