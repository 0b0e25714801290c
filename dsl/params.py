"""PARAM: a named constant, perhaps set by the deployment."""

from __future__ import annotations

from collections.abc import Mapping

from dsl import expressions as e
from dsl import nodes as n
from dsl.expressions import Type
from dsl.model import Param
from dsl.scope import Report

Overrides = Mapping[str, str | int | float | bool]


def bind_param(node: n.ParamNode, overrides: Overrides, report: Report) -> Param | None:
    """A PARAM with the deployment's value, if it has one of the same type."""
    name = node.name.text
    if not isinstance(node.value, n.Scalar):
        report.error(
            "TW304",
            "a PARAM is one literal",
            node.value.span,
            "not a literal",
            "lists are declared with LIST",
        )
        return None
    kinds = {
        "size": Type(e.INT, "bytes"),
        "duration": Type(e.DURATION),
        "string": Type(e.STRING),
        "bool": Type(e.BOOL),
    }
    type_ = kinds.get(node.value.kind) or Type(e.FLOAT if isinstance(node.value.value, float) else e.INT)
    if name not in overrides:
        return Param(name, node.value.value, type_, node.text, False)
    value = overrides[name]
    if type_.name == e.FLOAT and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    fits = {e.FLOAT: float, e.INT: int, e.DURATION: int, e.STRING: str, e.BOOL: bool}[type_.name]
    if type(value) is not fits:
        report.error(
            "TW304",
            f"`{name}` was set to {value!r}",
            node.name.span,
            f"it is {type_}",
            "set it to a value of its type",
        )
        return None
    return Param(name, value, type_, node.text, True)
