"""A processor without rules, for tests of the transport. Also run as a program: a service to be signalled.

    python fake_processor.py '{"servers": "nats://...", ...}' LOG_FILE

The program writes one line to LOG_FILE for each message that it processes
(its stream sequence), prints READY, and at the end its report as JSON.
"""

import json
import sys
import time
from pathlib import Path

import msgspec

from engine.service.processor import Outgoing
from engine.service.subjects import alert_subject, dead_letter


class FakeProcessor:
    """Every JSON message becomes one alert with the same payload; anything else a dead letter."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, str | None, int, str, str, int]] = []

    def process(
        self,
        payload: bytes,
        content_type: str | None,
        stream_sequence: int,
        stream: str,
        subject: str,
        received_ms: int,
    ) -> list[Outgoing]:
        self.seen.append((payload, content_type, stream_sequence, stream, subject, received_ms))
        if not payload.startswith((b"{", b"[")):
            return [
                dead_letter(
                    reason="malformed_json",
                    detail="not JSON",
                    payload=payload,
                    stream=stream,
                    sequence=stream_sequence,
                    subject=subject,
                )
            ]
        return [
            Outgoing(
                subject=alert_subject("high", "fake rule", subject),
                payload=payload,
                message_id=f"fake:{stream}:{stream_sequence}",
                headers={"Test-Sequence": str(stream_sequence)},
            )
        ]


class LoggingProcessor(FakeProcessor):
    """Writes down each sequence before it answers, slowly enough to be interrupted in the middle."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log.open("a", buffering=1)

    def process(
        self,
        payload: bytes,
        content_type: str | None,
        stream_sequence: int,
        stream: str,
        subject: str,
        received_ms: int,
    ) -> list[Outgoing]:
        self._log.write(f"{stream_sequence}\n")
        time.sleep(0.0001)
        return super().process(payload, content_type, stream_sequence, stream, subject, received_ms)


def main() -> None:
    from engine.service.serve import serve
    from engine.service.settings import Settings, load_settings

    def ready(settings: Settings) -> None:
        print("READY", settings.servers[0], flush=True)

    settings = load_settings(json.loads(sys.argv[1]), {})
    report = serve(settings, LoggingProcessor(Path(sys.argv[2])), on_ready=ready)
    print(msgspec.json.encode(report).decode(), flush=True)


if __name__ == "__main__":
    main()
