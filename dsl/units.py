"""Literals as values: durations in milliseconds, sizes in bytes, numbers, strings.

LANGUAGE.md section 1. ``KB MB GB TB`` are powers of 1000, ``KiB MiB GiB TiB`` of 1024 (IEC 80000-13).
"""

from __future__ import annotations

import re

_DURATION_PART = re.compile(r"([0-9][0-9_]*)(ms|s|m|h|d)")
_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)(B|[KMGT]i?B)\Z")
_PREFIXES = "KMGT"
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def duration_ms(text: str) -> int:
    """A duration literal such as ``1h30m`` in whole milliseconds.

    Raises:
        ValueError: another form, or a unit that comes twice or out of order (``5m1h``).
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
        total += int(part[1].replace("_", "")) * unit
        position = part.end()
    return total


def size_bytes(text: str) -> int:
    """A size literal such as ``1.5MB`` in whole bytes, rounded down.

    Raises:
        ValueError: another form.
    """
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(f"`{text}` is not a size such as 20KB or 64KiB")
    number, unit = match[1].replace("_", ""), match[2]
    factor = 1
    if unit != "B":
        factor = (1024 if "i" in unit else 1000) ** (_PREFIXES.index(unit[0]) + 1)
    whole, _, fraction = number.partition(".")
    return int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)


def number(text: str) -> int | float:
    """A number literal: an int without, a float with a decimal point."""
    plain = text.replace("_", "")
    return float(plain) if "." in plain else int(plain)


def string(text: str) -> str:
    """The value of a string token, quotes included in ``text``.

    Escapes: ``\\"``, ``\\\\``, ``\\n``, ``\\t``. Any other backslash stays as it is, so that a regular
    expression such as ``"^\\d+$"`` needs no doubling.
    """
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], "\\" + m[1]), text[1:-1])


def format_duration(milliseconds: int) -> str:
    """The shortest literal of a duration: ``90000`` is ``1m30s``; zero is ``0s``."""
    if milliseconds == 0:
        return "0s"
    sign, rest, parts = ("-" if milliseconds < 0 else ""), abs(milliseconds), []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _DURATION_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts)
