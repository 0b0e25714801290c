"""The rules of a set that would begin cold, taking in the past beside those in force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.alerts import Alert
from engine.reload.prepare import Prepared
from engine.reload.side import Side
from engine.service.matching import WARN_EVERY_MS, MatchingProcessor
from engine.service.message import content_type
from engine.service.pull import Received, alike


class Apart(MatchingProcessor):
    """Takes messages as the service does; nobody hears of what comes of them.

    Args:
        prepared: the set, and
        side: those of its rules that begin cold.
        max_skew_ms: as that of the service.
        unknown: kinds of events that the service has said it does not know.
    """

    def __init__(self, prepared: Prepared, side: Side, max_skew_ms: int, unknown: Iterable[str]) -> None:
        super().__init__(side.ruleset, max_skew_ms, matcher=side.matcher)
        self.prepared = prepared
        self.side = side
        self.unknown = dict.fromkeys(unknown, 0)
        self.silent: tuple[Alert, ...] = ()
        """Said of the past, no matches, and still to end: nobody may hear of that. Known at the end."""
        self.begin_filling()

    def take(self, batch: Sequence[Received], stream: str) -> None:
        """Messages of the stream that follow each other, as far as they are still there."""
        for part in alike(batch):
            _, first, received_ms = part[0]
            if len(part) == 1 or not self._took(part, stream):
                for message, sequence, at in part:
                    kind = content_type(message.headers) if message.headers else None
                    self.process(message.data, kind, sequence, stream, message.subject, at)
            self.side.took(first, len(part), received_ms)

    def _took(self, part: Sequence[Received], stream: str) -> bool:
        payloads = [message.data for message, _, _ in part]
        subjects = [message.subject for message, _, _ in part]
        _, first, received_ms = part[0]
        return self.process_together(payloads, first, stream, subjects, received_ms) is not None

    def _stay_unheard(self, alerts: Sequence[Alert]) -> None:
        self.silent = tuple(alerts)

    def _warn(self, received_ms: int) -> None:
        # What met a cap in the past is no news.
        self._warn_at = received_ms + WARN_EVERY_MS
        self.matcher.cap_warnings()
