"""The events of a message as bytes, for dead letters and late events.

Cut only when somebody asks, and once: most messages have nothing to set aside, and one that has may have as
many such events as fit into it.
"""

import msgspec

_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


class Parts:
    """The bytes of each of the ``count`` events that ``EventDecoder.decode_payload`` found in one message."""

    def __init__(self, payload: bytes, count: int) -> None:
        self._payload = payload
        self._count = count
        self._parts: list[bytes] | None = None

    def __getitem__(self, index: int) -> bytes:
        """The event as it came; the whole message where it cannot be cut."""
        if self._parts is None:
            self._parts = self._cut()
        # An object may be written over several lines, and an array may be bad as a whole.
        return self._parts[index] if len(self._parts) == self._count else self._payload

    def _cut(self) -> list[bytes]:
        if self._payload.lstrip()[:1] == b"[":
            try:
                return [bytes(element) for element in _ELEMENTS.decode(self._payload)]
            except (msgspec.MsgspecError, RecursionError, ValueError, MemoryError):
                return [self._payload]
        return [line for line in self._payload.split(b"\n") if line and not line.isspace()]
