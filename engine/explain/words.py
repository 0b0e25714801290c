"""Values, conditions and sources of the checked rule set in plain English."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dsl import expressions as e
from dsl import model as m
from dsl.units import format_duration

_COMPARISONS = {
    "==": "is",
    "!=": "is not",
    "<": "is less than",
    "<=": "is at most",
    ">": "is more than",
    ">=": "is at least",
}
_SIZES = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3))
_BINARY_SIZES = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_BASELINE_VALUES = {
    "deviation": "the deviation from {}",
    "expected": "what {} expects",
    "drift": "the drift of {}",
    "unseen": "being new to {}",
    "prevalence": "the prevalence in {}",
    "regularity": "the regularity of {}",
    "period": "the period of {}",
    "fanout": "the fanout of {}",
    "unusual": "the unusualness of the hour in {}",
    "ready": "enough history in {}",
}


def spaced(name: str) -> str:
    """A canonical name or wire kind as rules write it."""
    return name.replace("_", " ").replace(".", " ")


def kind(name: str) -> str:
    """A wire kind as rules write it; the alerts of a rule are a kind of their own."""
    rule = name.removeprefix("alert:")
    return spaced(name) if rule == name else f"an alert of {spaced(rule)}"


def listed(parts: Iterable[str], word: str) -> str:
    """``a, b and c``."""
    found = list(parts)
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} {word} {found[-1]}"


def size(count: int | float) -> str:
    """Bytes in the largest unit that leaves a short number: ``20KB``, ``64KiB``, ``1,234 bytes``."""
    for name, factor in (*_SIZES, *_BINARY_SIZES):
        if count >= factor and count * 10 % factor == 0:
            return f"{count / factor:g}{name}"
    return f"{count:,} byte" if count == 1 else f"{count:,} bytes"


def plain(value: object, type_: e.Type) -> str:
    """A literal as an author would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if type_.name == e.DURATION:
            return format_duration(int(value))
        return size(value) if type_.unit == "bytes" else f"{round(value, 3):,}"
    return str(value) if type_.name == e.SEVERITY else f'"{value}"'


def value(node: e.Value) -> str:
    """A value: ``bytes_out``, ``traffic.app``, ``the deviation from app egress``."""
    match node:
        case e.Constant():
            return plain(node.value, node.type)
        case e.Missing():
            return "a field that it does not have"
        case e.Field():
            return f"{spaced(node.step)}.{node.name}" if node.step else node.name
        case e.StepAggregate():
            field = f".{node.field}" if node.field else ""
            return f"{spaced(node.step)}.{node.part}{field}"
        case e.Key():
            return node.name
        case e.Elapsed():
            return "the time from the first event to the last"
        case e.BaselineValue():
            text = _BASELINE_VALUES[node.function].format(spaced(node.baseline))
            return f"{text} at {spaced(node.step)}" if node.step else text
        case e.Arithmetic():
            return f"{_operand(node.left)} {node.operator} {_operand(node.right)}"
        case e.Function():
            if node.name in ("min", "max"):
                which = "smaller" if node.name == "min" else "larger"
                which = (
                    which if len(node.arguments) == 2 else {"min": "smallest", "max": "largest"}[node.name]
                )
                return f"the {which} of {listed(map(value, node.arguments), 'and')}"
            return f"{node.name}({', '.join(map(value, node.arguments))})"
        case e.Choose():
            return f"{value(node.yes)} if {condition(node.condition)}, otherwise {value(node.no)}"


def _operand(node: e.Value) -> str:
    text = value(node)
    return f"({text})" if isinstance(node, e.Choose | e.Arithmetic) else text


def condition(node: e.Condition) -> str:
    """A condition as part of a sentence: ``bytes_out is at least 20KB and port is 22``."""
    match node:
        case e.Always():
            return "anything holds"
        case e.Never():
            return "nothing can hold"
        case e.All():
            return listed(map(_inner, node.items), "and")
        case e.Any():
            return listed(map(_inner, node.items), "or")
        case e.Compare():
            return f"{value(node.left)} {_COMPARISONS[node.operator]} {value(node.right)}"
        case e.InSet():
            items = [plain(item, node.value.type) for item in node.items]
            if len(items) == 1:
                return f"{value(node.value)} {'is not' if node.negated else 'is'} {items[0]}"
            return f"{value(node.value)} is {_none(node.negated)} {listed(items, 'and')}"
        case e.InNamedList():
            return f"{value(node.value)} is {_not(node.negated)}in the list {spaced(node.name)}"
        case e.InNetwork():
            return f"{value(node.value)} is {_not(node.negated)}in the network {node.network}"
        case e.InField():
            return f"{value(node.value)} is {_none(node.negated)} {value(node.field)}"
        case e.InStep():
            return f"{value(node.value)} is {_none(node.negated)} {spaced(node.step)}.{node.field}"
        case e.Like():
            return f'{value(node.value)} is {_not(node.negated)}like "{node.pattern}"'
        case e.Matches():
            return f'{value(node.value)} {"does not match" if node.negated else "matches"} "{node.pattern}"'
        case e.Present():
            return f"{value(node.value)} is {'missing' if node.negated else 'there'}"
        case e.Agrees():
            both = f"{value(node.left)} and {value(node.right)}"
            return f"{both} are both there and differ" if node.negated else f"{both} agree or one is missing"


def _none(negated: bool) -> str:
    return "none of" if negated else "one of"


def _not(negated: bool) -> str:
    return "not " if negated else ""


def _inner(node: e.Condition) -> str:
    text = condition(node)
    return f"({text})" if isinstance(node, e.All | e.Any) else text


def member(found: m.Member) -> str:
    """One event type with its whole condition."""
    name = kind(found.kind)
    if isinstance(found.condition, e.Always):
        return name
    return f"{name} where {condition(found.condition)}"


def source(found: m.Source) -> str:
    """What a step or guard looks for: a signal by its name with what it means, an event with its filter."""
    text = listed_members(found.members)
    if found.alert_rule is not None or all(name(found) == spaced(x.kind) for x in found.members):
        return text
    return f"{name(found)} ({text})"


def listed_members(members: Sequence[m.Member]) -> str:
    """``a where x; or b where y``."""
    return "; or ".join(map(member, members))


def name(found: m.Source) -> str:
    """The name of a source as rules write it."""
    return spaced(found.name)
