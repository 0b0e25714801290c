"""HTML and SVG from Python, so that text from outside can never become markup.

Elements are built by :func:`tag`. Whatever is not a :class:`Markup` is text, and text is escaped; there is
no way to say "this string is safe" but to build it here. Attribute values are escaped and quoted the same.

>>> tag("p", "a < b", class_="note")
'<p class="note">a &lt; b</p>'
"""

from __future__ import annotations

from html import escape
from typing import Any

from engine.alerts import printable

_VOID = frozenset({"meta", "br", "input", "col", "link"})
"""Elements of HTML that have no end tag (HTML Living Standard, section 13.1.2)."""


class Markup(str):
    """A piece of the page that is markup already. Made by this module only."""

    __slots__ = ()


Child = Markup | str | int | float | None


def text(value: object) -> Markup:
    """Text from anywhere: escaped, and without control characters, also those that reverse text."""
    return Markup(escape(printable(str(value)), quote=True))


def tag(name: str, /, *children: Child, **attributes: Any) -> Markup:
    """An element.

    Args:
        name: of the element.
        children: None is left out; anything that is not markup is text.
        attributes: ``_`` stands for ``-``, and one at the end is dropped (``class_``). True gives an
            attribute without a value; None and False leave it out.
    """
    opening = name
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        opening += f" {key}" if value is True else f' {key}="{_attribute(value)}"'
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Pieces one behind the other."""
    return Markup("".join(c if isinstance(c, Markup) else text(c) for c in children if c is not None))


def json_text(data: bytes) -> Markup:
    """JSON to be shown: every character that does not print stands as its escape, so that what is copied
    from the page is the same JSON."""
    shown = data.decode("utf-8", "replace")
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() or c == "\n" else _json_escape(c) for c in shown)
    return Markup(escape(shown, quote=True))


def raw(name: str, content: str) -> Markup:
    """``style`` or ``script`` with content of our own.

    Raises:
        ValueError: the content could end the element. It never holds data, so that is a fault of ours.
    """
    if "</" in content or "<!--" in content:
        raise ValueError(f"the content of {name} could end it")
    return Markup(f"<{name}>{content}</{name}>")


def _attribute(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else text(value)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2))
