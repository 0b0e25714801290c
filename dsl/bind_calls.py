"""Calls in expressions: functions, functions of baselines, DEFINEs, ``choose``."""

from __future__ import annotations

from dsl import expressions as e
from dsl import nodes as n
from dsl.bind_base import INVALID, spaced
from dsl.bind_names import NameBinder
from dsl.diagnostics import did_you_mean
from dsl.expressions import Type, Value
from dsl.functions import ALL_FUNCTIONS, BASELINE_FUNCTIONS, CONDITION_FUNCTIONS, VALUE_FUNCTIONS
from dsl.types import describe, result_of


class CallBinder(NameBinder):
    """Calls that give a value."""

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
            "TW208", f"no function is called `{spaced(name)}`", node.function.span, "unknown", hint
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
                    "TW206", f"no step is called `{spaced(first.text)}`", first.span, "not a step", hint
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
                "TW209", f"no baseline is called `{spaced(name.text)}`", name.span, "unknown", hint
            )
        self.report.params = {**self.tables.baseline_params[name.text], **self.report.params}
        if baseline.using not in function.estimators:
            return self._error(
                "TW209",
                f"a {baseline.using} baseline has no `{node.function.text}`",
                node.span,
                f"`{spaced(name.text)}` is {baseline.using}",
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
                f"`{spaced(name.text)}` is a baseline over {baseline.kind.replace('.', ' ')}",
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
