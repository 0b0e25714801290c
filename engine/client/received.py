"""What a subscriber is given: an alert and where it came from, or what could not be read as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from engine.alerts import Alert

_LONGEST_DETAIL = 300
_decoder = msgspec.json.Decoder(Alert)


class Received:
    """An alert, and its message.

    ``sequence`` is its place in the stream, ``stored_ms`` when it was stored there (epoch milliseconds),
    ``subject`` what it was published under.
    """

    __slots__ = ("_acknowledge", "alert", "payload", "sequence", "stored_ms", "subject")

    def __init__(
        self,
        alert: Alert,
        payload: bytes,
        subject: str,
        sequence: int,
        stored_ms: int,
        acknowledge: Callable[[int], Awaitable[None]],
    ) -> None:
        self.alert = alert
        self.payload = payload
        """The alert as it came, one JSON object."""
        self.subject = subject
        self.sequence = sequence
        self.stored_ms = stored_ms
        self._acknowledge = acknowledge

    async def ack(self) -> None:
        """Say that this alert, and all given before it, are dealt with and need not come again.

        In a live stream there is nothing to say, and this does nothing.
        """
        await self._acknowledge(self.sequence)

    def __repr__(self) -> str:
        return f"Received({self.alert.id!r}, revision={self.alert.revision}, sequence={self.sequence})"


class UnreadableAlertError(Exception):
    """A message of the alert stream that is no alert as this version knows it.

    The stream can be read on afterwards. ``payload`` holds the bytes as they came.
    """

    def __init__(
        self,
        detail: str,
        payload: bytes,
        subject: str,
        sequence: int,
        acknowledge: Callable[[int], Awaitable[None]],
    ) -> None:
        super().__init__(f"message {sequence} under {subject!r} is no alert that can be read: {detail}")
        self.detail = detail
        self.payload = payload
        self.subject = subject
        self.sequence = sequence
        self._acknowledge = acknowledge

    async def ack(self) -> None:
        """Pass over it for good."""
        await self._acknowledge(self.sequence)


def decode(payload: bytes) -> Alert:
    """The alert in ``payload``. Raises ``ValueError`` with what is wrong, as one printable line."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # A validation error may quote a key of the payload.
        text = "".join(c if c.isprintable() else "?" for c in str(error))
        raise ValueError(text[:_LONGEST_DETAIL] or type(error).__name__) from None
