"""Expressions: names to fields, macros and PARAMs put in, types checked, NOT pushed down.

Errors are collected, not raised: a part with an error becomes a value of type ``error``, which
fits everywhere, so that one slip gives one message.
"""

from __future__ import annotations

from dsl import expressions as e
from dsl import nodes as n
from dsl.diagnostics import did_you_mean
from dsl.expressions import Condition, Type, Value
from dsl.functions import ALL_FUNCTIONS, BASELINE_FUNCTIONS, CONDITION_FUNCTIONS, VALUE_FUNCTIONS
from dsl.literals import check_network, check_regex
from dsl.macros import substitute
from dsl.scope import Report, Scope, Tables, constant, field_of
from dsl.types import comparable, describe, result_of

ERROR_TYPE = Type("error")
INVALID = e.Missing(ERROR_TYPE)
MAX_PARTS = 20_000
"""An expression with more parts (DEFINEs inside DEFINEs) is refused: it would never be meant."""
MAX_MACRO_PARTS = 1_000_000
"""Likewise for what all DEFINEs of a rule set together put in."""
MAX_DEPTH = 100
"""Parts inside each other: whoever compiles or compares an expression does so recursively."""

_INVERSE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class ExpressionBinder:
    """Binds the expressions of one scope. ``report.found`` grows with every error."""

    def __init__(self, tables: Tables, scope: Scope, report: Report) -> None:
        self.tables = tables
        self.scope = scope
        self.report = report
        self._macros: list[tuple[str, n.Span]] = []
        self._parts = 0
        self._depth = 0
        self._refused = False

    # --- reporting

    def _error(self, code: str, message: str, span: n.Span, label: str, hint: str = "") -> e.Missing:
        if self._macros:  # point at the use; the DEFINE may stand in another file
            name, _ = self._macros[-1]
            self.report.error(code, f"{message}, in DEFINE {_spaced(name)}", self._macros[0][1], label, hint)
        else:
            self.report.error(code, message, span, label, hint)
        return INVALID

    def _quote(self, span: n.Span) -> str:
        return self.report.quote(self._macros[0][1] if self._macros else span)

    # --- conditions

    def condition(self, node: n.Expression, negated: bool = False) -> Condition:
        """The node as a condition; ``negated`` if a NOT stands over it."""
        if self._too_large(node):
            return e.ALWAYS
        self._depth += 1
        try:
            return self._condition(node, negated)
        finally:
            self._depth -= 1

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

    def _in_list(self, node: n.InList, negated: bool) -> Condition:
        value = self._text_value(node.value, "IN LIST")
        name = node.name.text
        if name not in self.tables.lists:
            if name not in self.tables.broken:
                hint = did_you_mean(name, self.tables.lists, "declare it: LIST name = [..] or FROM a file")
                self._error(
                    "TW203", f"no list is called `{_spaced(name)}`", node.name.span, "not declared", hint
                )
            else:
                self._broken(node.name)
            return e.ALWAYS
        if isinstance(value, e.Missing):
            return e.ALWAYS if value.type.name == "error" else e.NEVER
        return e.InNamedList(value, name, negated)

    def _broken(self, name: n.Name) -> e.Missing:
        return self._error(
            "TW201",
            f"`{_spaced(name.text)}` has an error of its own",
            name.span,
            "did not load",
            "mend that first; this will load with it",
        )

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
                f"`{_spaced(first)}` is a list",
                node.path.span,
                "IN LIST?",
                f"write `IN LIST {_spaced(first)}`",
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

    # --- macros

    def _enter(self, node: n.Call) -> n.Expression | None:
        define, _ = self.tables.defines[node.function.text]
        if len(node.arguments) != len(define.parameters):
            self._error(
                "TW302",
                f"`{_spaced(define.name.text)}` takes {len(define.parameters)}, not {len(node.arguments)}",
                node.span,
                "wrong number of arguments",
            )
            return None
        self._macros.append((define.name.text, node.span))
        bound = dict(zip((p.text for p in define.parameters), node.arguments, strict=True))
        return substitute(define.body, bound)

    def _expand_condition(self, node: n.Call, negated: bool) -> Condition:
        body = self._enter(node)
        if body is None:
            return e.ALWAYS
        try:
            return self.condition(body, negated)
        finally:
            self._macros.pop()

    # --- values

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

    def _path(self, path: n.Path) -> Value:
        parts = path.parts
        if len(parts) == 1:
            return self._bare(parts[0])
        first = parts[0].text
        if first not in self.scope.steps:
            hint = did_you_mean(first, self.scope.steps, "steps are named with AS")
            return self._error(
                "TW206", f"no step is called `{_spaced(first)}`", parts[0].span, "not a step", hint
            )
        if not self._visible(parts[0]):
            return INVALID
        if self.scope.steps[first].level:
            return self._aggregate(parts)
        if len(parts) != 2:
            return self._error(
                "TW202",
                f"`{self._quote(path.span)}` names nothing",
                path.span,
                "too many dots",
                "write `step.field`",
            )
        return self._step_field(parts[0], parts[1])

    def _visible(self, name: n.Name) -> bool:
        if name.text in self.scope.visible:
            return True
        self._error(
            "TW213",
            f"`{_spaced(name.text)}` is not known here yet",
            name.span,
            "completes later",
            "a filter or guard may read steps that are already completed",
        )
        return False

    def _aggregate(self, parts: tuple[n.Name, ...]) -> Value:
        step, part = parts[0].text, parts[1].text
        if part == "count" and len(parts) == 2:
            return e.StepAggregate(step, "count", None, Type(e.INT), False)
        if part in ("first", "last") and len(parts) == 3:
            field = self._step_field(parts[0], parts[2])
            if isinstance(field, e.Missing):
                return field
            return e.StepAggregate(step, part, parts[2].text, field.type, field.optional)
        return self._error(
            "TW202",
            f"`{_spaced(step)}` is several events",
            parts[1].span,
            "of which one?",
            f"`{step}.count`, `{step}.first.f`, `{step}.last.f`, or `IN {step}.f`",
        )

    def _step_field(self, step: n.Name, name: n.Name) -> Value:
        kinds = self.scope.steps[step.text].kinds
        found = [field_of(self.tables.event_of_kind(kind), name.text) for kind in kinds]
        present = [f for f in found if f is not None]
        if not present:
            known = {f for kind in kinds for f in self.tables.event_of_kind(kind).fields}
            return self._unknown_field(name, kinds, known)
        types = {f.type for f in present}
        if len({(t.name, t.unit) for t in types}) > 1:
            return self._error(
                "TW305",
                f"`{step.text}.{name.text}` has more than one type",
                name.span,
                " and ".join(sorted({describe(t) for t in types})),
                "give the fields one type, or name the event types apart",
            )
        optional = len(present) < len(found) or any(f.optional for f in present)
        return e.Field(step.text, name.text, _merged(types), optional)

    def _unknown_field(self, name: n.Name, kinds: tuple[str, ...], known: set[str]) -> e.Missing:
        where = ", ".join(kind.replace(".", " ") for kind in kinds[:3])
        hint = did_you_mean(name.text, known, f"fields of {where}: " + ", ".join(sorted(known)[:12]))
        return self._error(
            "TW202", f"{where} has no field `{_spaced(name.text)}`", name.span, "not declared", hint
        )

    def _is_field(self, name: str) -> bool:
        return any(field_of(self.tables.event_of_kind(k), name) is not None for k in self.scope.kinds)

    def _bare(self, name: n.Name) -> Value:
        text, scope = name.text, self.scope
        if scope.event is not None:
            field = field_of(scope.event, text)
            if field is not None:
                return e.Field(None, text, field.type, field.optional)
            others = [field_of(self.tables.event_of_kind(k), text) for k in scope.kinds]
            declared = next((f for f in others if f is not None), None)
            if declared is not None:
                return e.Missing(declared.type)
        if text in scope.keys:
            return scope.keys[text]
        if scope.severities and text in e.SEVERITIES:
            return e.Constant(text, Type(e.SEVERITY))
        param = scope.params.get(text) or self.tables.params.get(text)
        if param is not None:
            self.report.params[text] = param
            return constant(param)
        if text in self.tables.broken:
            return self._broken(name)
        return self._unknown_bare(name)

    def _unknown_bare(self, name: n.Name) -> e.Missing:
        text, scope = name.text, self.scope
        params = set(scope.params) | set(self.tables.params)
        if scope.event is None:
            if text in scope.steps:
                return self._error(
                    "TW202", f"`{text}` is a step", name.span, "one of its fields?", f"write `{text}.field`"
                )
            known = params | set(scope.keys) | (set(e.SEVERITIES) if scope.severities else set())
            hint = self._step_with(text) or did_you_mean(
                text, known, "there is no event here: write `step.field`"
            )
            return self._error(
                "TW204", f"nothing is called `{_spaced(text)}`", name.span, "not declared", hint
            )
        known = {f for k in scope.kinds for f in self.tables.event_of_kind(k).fields}
        if text in scope.steps:
            return self._error(
                "TW202", f"`{text}` is a step", name.span, "one of its fields?", f"write `{text}.field`"
            )
        if did_you_mean(text, known, "") == "" and did_you_mean(text, params, "") != "":
            hint = did_you_mean(text, params, "")
            return self._error(
                "TW204", f"no param is called `{_spaced(text)}`", name.span, "not declared", hint
            )
        return self._unknown_field(name, scope.kinds, known)

    def _step_with(self, field: str) -> str:
        """A hint where a field stands bare and no event is under test: the step that has it."""
        for step, known in self.scope.steps.items():
            if any(field_of(self.tables.event_of_kind(kind), field) is not None for kind in known.kinds):
                return f"write `{step}.last.{field}`" if known.level else f"write `{step}.{field}`"
        if self._is_field(field):
            return f"name the step that has it with AS, and write `step.{field}`"
        return ""

    # --- calls

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

    def _call(self, node: n.Call) -> Value:
        name = node.function.text
        if name in self.tables.defines:
            body = self._enter(node)
            if body is None:
                return INVALID
            try:
                return self.value(body)
            finally:
                self._macros.pop()
        if name in BASELINE_FUNCTIONS:
            return self._baseline_call(node)
        if name == "choose":
            return self._choose(node)
        if name in VALUE_FUNCTIONS:
            return self._function(node)
        known = ALL_FUNCTIONS | set(self.tables.defines)
        if name in CONDITION_FUNCTIONS:
            return self._error(
                "TW303", f"`{name}` is a condition, not a value", node.span, "a value was expected"
            )
        if name in self.tables.broken:
            return self._broken(node.function)
        hint = did_you_mean(name, known, "functions: " + ", ".join(sorted(ALL_FUNCTIONS)))
        return self._error(
            "TW208", f"no function is called `{_spaced(name)}`", node.function.span, "unknown", hint
        )

    def _baseline_call(self, node: n.Call) -> Value:
        if not self._arity(node, 1, 2):
            return INVALID
        function = BASELINE_FUNCTIONS[node.function.text]
        step: str | None = None
        names = [
            a.path.parts[0] if isinstance(a, n.Reference) and len(a.path.parts) == 1 else None
            for a in node.arguments
        ]
        if any(name is None for name in names):
            return self._error(
                "TW209",
                f"`{node.function.text}` takes the name of a baseline",
                node.span,
                "not a name",
                "`deviation(baseline)` or `deviation(step, baseline)`",
            )
        if len(names) == 2:
            first = names[0]
            assert first is not None
            if first.text not in self.scope.steps:
                hint = did_you_mean(first.text, self.scope.steps, "steps are named with AS")
                return self._error(
                    "TW206", f"no step is called `{_spaced(first.text)}`", first.span, "not a step", hint
                )
            if not self._visible(first):
                return INVALID
            step = first.text
        name = names[-1]
        assert name is not None
        baseline = self.tables.baselines.get(name.text)
        if baseline is None:
            if name.text in self.tables.broken:
                return self._broken(name)
            hint = did_you_mean(name.text, self.tables.baselines, "declare it with BASELINE")
            return self._error(
                "TW209", f"no baseline is called `{_spaced(name.text)}`", name.span, "unknown", hint
            )
        self.report.params = {**self.tables.baseline_params[name.text], **self.report.params}
        if baseline.using not in function.estimators:
            return self._error(
                "TW209",
                f"a {baseline.using} baseline has no `{node.function.text}`",
                node.span,
                f"`{_spaced(name.text)}` is {baseline.using}",
                "functions of it: "
                + ", ".join(f for f, x in BASELINE_FUNCTIONS.items() if baseline.using in x.estimators),
            )
        result = Type(function.result)
        if step is not None and baseline.kind not in self.scope.steps[step].kinds:
            return self._error(
                "TW209",
                f"`{step}` is never a {baseline.kind.replace('.', ' ')}",
                node.span,
                "has no such baseline",
            )
        if step is None and self.scope.event is not None and self.scope.event.kind != baseline.kind:
            if baseline.kind in self.scope.kinds:
                return e.Missing(result)
            return self._error(
                "TW209",
                f"`{_spaced(name.text)}` is a baseline over {baseline.kind.replace('.', ' ')}",
                node.span,
                f"not over {self.scope.event.kind.replace('.', ' ')}",
                f"name the step: `{node.function.text}(step, baseline)`",
            )
        kinds = {*self.scope.kinds, *(k for s in self.scope.steps.values() for k in s.kinds)}
        if step is None and self.scope.event is None and baseline.kind not in kinds:
            return self._error(
                "TW209", f"no step is a {baseline.kind.replace('.', ' ')}", node.span, "unknown here"
            )
        return e.BaselineValue(node.function.text, name.text, step, result, not function.always_known)

    def _choose(self, node: n.Call) -> Value:
        if not self._arity(node, 3, 3):
            return INVALID
        condition = self.condition(node.arguments[0])
        yes, no = self.value(node.arguments[1]), self.value(node.arguments[2])
        if "error" in (yes.type.name, no.type.name):
            return INVALID
        merged = yes.type if yes.type.name == no.type.name else None
        if merged is None and yes.type.number and no.type.number:
            merged = Type(e.FLOAT, yes.type.unit or no.type.unit)
        if merged is None:
            return self._error(
                "TW301",
                f"`choose` gives {describe(yes.type)} or {describe(no.type)}",
                node.span,
                "both must have one type",
            )
        merged = Type(merged.name, merged.unit)
        return e.Choose(condition, yes, no, merged, yes.optional or no.optional)

    def _function(self, node: n.Call) -> Value:
        name = node.function.text
        if not self._arity(node, *VALUE_FUNCTIONS[name]):
            return INVALID
        arguments = tuple(self.value(a) for a in node.arguments)
        if any(a.type.name == "error" for a in arguments):
            return INVALID
        first = arguments[0].type
        result: Type | None = None
        if name in ("lower", "upper", "domain"):
            result = Type(e.STRING) if first.name == e.STRING else None
        elif name == "len":
            result = Type(e.INT) if first.name in (e.STRING, e.STRINGS) else None
        elif name == "abs":
            result = first if first.number or first.name == e.DURATION else None
        elif name == "round":
            digits = arguments[1:]
            good = not digits or (isinstance(digits[0], e.Constant) and digits[0].type.name == e.INT)
            result = Type(e.FLOAT if digits else e.INT, first.unit) if first.number and good else None
        else:  # min, max
            same = all(result_of("+", first, a.type) is not None for a in arguments[1:])
            if same and (first.number or first.name == e.DURATION):
                floats = any(a.type.name == e.FLOAT for a in arguments)
                units = [a.type.unit for a in arguments if a.type.unit]
                result = Type(e.FLOAT if floats else first.name, units[0] if units else None)
        if result is None:
            given = ", ".join(describe(a.type) for a in arguments)
            return self._error("TW301", f"`{name}` does not take {given}", node.span, "types do not fit")
        if any(isinstance(a, e.Missing) for a in arguments):
            return e.Missing(result)
        return e.Function(name, arguments, result, any(a.optional for a in arguments) or name == "domain")


def _merged(types: set[Type]) -> Type:
    """One type for a field that several event types declare alike, perhaps with other choices."""
    if len(types) == 1:
        return next(iter(types))
    first = min(types, key=str)
    choices = tuple(sorted({c for t in types for c in t.choices}))
    return Type(first.name, first.unit, choices if all(t.choices for t in types) else ())


def _spaced(name: str) -> str:
    return name.replace("_", " ")
