"""Expressions: names to fields, macros and PARAMs put in, types checked, NOT pushed down.

Errors are collected, not raised: a part with an error becomes a value of type ``error``, which
fits everywhere, so that one slip gives one message. The parts stand in ``bind_conditions.py``,
``bind_calls.py`` and ``bind_names.py``; each builds on the next.
"""

from __future__ import annotations

from dsl import expressions as e
from dsl import nodes as n
from dsl.bind_base import INVALID
from dsl.bind_conditions import ConditionBinder
from dsl.expressions import Condition, Type, Value
from dsl.types import describe, result_of


class ExpressionBinder(ConditionBinder):
    """Binds the expressions of one scope. ``report.found`` grows with every error."""

    def condition(self, node: n.Expression, negated: bool = False) -> Condition:
        """The node as a condition; ``negated`` if a NOT stands over it."""
        if self._too_large(node):
            return e.ALWAYS
        self._depth += 1
        try:
            return self._condition(node, negated)
        finally:
            self._depth -= 1

    def value(self, node: n.Expression) -> Value:
        """The node as a value."""
        if self._too_large(node):
            return INVALID
        # The first operand of a chain of operators ends up as deep as the chain is long.
        levels = max(1, len(node.rest)) if isinstance(node, n.Arithmetic) else 1
        self._depth += levels
        try:
            return self._value(node)
        finally:
            self._depth -= levels

    def _value(self, node: n.Expression) -> Value:
        match node:
            case n.Scalar():
                return self._scalar(node)
            case n.Reference():
                return self._path(node.path)
            case n.Negative():
                inner = self.value(node.item)
                if isinstance(inner, e.Constant) and not isinstance(inner.value, str | bool):
                    return e.Constant(-inner.value, inner.type)
                return self._arithmetic("-", e.Constant(0, Type(e.INT)), inner, node)
            case n.Arithmetic():
                result = self.value(node.first)
                for operator, item in node.rest:
                    result = self._arithmetic(operator, result, self.value(item), node)
                return result
            case n.Call():
                return self._call(node)
            case _:
                return self._error(
                    "TW303",
                    f"`{self._quote(node.span)}` is a condition, not a value",
                    node.span,
                    "a value was expected",
                    "`choose(condition, a, b)` makes a value of a condition",
                )

    def _arithmetic(self, operator: str, left: Value, right: Value, node: n.Expression) -> Value:
        if "error" in (left.type.name, right.type.name):
            return INVALID
        result = result_of(operator, left.type, right.type)
        if result is None:
            return self._error(
                "TW301",
                f"{describe(left.type)} {operator} {describe(right.type)} has no meaning",
                node.span,
                "types do not fit",
            )
        if isinstance(left, e.Missing) or isinstance(right, e.Missing):
            return e.Missing(result)
        optional = left.optional or right.optional or operator in "/%"
        return e.Arithmetic(operator, left, right, result, optional)
