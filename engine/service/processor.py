"""The border between the transport and the engine.

The transport knows messages, sequences and subjects; the engine knows events,
rules and alerts. This is all they know of each other.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One message to publish because of an incoming one: an alert, a dead letter, a late event.

    Not tracked by the garbage collector: many can wait, and nothing that they hold refers to them.

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


@runtime_checkable
class ProcessesTogether(Protocol):
    """A `Processor` that takes in many small messages for less than one after the other."""

    def process_together(
        self,
        payloads: Sequence[bytes],
        first_sequence: int,
        stream: str,
        subjects: Sequence[str],
        received_ms: int,
    ) -> list[Outgoing] | None:
        """Take in messages that follow each other in the stream, were stored at one time and have no headers.

        The answers are those that `process` would give for one after the other. None, and nothing has been
        done, if it has to be asked so.
        """
        ...
