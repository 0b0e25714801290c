"""Whether two files say the same: their syntax trees without the places in the text."""

from __future__ import annotations

from dsl.nodes import Node, Span
from dsl.parse import ParsedFile


def same_meaning(one: ParsedFile, other: ParsedFile) -> bool:
    """Whether both parsed whole, into equal declarations in equal order."""
    if one.diagnostics or other.diagnostics:
        return False
    return _same(one.declarations, other.declarations)


def _same(one: object, other: object) -> bool:
    left: list[tuple[object, object]] = [(one, other)]
    while left:
        a, b = left.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, Span):
            continue
        if isinstance(a, Node):
            left.extend((getattr(a, name), getattr(b, name)) for name in a.__struct_fields__)
        elif isinstance(a, tuple) and isinstance(b, tuple):
            if len(a) != len(b):
                return False
            left.extend(zip(a, b, strict=True))
        elif a != b:
            return False
    return True
