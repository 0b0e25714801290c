"""Conditions: comparisons, lists, networks, text tests, presence; NOT is pushed down to them."""

from __future__ import annotations

from dsl import expressions as e
from dsl import nodes as n
from dsl.bind_base import spaced
from dsl.bind_calls import CallBinder
from dsl.diagnostics import did_you_mean
from dsl.expressions import Condition, Type, Value
from dsl.functions import CONDITION_FUNCTIONS
from dsl.literals import check_network, check_regex, check_wildcards
from dsl.types import comparable, describe

_INVERSE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class ConditionBinder(CallBinder):
    """What is true or false of an event."""

    def _condition(self, node: n.Expression, negated: bool) -> Condition:
        match node:
            case n.And():
                items = tuple(self.condition(i, negated) for i in node.items)
                return e.any_of(items) if negated else e.all_of(items)
            case n.Or():
                items = tuple(self.condition(i, negated) for i in node.items)
                return e.all_of(items) if negated else e.any_of(items)
            case n.Not():
                return self.condition(node.item, not negated)
            case n.Compare():
                return self._compare(node, negated)
            case n.InValues():
                return self._in_values(node, node.negated != negated)
            case n.InList():
                return self._in_list(node, node.negated != negated)
            case n.InCidr():
                return self._in_network(node, node.negated != negated)
            case n.InPath():
                return self._in_path(node, node.negated != negated)
            case n.Like():
                problem = check_wildcards(str(node.pattern.value))
                if problem is not None:
                    self._error(
                        "TW307", f"the pattern is not valid: {problem}", node.pattern.span, "too much"
                    )
                return self._text_test(node, e.Like, node.negated != negated)
            case n.Matches():
                problem = check_regex(node.pattern.value)
                if problem is not None:
                    self._error(
                        "TW307",
                        f"the pattern is not valid: {problem}",
                        node.pattern.span,
                        "not an RE2 pattern",
                        "RE2 has no look-around and no back-references; that is what keeps it linear",
                    )
                return self._text_test(node, e.Matches, node.negated != negated)
            case n.Presence():
                return self._presence(node, negated)
            case n.Call() if node.function.text == "agrees":
                return self._agrees(node, negated)
            case n.Call() if node.function.text in self.tables.defines:
                return self._expand_condition(node, negated)
            case n.Scalar(kind="bool"):
                return e.ALWAYS if bool(node.value) != negated else e.NEVER
            case _:
                return self._truth(node, negated)

    def _truth(self, node: n.Expression, negated: bool) -> Condition:
        value = self.value(node)
        if value.type.name == "error":
            return e.ALWAYS
        if value.type.name != e.BOOL:
            self._error(
                "TW303",
                f"`{self._quote(node.span)}` is {describe(value.type)}, not a condition",
                node.span,
                "a condition was expected",
                "compare it: `==`, `<`, `IN`, `EXISTS`",
            )
            return e.ALWAYS
        if isinstance(value, e.Missing):
            return e.NEVER
        return e.Compare("==", value, e.Constant(not negated, Type(e.BOOL)))

    def _compare(self, node: n.Compare, negated: bool) -> Condition:
        left, right = self.value(node.left), self.value(node.right)
        operator = _INVERSE[node.operator] if negated else node.operator
        if "error" in (left.type.name, right.type.name):
            return e.ALWAYS
        problem = comparable(left, right, node.operator)
        if problem is not None:
            text, hint = problem
            if not text and self._macros:  # both sides would be quoted as the call of the DEFINE
                text = f"{describe(left.type)} and {describe(right.type)} do not compare"
            elif not text:
                text = (
                    f"`{self._quote(node.left.span)}` is {describe(left.type)}, "
                    f"`{self._quote(node.right.span)}` is {describe(right.type)}"
                )
            self._error("TW301", text, node.span, "cannot be compared", hint)
            return e.ALWAYS
        self._check_choice(left, right, node.right.span)
        self._check_choice(right, left, node.left.span)
        if isinstance(left, e.Missing) or isinstance(right, e.Missing):
            return e.NEVER
        return e.Compare(operator, left, right)

    def _check_choice(self, field: Value, literal: Value, span: n.Span) -> None:
        if field.type.choices and isinstance(literal, e.Constant) and literal.value not in field.type.choices:
            self._not_a_choice(str(literal.value), field.type.choices, span)

    def _not_a_choice(self, value: str, choices: tuple[str, ...], span: n.Span) -> None:
        self._error(
            "TW307",
            f'"{value}" is not one of its values',
            span,
            "can never be equal",
            did_you_mean(value, choices, "one of " + ", ".join(choices)),
        )

    def _in_values(self, node: n.InValues, negated: bool) -> Condition:
        value = self.value(node.value)
        items: list[str | int | float | bool] = []
        for item in node.items.items:
            if not isinstance(item, n.Scalar):
                self._error(
                    "TW307", "a list of values holds literals", item.span, "not a literal", "quote strings"
                )
                continue
            literal = self._scalar(item)
            if value.type.name == "error":
                continue
            problem = comparable(value, literal, "==")
            if problem is not None:
                message = problem[0] or (
                    f"`{self._quote(node.value.span)}` is {describe(value.type)}, "
                    f"`{self._quote(item.span)}` is {describe(literal.type)}"
                )
                self._error("TW301", message, item.span, "can never be equal", problem[1])
                continue
            if value.type.choices and literal.value not in value.type.choices:
                self._not_a_choice(str(literal.value), value.type.choices, item.span)
            items.append(literal.value)
        if isinstance(value, e.Missing):
            return e.ALWAYS if value.type.name == "error" else e.NEVER
        return e.InSet(value, tuple(dict.fromkeys(items)), negated)

    def _scalar(self, node: n.Scalar) -> e.Constant:
        value = node.value
        if node.kind == "size":
            return e.Constant(value, Type(e.INT, "bytes"))
        if node.kind == "duration":
            return e.Constant(value, Type(e.DURATION))
        if node.kind == "string":
            return e.Constant(value, Type(e.STRING))
        if node.kind == "bool":
            return e.Constant(value, Type(e.BOOL))
        return e.Constant(value, Type(e.FLOAT if isinstance(value, float) else e.INT))

    def _in_list(self, node: n.InList, negated: bool) -> Condition:
        value = self._text_value(node.value, "IN LIST")
        name = node.name.text
        if name not in self.tables.lists:
            if name not in self.tables.broken:
                hint = did_you_mean(name, self.tables.lists, "declare it: LIST name = [..] or FROM a file")
                self._error(
                    "TW203", f"no list is called `{spaced(name)}`", node.name.span, "not declared", hint
                )
            else:
                self._broken(node.name)
            return e.ALWAYS
        if isinstance(value, e.Missing):
            return e.ALWAYS if value.type.name == "error" else e.NEVER
        return e.InNamedList(value, name, negated)

    def _in_network(self, node: n.InCidr, negated: bool) -> Condition:
        value = self._text_value(node.value, "IN CIDR")
        problem = check_network(str(node.network.value))
        if problem is not None:
            self._error(
                "TW307", problem, node.network.span, "not a network", 'such as "10.0.0.0/8" or "fd00::/8"'
            )
            return e.ALWAYS
        if isinstance(value, e.Missing):
            return e.ALWAYS if value.type.name == "error" else e.NEVER
        return e.InNetwork(value, str(node.network.value), negated)

    def _in_path(self, node: n.InPath, negated: bool) -> Condition:
        value = self.value(node.value)
        parts = node.path.parts
        first = parts[0].text
        if len(parts) == 1 and first in self.tables.lists and not self._is_field(first):
            self._error(
                "TW207",
                f"`{spaced(first)}` is a list",
                node.path.span,
                "IN LIST?",
                f"write `IN LIST {spaced(first)}`",
            )
            return e.ALWAYS
        if len(parts) == 2 and first in self.scope.steps and self.scope.steps[first].level:
            if not self._visible(parts[0]):
                return e.ALWAYS
            target = self._step_field(parts[0], parts[1])
            if "error" in (target.type.name, value.type.name) or self._mismatch(value, target, node):
                return e.ALWAYS
            if isinstance(value, e.Missing) or isinstance(target, e.Missing):
                return e.NEVER
            return e.InStep(value, first, parts[1].text, negated)
        target = self._path(node.path)
        if "error" in (target.type.name, value.type.name):
            return e.ALWAYS
        if target.type.name != e.STRINGS and len(parts) == 2:
            if self._mismatch(value, target, node):
                return e.ALWAYS
            if isinstance(value, e.Missing) or isinstance(target, e.Missing):
                return e.NEVER
            return e.Compare("!=" if negated else "==", value, target)
        if target.type.name != e.STRINGS or value.type.name != e.STRING:
            self._error(
                "TW301",
                f"`{self._quote(node.path.span)}` is {describe(target.type)}, not a list of strings",
                node.path.span,
                "IN wants a list",
                "`IN [..]`, `IN LIST name`, or a field of type LIST OF string",
            )
            return e.ALWAYS
        if isinstance(value, e.Missing) or not isinstance(target, e.Field):
            return e.NEVER
        return e.InField(value, target, negated)

    def _mismatch(self, value: Value, target: Value, node: n.InPath) -> bool:
        problem = comparable(value, target, "==")
        if problem is None:
            return False
        message = problem[0] or (
            f"`{self._quote(node.value.span)}` is {describe(value.type)}, "
            f"`{self._quote(node.path.span)}` is {describe(target.type)}"
        )
        self._error("TW301", message, node.span, "can never be equal", problem[1])
        return True

    def _text_value(self, node: n.Expression, what: str) -> Value:
        value = self.value(node)
        if value.type.name not in (e.STRING, e.IP, "error"):
            return self._error(
                "TW301",
                f"{what} wants text, `{self._quote(node.span)}` is {describe(value.type)}",
                node.span,
                "not text",
            )
        return value

    def _text_test(
        self, node: n.Like | n.Matches, make: type[e.Like | e.Matches], negated: bool
    ) -> Condition:
        value = self._text_value(node.value, "LIKE" if isinstance(node, n.Like) else "MATCHES")
        if isinstance(value, e.Missing):
            return e.ALWAYS if value.type.name == "error" else e.NEVER
        return make(value, str(node.pattern.value), negated)

    def _presence(self, node: n.Presence, negated: bool) -> Condition:
        value = self.value(node.value)
        wants_missing = node.exists == negated
        if value.type.name == "error":
            return e.ALWAYS
        if isinstance(value, e.Missing):
            return e.ALWAYS if wants_missing else e.NEVER
        return e.Present(value, wants_missing)

    def _agrees(self, node: n.Call, negated: bool) -> Condition:
        if not self._arity(node, *CONDITION_FUNCTIONS["agrees"]):
            return e.ALWAYS
        left, right = (self.value(a) for a in node.arguments)
        if "error" in (left.type.name, right.type.name):
            return e.ALWAYS
        problem = comparable(left, right, "==")
        if problem is not None:
            message = problem[0] or f"{describe(left.type)} and {describe(right.type)}"
            self._error("TW301", message, node.span, "can never agree", problem[1])
            return e.ALWAYS
        if isinstance(left, e.Missing) or isinstance(right, e.Missing):
            return e.NEVER if negated else e.ALWAYS
        return e.Agrees(left, right, negated)

    def _expand_condition(self, node: n.Call, negated: bool) -> Condition:
        body = self._enter(node)
        if body is None:
            return e.ALWAYS
        try:
            return self.condition(body, negated)
        finally:
            self._macros.pop()
