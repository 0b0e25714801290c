"""Subjects and headers made from text that we do not control.

Device ids, rule names and error texts come from outside. A dot in a device id
would change the number of tokens of a subject, ``*`` and ``>`` would make it a
wildcard, and a line break would end the protocol line. `encode_token` makes
any text one harmless token.

The encoding: letters, digits, ``_`` and ``-`` stand for themselves; every other
byte of the UTF-8 form becomes ``=`` and two upper-case hex digits, so
``10.0.0.7`` is ``10=2E0=2E0=2E7``. ``=`` was chosen instead of ``%`` because it
is also legal in the keys of a NATS key-value bucket. The empty text is a single
``=``. A token longer than `LONGEST_TOKEN` is cut and ends in ``==`` and 32 hex
digits of the SHA-256 of the whole text: still one token for each text, but it
cannot be turned back. `decode_token` undoes the rest.
"""

import hashlib
import re
from functools import lru_cache

from engine.service.processor import Outgoing

LONGEST_TOKEN = 128
"""Characters in a token. Three of them and the fixed parts stay far below the 4,096 bytes
that a server accepts as one control line (``max_control_line``)."""

LONGEST_HEADER_VALUE = 512
"""Characters in a header value; enough for a sentence, and a hostile one cannot fill the message."""

LARGEST_DEAD_LETTER = 64 * 1024
"""Bytes of the offending message that a dead letter keeps."""

TICK = b'{"kind":"thenwire.tick"}'
"""The whole payload of a tick (``ticks``). Whoever may publish events may publish it; it only says "now"."""

_PLAIN_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_UNSAFE_BYTE = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPE = re.compile(rb"=([0-9A-F]{2})")
_WHOLE_TOKEN = re.compile(rb"=|(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+")
_UNSAFE_IN_HEADER = re.compile(r"[^\x20-\x7e]+")
# Without "=": what is encoded always has one, so it cannot meet an id that was left as it is.
_PLAIN_MESSAGE_ID = re.compile(r"[!-<>-~]{1,128}")
_DIGEST_LENGTH = 32
_DEAD_LETTERS = "dlq.thenwire."


def encode_token(text: str) -> str:
    """Turn any text into one NATS subject token; different texts give different tokens."""
    if _PLAIN_TOKEN.fullmatch(text):
        return text
    if not text:
        return "="
    # A lone surrogate is no valid text, but JSON can carry one and it must not raise here.
    raw = text.encode("utf-8", "surrogatepass")
    token = _UNSAFE_BYTE.sub(lambda byte: b"=%02X" % byte[0][0], raw).decode("ascii")
    if len(token) <= LONGEST_TOKEN:
        return token
    digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_LENGTH]
    return f"{token[: LONGEST_TOKEN - _DIGEST_LENGTH - 2]}=={digest}"


# Reasons and names of streams, of which there are few: a message may cause a hundred thousand dead letters.
_short_token = lru_cache(maxsize=256)(encode_token)


def decode_token(token: str) -> str:
    """Give back the text that `encode_token` made ``token`` from.

    Raises ``ValueError`` if the token was cut, or was not made by `encode_token`.
    """
    raw = token.encode("ascii", "replace")
    if not _WHOLE_TOKEN.fullmatch(raw):
        raise ValueError(f"not a whole encoded token: {token!r}")
    if token == "=":
        return ""
    plain = _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), raw)
    return plain.decode("utf-8", "surrogatepass")


def alert_subject(severity: str, rule: str, device: str) -> str:
    """The subject of an alert: ``alerts.<severity>.<rule>.<device>``, each part encoded."""
    return f"alerts.{encode_token(severity)}.{encode_token(rule)}.{encode_token(device)}"


def finding_subject(alert: str) -> str:
    """The subject of an alert's OCSF form: that of the alert with ``ocsf`` in front instead of ``alerts``."""
    return "ocsf" + alert.removeprefix("alerts")


def tick_subject(input_subjects: tuple[str, ...]) -> str:
    """Where ticks go: the first subject of the input with names in place of its wildcards."""
    tokens = input_subjects[0].split(".")
    named = {"*": "thenwire", ">": "thenwire.tick"}
    return ".".join(named.get(token, token) for token in tokens)


def dead_letter_subject(reason: str) -> str:
    """The subject of a dead letter: ``dlq.thenwire.<reason>``, the reason encoded."""
    return f"{_DEAD_LETTERS}{encode_token(reason)}"


def header_value(text: str, longest: int = LONGEST_HEADER_VALUE) -> str:
    """Make ``text`` a header value: printable ASCII on one line, at most ``longest`` characters.

    Runs of other characters become one ``?``. What is cut is marked by ``...``.
    """
    if len(text) <= longest and text.isascii() and text.isprintable() and text == text.strip():
        return text
    clean = _UNSAFE_IN_HEADER.sub("?", text[: longest * 2]).strip()
    if len(clean) > longest or len(text) > longest * 2:
        return clean[: longest - 3] + "..."
    return clean


def safe_message_id(text: str) -> str:
    """A message id as it is when it is plain and short, else encoded: two ids never become one."""
    if _PLAIN_MESSAGE_ID.fullmatch(text):
        return text
    return encode_token(text)


def dead_letter(
    *,
    reason: str,
    detail: str,
    payload: bytes,
    stream: str,
    sequence: int,
    subject: str,
    index: int = 0,
) -> Outgoing:
    """A message, or one event of it, that could not be processed, with where it came from.

    ``index`` counts the events inside the message from 0; ``payload`` is the
    offending bytes as they came, of which `LARGEST_DEAD_LETTER` are kept. When
    more were there, the header ``Origin-Size`` says how many.
    """
    headers = _origin(stream, sequence, subject, index)
    headers["Error-Reason"] = header_value(reason)
    headers["Error-Detail"] = header_value(detail)
    if len(payload) > LARGEST_DEAD_LETTER:
        headers["Origin-Size"] = str(len(payload))
        payload = payload[:LARGEST_DEAD_LETTER]
    token = _short_token(reason)
    return Outgoing(
        subject=f"{_DEAD_LETTERS}{token}",
        payload=payload,
        message_id=f"dlq:{_short_token(stream)}:{sequence}:{index}:{token}",
        headers=headers,
    )


def late_event(
    *, kind: str, payload: bytes, stream: str, sequence: int, subject: str, index: int = 0
) -> Outgoing:
    """An event that came later than LATE and was not matched, on ``late.thenwire.<kind>``.

    ``payload`` is the event as it came, so that it can be published again once the rules allow it.
    """
    return Outgoing(
        subject=f"late.thenwire.{encode_token(kind)}",
        payload=payload,
        message_id=f"late:{_short_token(stream)}:{sequence}:{index}",
        headers=_origin(stream, sequence, subject, index),
    )


def _origin(stream: str, sequence: int, subject: str, index: int) -> dict[str, str]:
    """Headers that say where an event came from."""
    return {
        "Origin-Stream": header_value(stream),
        "Origin-Sequence": str(sequence),
        "Origin-Subject": header_value(subject),
        "Origin-Index": str(index),
    }
