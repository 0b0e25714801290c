"""Many sources of one kind asked at once: an index over equality constants and thresholds.

A thousand rules that differ in a port and a score are two questions to an event, not two thousand: is its
score at or above the least of all, and which rules name its port. What is left, those rules' own thresholds
in order and the rest of their filters, is asked only then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from dsl import expressions as e
from dsl.expressions import Condition
from engine.codegen import Emitter, Places, compile_function
from engine.device_log import Fits
from engine.events import attribute
from engine.plan import Role

_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}

Residual = Callable[[Any], bool]


class Entry(msgspec.Struct, frozen=True):
    """A source in the index: the threshold, whether it must be exceeded, the rule and bit, and what else is
    asked.
    """

    threshold: Any
    exceeds: bool
    rule: int
    bit: int
    residual: Residual | None


class Form(msgspec.Struct, frozen=True):
    """What the sources of one group are indexed by: a field with constants it may equal, and a field that
    must be at least (``above``) or at most a constant. One of the two may be missing.
    """

    equal: str | None
    bound: str | None
    above: bool


class Parts(msgspec.Struct, frozen=True):
    form: Form
    values: tuple[Any, ...]
    threshold: Any
    exceeds: bool
    rest: Condition


def split(roles: list[Role], least: int) -> tuple[list[Role], dict[Form, list[tuple[Role, Parts]]]]:
    """Sources to be asked one by one, and those that are worth an index, by form: ``least`` of them; for
    fewer a look-up is slower.
    """
    forms: dict[Form, list[tuple[Role, Parts]]] = {}
    plain: list[Role] = []
    for role in roles:
        parts = _parts(role.local)
        if parts is None:
            plain.append(role)
        else:
            forms.setdefault(parts.form, []).append((role, parts))
    for form, members in list(forms.items()):
        if len(members) < least:
            del forms[form]
            plain.extend(role for role, _ in members)
    return sorted(plain, key=lambda role: role.rule), forms


def index_lines(
    unit: tuple[str, int],
    form: Form,
    members: list[tuple[Role, Parts]],
    optional: Callable[[str], bool],
    emitter: Emitter,
) -> list[str]:
    """Source that puts into ``hits`` the rules and bits of a group's sources that the event ``e`` fits.

    Args:
        unit: the kind and the group's number, for names.
        form: what the group is indexed by.
        members: its sources.
        optional: whether events of the kind may lack a field.
        emitter: takes the names.
    """
    # Conditions that are the same are compiled once.
    compiled: dict[Condition, Residual | None] = {}
    table: dict[Any, list[Entry]] = {}
    for role, parts in members:
        if parts.rest not in compiled:
            compiled[parts.rest] = _residual(parts.rest, emitter)
        entry = Entry(parts.threshold, parts.exceeds, role.rule, role.bit, compiled[parts.rest])
        for value in parts.values:
            table.setdefault(value, []).append(entry)
    for entries in table.values():
        if form.bound is not None:
            entries.sort(key=lambda x: x.threshold, reverse=not form.above)
    lines: list[str] = []
    indent = "    "
    if form.bound is not None:
        place = f"e.{attribute(form.bound)}"
        thresholds = [entries[0].threshold for entries in table.values()]
        first = min(thresholds) if form.above else max(thresholds)
        least = emitter.constant((*unit, "least"), lambda: first, "least")
        tests = [f"(x := {place}) is not None"] if optional(form.bound) else []
        shown = "x" if tests else place
        tests.append(f"{shown} {'>=' if form.above else '<='} {least}")
        lines.append(f"{indent}if {' and '.join(tests)}:")
        indent += "    "
    if form.equal is None:
        entries = table[None]
        found = emitter.constant((*unit, "entries"), lambda: entries, "entries")
    else:
        get = emitter.constant((*unit, "index"), lambda: table.get, "index")
        lines.append(f"{indent}found = {get}(e.{attribute(form.equal)})")
        lines.append(f"{indent}if found is not None:")
        indent += "    "
        found = "found"
    emitter.names.update(above=above, below=below, all_of=all_of)
    if form.bound is None:
        lines.append(f"{indent}hits = all_of({found}, e, hits)")
    else:
        search = "above" if form.above else "below"
        lines.append(f"{indent}hits = {search}({found}, e.{attribute(form.bound)}, e, hits)")
    return lines


def above(entries: list[Entry], value: Any, event: Any, hits: Fits) -> Fits:
    """The hits, and the entries whose threshold a value reaches; thresholds rise."""
    for entry in entries:
        if value < entry.threshold:
            break
        if (not entry.exceeds or value > entry.threshold) and (
            entry.residual is None or entry.residual(event)
        ):
            hits += ((entry.rule, entry.bit),)
    return hits


def below(entries: list[Entry], value: Any, event: Any, hits: Fits) -> Fits:
    """The hits, and the entries whose threshold a value does not exceed; thresholds fall."""
    for entry in entries:
        if value > entry.threshold:
            break
        if (not entry.exceeds or value < entry.threshold) and (
            entry.residual is None or entry.residual(event)
        ):
            hits += ((entry.rule, entry.bit),)
    return hits


def all_of(entries: list[Entry], event: Any, hits: Fits) -> Fits:
    """The hits, and all entries."""
    for entry in entries:
        if entry.residual is None or entry.residual(event):
            hits += ((entry.rule, entry.bit),)
    return hits


def merged(fits: Fits, hits: Fits) -> Fits:
    """One entry for each rule, in their order, with the bits of all its sources."""
    bits: dict[int, int] = {}
    for rule, bit in (*fits, *hits):
        bits[rule] = bits.get(rule, 0) | bit
    return tuple(sorted(bits.items()))


def _parts(condition: Condition) -> Parts | None:
    conjuncts = list(e.conjuncts(condition))
    if any(isinstance(node, e.BaselineValue) for node in e.walk(condition)):
        # Baselines are asked in the handler, where what they saw is at hand.
        return None
    equal: tuple[str, tuple[Any, ...]] | None = None
    bound: tuple[str, bool, Any, bool] | None = None
    rest: list[Condition] = []
    for conjunct in conjuncts:
        if equal is None and (found := _equal(conjunct)) is not None:
            equal = found
        elif bound is None and (limit := _bound(conjunct)) is not None:
            bound = limit
        else:
            rest.append(conjunct)
    if equal is None and bound is None:
        return None
    field, values = equal if equal is not None else (None, (None,))
    name, is_above, threshold, exceeds = bound if bound is not None else (None, True, 0, False)
    return Parts(Form(field, name, is_above), values, threshold, exceeds, e.all_of(tuple(rest)))


def _equal(condition: Condition) -> tuple[str, tuple[Any, ...]] | None:
    """A field and the constants it may equal."""
    match condition:
        case e.Compare(operator="==", left=e.Field(step=None) as field, right=e.Constant() as constant):
            if constant.type.name in (e.STRING, e.INT, e.IP):
                return field.name, (constant.value,)
        case e.InSet(negated=False, value=e.Field(step=None) as field) if condition.items:
            if field.type.name in (e.STRING, e.INT, e.IP):
                return field.name, tuple(dict.fromkeys(condition.items))
    return None


def _bound(condition: Condition) -> tuple[str, bool, Any, bool] | None:
    """A field, whether it is bounded below, the constant, and whether it must be exceeded."""
    match condition:
        case e.Compare(left=e.Field(step=None) as field, right=e.Constant() as constant):
            operator = condition.operator
        case e.Compare(left=e.Constant() as constant, right=e.Field(step=None) as field):
            operator = _FLIPPED.get(condition.operator, condition.operator)
        case _:
            return None
    if operator not in _FLIPPED or field.type.name not in (e.INT, e.FLOAT, e.DURATION):
        return None
    if constant.value != constant.value:
        return None
    return field.name, operator in (">", ">="), constant.value, operator in (">", "<")


def _residual(condition: Condition, emitter: Emitter) -> Residual | None:
    if isinstance(condition, e.Always):
        return None
    text = f"def residual(e):\n    return {emitter.condition(condition, Places(event='e'))}\n"
    made: Residual = compile_function("residual", text, emitter.names)
    return made
