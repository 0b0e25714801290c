"""What comes of events, as messages to publish: alerts, dead letters, late events, and how many."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from engine.alerts import Alert, encode
from engine.events import POSITION_SHIFT, BadEvent
from engine.report.ocsf import encode_finding
from engine.service.limits import MOST_LETTERS
from engine.service.parts import Parts
from engine.service.processor import Outgoing
from engine.service.subjects import alert_subject, dead_letter, finding_subject, late_event

_log = logging.getLogger("thenwire.service")
_MOST_UNKNOWN: Final = 1_000
MAX_INDEX: Final = (1 << POSITION_SHIFT) - 1
"""Of an event in its message."""

Place: TypeAlias = tuple[str, int, str]
"""Where a message came from: stream, sequence, subject."""
Raws: TypeAlias = Sequence[bytes] | Parts
"""The events of a message as they came."""


class Outcomes:
    """Makes them.

    Attributes:
        alerts: said, updates and closes included.
        late: events that came too late to be matched.
        dead_letters: by reason.
        failed: events at which the matcher raised; each became a dead letter ``processor_error``.
        unknown: events of kinds that no EVENT declares, by kind.
    """

    def __init__(self, max_skew_ms: int, ocsf: bool) -> None:
        self.alerts = 0
        self.late = 0
        self.dead_letters: dict[str, int] = {}
        self.failed = 0
        self.unknown: dict[str, int] = {}
        self._refused = 0
        self._max_skew_ms = max_skew_ms
        self._ocsf = ocsf
        self._filling = False
        """Nobody hears of what comes of an event: it is not counted either."""
        self._unheard = 0
        self._shadow: frozenset[str] = frozenset()

    def _say(self, alerts: list[Alert], out: list[Outgoing]) -> None:
        if self._filling:
            self._unheard += sum(alert.activity == "create" for alert in alerts)
            return
        for alert in alerts:
            self.alerts += 1
            out.extend(self._outgoing(alert))

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

    def _refuse(self, error: Exception, raws: Raws, index: int, place: Place, out: list[Outgoing]) -> None:
        """An event that cannot be matched, or at which the matcher failed."""
        if not isinstance(error, BadEvent):
            # A bug. What was said of the events before it stays said, and those after it have their turn.
            out.append(self._failed(error, raws[index], place[1], place[0], place[2], index))
            return
        self._refused += 1
        if error.reason == "unknown_kind":
            self._unknown(error)
            return
        detail = error.detail
        if error.reason == "future_time":
            detail = f"the event is more than {self._max_skew_ms} ms ahead of its message"
        out.append(self._dead(error.reason, detail, raws[index], place, index))

    def _refuse_one(
        self,
        error: Exception,
        raws: Raws,
        index: int,
        place: Place,
        out: list[Outgoing],
        rest: dict[str, int],
    ) -> None:
        """One of many that may be bad: beyond so many letters it is only counted, in ``rest`` by reason."""
        too_many = len(out) >= MOST_LETTERS
        if too_many and isinstance(error, BadEvent) and error.reason != "unknown_kind":
            rest[error.reason] = rest.get(error.reason, 0) + 1
        else:
            self._refuse(error, raws, index, place, out)

    def _dead(self, reason: str, detail: str, raw: bytes, place: Place, index: int = 0) -> Outgoing:
        self._count_dead(reason, 1)
        stream, sequence, subject = place
        return dead_letter(
            reason=reason,
            detail=detail,
            payload=raw,
            stream=stream,
            sequence=sequence,
            subject=subject,
            index=index,
        )

    def _count_dead(self, reason: str, count: int) -> None:
        if not self._filling:
            self.dead_letters[reason] = self.dead_letters.get(reason, 0) + count

    def _overfull(self, payload: bytes, place: Place) -> Outgoing:
        detail = f"a message of {len(payload):,} bytes has too many elements for them to be events"
        return self._dead("too_many_events", detail, payload, place)

    def _of_the_rest(self, rest: dict[str, int], payload: bytes, place: Place) -> Outgoing:
        """One dead letter for the bad events that are too many for letters of their own."""
        for reason, count in rest.items():
            self._refused += count
            self._count_dead(reason, count)
        counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(rest.items()))
        detail = f"further bad events of a message, beyond the {MOST_LETTERS:,} with letters: {counts}"
        stream, sequence, subject = place
        return dead_letter(
            reason="too_many_bad",
            detail=detail,
            payload=payload,
            stream=stream,
            sequence=sequence,
            subject=subject,
        )

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

    def _set_aside(
        self, late: list[int], found: Callable[[int], tuple[Any, Raws, Place]], out: list[Outgoing]
    ) -> None:
        """The events that came too late to be matched, by their positions."""
        if self._filling:
            late.clear()
            return
        for position in late:
            self.late += 1
            event, raws, (stream, sequence, subject) = found(position)
            index = position & MAX_INDEX
            out.append(
                late_event(
                    kind=event.kind,
                    payload=raws[index],
                    stream=stream,
                    sequence=sequence,
                    subject=subject,
                    index=index,
                )
            )
        late.clear()

    def _unknown(self, bad: BadEvent) -> None:
        kind = bad.detail.rpartition(" ")[2]
        if kind not in self.unknown and len(self.unknown) < _MOST_UNKNOWN:
            self.unknown[kind] = 0
            _log.warning("events of the kind %s are passed over: no EVENT declares it", kind)
        if kind in self.unknown:
            self.unknown[kind] += 1
