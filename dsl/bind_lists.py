"""LISTs that are written out, in a declaration or in a TEST."""

from __future__ import annotations

from dsl import nodes as n
from dsl.literals import check_wildcards
from dsl.scope import Report


def list_items(node: n.ListValue, report: Report) -> tuple[str, ...]:
    """The entries of a LIST that is written out."""
    found: list[str] = []
    for item in node.items:
        if not isinstance(item, n.Scalar) or not isinstance(item.value, str):
            report.error("TW307", "a LIST holds strings", item.span, "not a string", "quote it")
            continue
        problem = check_wildcards(item.value)
        if problem is not None:
            report.error("TW307", f"the entry is not valid: {problem}", item.span, "cannot be matched")
        found.append(item.value)
    return tuple(found)
