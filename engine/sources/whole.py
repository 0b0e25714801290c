"""Formats that are one document: reading it, up to a bound."""

from engine.sources.lines import Input
from engine.sources.records import Refused


def whole(source: Input, limit: int) -> bytes:
    """All bytes of `source`.

    Raises Refused: "document_too_large" above `limit` (the rest is not read), "empty_file", and the
    failure of the stream.
    """
    document = bytearray()
    for chunk in source.chunks():
        document += chunk
        if len(document) > limit:
            raise Refused("document_too_large", f"The file is larger than {limit} bytes.")
    if source.failure is not None:
        raise source.failure
    if not document.strip():
        raise Refused("empty_file", "The file contains nothing.")
    return bytes(document)
