"""Names in expressions: fields, steps and their fields, keys, PARAMs."""

from __future__ import annotations

from dsl import expressions as e
from dsl import nodes as n
from dsl.bind_base import INVALID, BinderBase, spaced
from dsl.diagnostics import did_you_mean
from dsl.expressions import Type, Value
from dsl.scope import constant, field_of
from dsl.types import describe


class NameBinder(BinderBase):
    """Looks names up."""

    def _path(self, path: n.Path) -> Value:
        parts = path.parts
        if len(parts) == 1:
            return self._bare(parts[0])
        first = parts[0].text
        if first not in self.scope.steps:
            hint = did_you_mean(first, self.scope.steps, "steps are named with AS")
            return self._error(
                "TW206", f"no step is called `{spaced(first)}`", parts[0].span, "not a step", hint
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
            f"`{spaced(name.text)}` is not known here yet",
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
            f"`{spaced(step)}` is several events",
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
            "TW202", f"{where} has no field `{spaced(name.text)}`", name.span, "not declared", hint
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
                "TW204", f"nothing is called `{spaced(text)}`", name.span, "not declared", hint
            )
        known = {f for k in scope.kinds for f in self.tables.event_of_kind(k).fields}
        if text in scope.steps:
            return self._error(
                "TW202", f"`{text}` is a step", name.span, "one of its fields?", f"write `{text}.field`"
            )
        if did_you_mean(text, known, "") == "" and did_you_mean(text, params, "") != "":
            hint = did_you_mean(text, params, "")
            return self._error(
                "TW204", f"no param is called `{spaced(text)}`", name.span, "not declared", hint
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


def _merged(types: set[Type]) -> Type:
    """One type for a field that several event types declare alike, perhaps with other choices."""
    if len(types) == 1:
        return next(iter(types))
    first = min(types, key=str)
    choices = tuple(sorted({c for t in types for c in t.choices}))
    return Type(first.name, first.unit, choices if all(t.choices for t in types) else ())
