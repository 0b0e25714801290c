"""Whether the service does its work, and if not, why, in one sentence: /readyz."""

from __future__ import annotations

from engine.service.matching import MatchingProcessor
from engine.service.observer import Running


class Readiness:
    """Judges a run. ``reading`` is set once the input has been opened for the first time."""

    def __init__(self, running: Running) -> None:
        self.reading = False
        self._running = running

    def verdict(self) -> tuple[bool, str]:
        """Ready or not, and the reason if not."""
        reason = self._reason()
        return reason == "", reason

    def _reason(self) -> str:
        running = self._running
        if running.connection.failed.done():
            return "The service is ending: it cannot go on."
        if running.stop.is_set():
            return "The service is stopping: it finishes what is queued."
        if not running.connection.client.is_connected:
            return "There is no connection to NATS."
        filling = running.filling()
        if filling:
            return filling
        if not self.reading or not running.consumer.is_reading:
            return f"Stream {running.settings.input_stream} is not being read."
        processor = running.processor
        if isinstance(processor, MatchingProcessor) and not processor.matcher.rules:
            return "No rule is loaded."
        facts = running.checkpoint()
        if facts is not None and facts.problem is not None:
            return f"No checkpoint can be written: {facts.problem}"
        return ""
