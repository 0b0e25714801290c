"""What every part of the expression binder stands on: reporting, bounds, DEFINEs put in."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dsl import expressions as e
from dsl import nodes as n
from dsl.expressions import Condition, Type, Value
from dsl.macros import substitute
from dsl.scope import Report, Scope, Tables

ERROR_TYPE = Type("error")
INVALID = e.Missing(ERROR_TYPE)
MAX_PARTS = 20_000
"""An expression with more parts (DEFINEs inside DEFINEs) is refused: it would never be meant."""
MAX_MACRO_PARTS = 1_000_000
"""Likewise for what all DEFINEs of a rule set together put in."""
MAX_DEPTH = 100
"""Parts inside each other: whoever compiles or compares an expression does so recursively."""


def spaced(name: str) -> str:
    """A name as people write it."""
    return name.replace("_", " ")


class BinderBase(ABC):
    """The state of one binder: its scope, the DEFINEs it is inside of, how much it has bound."""

    def __init__(self, tables: Tables, scope: Scope, report: Report) -> None:
        self.tables = tables
        self.scope = scope
        self.report = report
        self._macros: list[tuple[str, n.Span]] = []
        self._parts = 0
        self._depth = 0
        self._refused = False

    def _error(self, code: str, message: str, span: n.Span, label: str, hint: str = "") -> e.Missing:
        if self._macros:  # point at the use; the DEFINE may stand in another file
            name, _ = self._macros[-1]
            self.report.error(code, f"{message}, in DEFINE {spaced(name)}", self._macros[0][1], label, hint)
        else:
            self.report.error(code, message, span, label, hint)
        return INVALID

    def _quote(self, span: n.Span) -> str:
        return self.report.quote(self._macros[0][1] if self._macros else span)

    def _too_large(self, node: n.Expression) -> bool:
        self._parts += 1
        if self._macros:
            self.tables.macro_parts += 1
        if not self._refused:
            if self._parts > MAX_PARTS or self.tables.macro_parts > MAX_MACRO_PARTS:
                label = "too many parts once DEFINEs are put in"
            elif self._depth >= MAX_DEPTH:
                label = "nested too deep once DEFINEs are put in"
            else:
                return False
            self._refused = True
            self._error("TW105", "the expression is too large", node.span, label, "cut it into SIGNALs")
        return True

    def _broken(self, name: n.Name) -> e.Missing:
        return self._error(
            "TW201",
            f"`{spaced(name.text)}` has an error of its own",
            name.span,
            "did not load",
            "mend that first; this will load with it",
        )

    def _enter(self, node: n.Call) -> n.Expression | None:
        define, _ = self.tables.defines[node.function.text]
        if len(node.arguments) != len(define.parameters):
            self._error(
                "TW302",
                f"`{spaced(define.name.text)}` takes {len(define.parameters)}, not {len(node.arguments)}",
                node.span,
                "wrong number of arguments",
            )
            return None
        self._macros.append((define.name.text, node.span))
        bound = dict(zip((p.text for p in define.parameters), node.arguments, strict=True))
        return substitute(define.body, bound)

    def _arity(self, node: n.Call, fewest: int, most: int) -> bool:
        if fewest <= len(node.arguments) <= most:
            return True
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        self._error(
            "TW302",
            f"`{node.function.text}` takes {wanted}, not {len(node.arguments)}",
            node.span,
            "wrong number of arguments",
        )
        return False

    @abstractmethod
    def condition(self, node: n.Expression, negated: bool = False) -> Condition:
        """The node as a condition; ``negated`` if a NOT stands over it."""

    @abstractmethod
    def value(self, node: n.Expression) -> Value:
        """The node as a value."""
