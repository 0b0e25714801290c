"""The border between the transport and the engine.

The transport knows messages, sequences and subjects; the engine knows events,
rules and alerts. This is all they know of each other.
"""

from typing import Protocol

import msgspec


class Outgoing(msgspec.Struct, frozen=True):
    """One message to publish because of an incoming one: an alert, a dead letter, a late event.

    ``message_id`` goes into the header ``Nats-Msg-Id``. It must follow from the
    input alone, so that a message published twice (after a crash, a lost
    acknowledgement) is stored once.
    """

    subject: str
    payload: bytes
    message_id: str
    headers: dict[str, str]


class Processor(Protocol):
    """What the service needs of an engine."""

    def process(
        self,
        payload: bytes,
        content_type: str | None,
        stream_sequence: int,
        stream: str,
        subject: str,
        received_ms: int,
    ) -> list[Outgoing]:
        """Take one message in and return what must be published because of it, in order.

        ``received_ms`` is the time at which JetStream stored the message, in
        epoch milliseconds: the only clock there is. Pure: no input or output,
        and bad input is answered with dead letters, never with an exception.
        """
        ...
