"""Literals as values: durations in milliseconds, sizes in bytes, numbers, strings.

LANGUAGE.md section 1. ``KB MB GB TB`` are powers of 1000, ``KiB MiB GiB TiB`` of 1024 (IEC 80000-13).
"""

from __future__ import annotations

import math
import re

MAX_NUMBER = 2**63 - 1
"""Wire numbers and packed state are 64 bits wide; a larger literal could never be met."""
_MAX_DIGITS = 400

_DURATION_PART = re.compile(r"([0-9][0-9_]*)(ms|s|m|h|d)")
_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)(B|[KMGT]i?B)\Z")
_PREFIXES = "KMGT"
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def duration_ms(text: str) -> int:
    """A duration literal such as ``1h30m`` in whole milliseconds.

    Raises:
        ValueError: another form, a unit that comes twice or out of order (``5m1h``), or more than
            :data:`MAX_NUMBER`.
    """
    total, position, last = 0, 0, 1 << 62
    while position < len(text):
        part = _DURATION_PART.match(text, position)
        if part is None:
            raise ValueError(f"`{text}` is not a duration such as 30s, 10m or 1h30m")
        unit = _DURATION_MS[part[2]]
        if unit >= last:
            raise ValueError(f"the units of `{text}` must go from large to small, each once")
        last = unit
        total += _whole(part[1].replace("_", ""), text) * unit
        position = part.end()
    return _in_range(total, text)


def size_bytes(text: str) -> int:
    """A size literal such as ``1.5MB`` in whole bytes, rounded down.

    Raises:
        ValueError: another form, or more than :data:`MAX_NUMBER`.
    """
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(f"`{text}` is not a size such as 20KB or 64KiB")
    number, unit = match[1].replace("_", ""), match[2]
    factor = 1
    if unit != "B":
        factor = (1024 if "i" in unit else 1000) ** (_PREFIXES.index(unit[0]) + 1)
    whole, _, fraction = number.partition(".")
    small = _whole(fraction, text) * factor // 10 ** len(fraction) if fraction else 0
    return _in_range(_whole(whole, text) * factor + small, text)


def number(text: str) -> int | float:
    """A number literal: an int without, a float with a decimal point.

    Raises:
        ValueError: more than :data:`MAX_NUMBER`, or a float beyond the range of 64 bits.
    """
    plain = text.replace("_", "")
    if "." not in plain:
        return _in_range(_whole(plain, text), text)
    value = float(plain)
    if math.isinf(value):
        raise ValueError(_too_large(text))
    return value


def _whole(digits: str, text: str) -> int:
    if len(digits) > _MAX_DIGITS:  # Python itself refuses to convert some thousands of digits
        raise ValueError(_too_large(text))
    return int(digits)


def _in_range(value: int, text: str) -> int:
    if value > MAX_NUMBER:
        raise ValueError(_too_large(text))
    return value


def _too_large(text: str) -> str:
    shown = text if len(text) <= 40 else f"{text[:20]}... ({len(text):,} characters)"
    return f"`{shown}` is too large: at most 2^63 - 1"


def string(text: str) -> str:
    """The value of a string token, quotes included in ``text``.

    Escapes: ``\\"``, ``\\\\``, ``\\n``, ``\\t``. Any other backslash stays as it is, so that a regular
    expression such as ``"^\\d+$"`` needs no doubling.
    """
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], "\\" + m[1]), text[1:-1])


def format_duration(milliseconds: int) -> str:
    """The shortest literal of a duration: ``90000`` is ``1m30s``; zero is ``0s``."""
    if milliseconds < 0:
        return "-" + format_duration(-milliseconds)
    seconds, rest = divmod(milliseconds, 1_000)
    minutes, seconds = divmod(seconds, 60)
    text = f"{rest}ms" if rest else ""
    if seconds:
        text = f"{seconds}s{text}"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        if minutes:
            text = f"{minutes}m{text}"
        if hours:
            days, hours = divmod(hours, 24)
            if hours:
                text = f"{hours}h{text}"
            if days:
                text = f"{days}d{text}"
    return text or "0s"
