"""Messages that hold more elements than they could hold events.

A bad event becomes a dead letter of its own. That is right for a broken sensor, but ``[1,1,1,...]`` in one
message of two megabytes would become a million dead letters and hold the service for a minute. The smallest
event there can be has some thirty bytes, so whatever has more elements than that is set aside as a whole.

Eight megabytes of what could be events, and is none, would still become a quarter of a million dead letters.
"""

import msgspec

SMALLEST_EVENT = 32
"""Bytes: ``{"kind":"a","device":"b","time":1}`` has 34."""
ALWAYS_LOOKED_AT = 1_000
"""Up to so many elements each has its own dead letter, whatever they are."""
MOST_LETTERS = 10_000
"""So many bad events of a message have dead letters of their own; the others have one together."""
_LARGE = 256 * 1024
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


def too_dense(elements: int, size: int) -> bool:
    """Whether ``size`` bytes with so many elements cannot be events."""
    return elements > ALWAYS_LOOKED_AT and elements * SMALLEST_EVENT > size


def is_overfull(payload: bytes) -> bool:
    """The same before anything is decoded, for large messages only: small ones must not pay for counting."""
    size = len(payload)
    if size < _LARGE:
        return False
    if payload.lstrip()[:1] != b"[":
        return too_dense(payload.count(b"\n"), size)
    # Every element but one has a comma behind it; there are others inside events.
    if not too_dense(payload.count(b","), size):
        return False
    try:
        return too_dense(len(_ELEMENTS.decode(payload)), size)
    except (msgspec.MsgspecError, RecursionError):
        return False
