"""What a source yields: an event with its origin, or a refusal that says why."""

from typing import Any

import msgspec

REASONS = frozenset(
    {
        "bad_time",
        "document_too_large",
        "empty_file",
        "line_too_long",
        "malformed_database",
        "malformed_json",
        "malformed_line",
        "missing_device",
        "missing_field",
        "missing_zone",
        "not_utf8",
        "nul_bytes",
        "read_error",
        "too_deep",
        "truncated",
        "unknown_format",
        "unsupported_row",
        "wrong_column_count",
        "wrong_type",
    }
)
"""Every reason a Refusal can have. They are names of counters, so they never change meaning."""

SHOWN_CHARACTERS = 80
"""Untrusted text in a message is cut here: enough to recognise a value, too little to fill a log."""


class Record(msgspec.Struct, frozen=True):
    """One canonical event and where it came from."""

    event: dict[str, Any]
    """The flat wire event. A field whose value is unknown is absent; no value is None."""
    origin: str
    """"conn.log:17" (file and line), or the file name where the whole file is one document."""


class Refusal(msgspec.Struct, frozen=True):
    """One piece of input that gave no event."""

    origin: str
    reason: str
    """One of REASONS."""
    detail: str
    """A sentence for a person. Untrusted text in it is shortened and its control characters escaped."""


class Refused(ValueError):
    """Raised by the parsing functions of a format for input that cannot become an event.

    `reason` is one of REASONS, `detail` a sentence as in Refusal.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail

    def at(self, origin: str) -> Refusal:
        """The same as a value that can be yielded."""
        return Refusal(origin, self.reason, self.detail)


def missing_device(what: str) -> Refused:
    """Why input without a device is not read: a made-up one would join the data of strangers. `what` begins
    the sentence: "A power log".
    """
    return Refused(
        "missing_device", f"{what} does not say which device it is from; name the device (--device)."
    )


def shown(text: object, limit: int = SHOWN_CHARACTERS) -> str:
    """Untrusted text, or a number or an error, made safe for a terminal, a log line or a JSON string.

    Of anything else only the type is shown. At most `limit` characters of the input are kept. What Python
    does not call printable is escaped: control characters, line breaks, direction marks, and lone surrogates,
    which no JSON encoder accepts.
    """
    if isinstance(text, bytes):
        # One character is at most four bytes, so this never cuts what the limit would have kept.
        text = text[: limit * 4 + 4].decode("utf-8", "backslashreplace")
    # The text of a container may be a million characters, or nested too deeply to be written at all.
    whole = str(text) if isinstance(text, str | int | float | Exception) else f"a {type(text).__name__}"
    kept = whole[:limit]
    if not kept.isprintable():
        kept = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in kept)
    return kept + "..." if len(whole) > limit else kept
