"""Everything ``thenwire explain`` says of a rule, as one struct."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl import nodes as n
from dsl.parse import parse
from dsl.units import format_duration
from engine.explain import words
from engine.explain.diagram import Diagram, diagram_of
from engine.explain.reasons import why
from engine.explain.steps import StepRow, Teller, reads, rows, sources
from engine.matcher import Matcher
from engine.plan import RulePlan, rule_values
from engine.rule_runtime import MAX_KEPT

MAX_SHOWN = 8
"""Entries of a list that are shown."""


class AutomatonFacts(msgspec.Struct, frozen=True):
    """``name``: latest, runs or search; ``state``: the most that waits for one key."""

    name: str
    why: str
    state: str


class UnlessRow(msgspec.Struct, frozen=True):
    """One UNLESS: what voids a match, when it counts, what it reads."""

    what: str
    when: str
    reads: tuple[str, ...]


class Kept(msgspec.Struct, frozen=True):
    """How long events that fit a step or guard stay with their device, milliseconds, and how many at most."""

    horizon_ms: int
    late_ms: int
    events: int


class KindFacts(msgspec.Struct, frozen=True):
    """An event kind the rule reads: the fields decoded for it, and its GRACE and LATE in milliseconds."""

    kind: str
    fields: tuple[str, ...]
    grace_ms: int
    late_ms: int


class ParamFacts(msgspec.Struct, frozen=True):
    """``overridden``: a deployment has set another value than the file's."""

    name: str
    value: str
    reason: str
    overridden: bool


class Named(msgspec.Struct, frozen=True):
    """A baseline or list with what it is."""

    name: str
    what: str


class Explanation(msgspec.Struct, frozen=True):
    """A rule explained. Where the engine cannot run it, ``refused`` says why, and what only the engine
    knows (``automaton``, ``kept``, ``kinds``, ``code``) is missing or empty.
    """

    rule: str
    title: str
    sentences: tuple[str, ...]
    steps: tuple[StepRow, ...]
    unless: tuple[UnlessRow, ...]
    automaton: AutomatonFacts | None
    kept: Kept | None
    kinds: tuple[KindFacts, ...]
    params: tuple[ParamFacts, ...]
    baselines: tuple[Named, ...]
    lists: tuple[Named, ...]
    refused: str | None
    diagram: Diagram
    code: dict[str, str]


def explain(ruleset: m.RuleSet, name: str) -> Explanation:
    """Explain the rule of a canonical name (``an1756_ios``).

    The engine plans this rule alone, with those whose alerts it reads: fields and code are what this
    rule needs, whatever else is loaded.

    Raises:
        KeyError: there is no such rule.
    """
    rule = ruleset.rules[name]
    matcher = Matcher(msgspec.structs.replace(ruleset, rules=_needed(ruleset, name), tests=()))
    plan = next((plan for plan in matcher.plan.rules if plan.rule.name == name), None)
    refused = None if plan is not None else "; ".join(d.message for d in matcher.diagnostics)
    teller = Teller(matcher.plan.events)
    parts = _expressions(rule)
    return Explanation(
        rule=words.spaced(name),
        title=rule.title,
        sentences=tuple(_sentences(rule, teller, matcher.plan.events)),
        steps=rows(rule.pattern, teller),
        unless=tuple(map(_unless, rule.unless)),
        automaton=None
        if plan is None
        else AutomatonFacts(plan.automaton, why(rule, plan.automaton, teller), plan.state_bound),
        kept=None if plan is None else Kept(plan.table.horizon_ms, plan.late_ms, MAX_KEPT),
        kinds=() if plan is None else tuple(_kinds(plan, matcher)),
        params=tuple(_params(rule, ruleset)),
        baselines=tuple(
            Named(words.spaced(b), _baseline(ruleset.baselines[b]))
            for b in dict.fromkeys(x.baseline for x in parts if isinstance(x, e.BaselineValue))
        ),
        lists=tuple(
            Named(words.spaced(x), _list(ruleset.lists[x]))
            for x in dict.fromkeys(x.name for x in parts if isinstance(x, e.InNamedList))
        ),
        refused=refused,
        diagram=diagram_of(rule, teller),
        code={} if plan is None else {k: matcher.sources[k] for k in plan.watched if k in matcher.sources},
    )


def _needed(ruleset: m.RuleSet, name: str) -> dict[str, m.Rule]:
    """The rule and those whose alerts it reads, directly or not, in the order of the rule set."""
    wanted: dict[str, None] = {name: None}
    waiting = [name]
    while waiting:
        for source in sources(ruleset.rules[waiting.pop()]):
            other = source.alert_rule
            if other is not None and other not in wanted and other in ruleset.rules:
                wanted[other] = None
                waiting.append(other)
    return {key: rule for key, rule in ruleset.rules.items() if key in wanted}


def _expressions(rule: m.Rule) -> list[e.Value | e.Condition]:
    roots = [member.condition for source in sources(rule) for member in source.members]
    return [part for root in [*roots, *rule_values(rule)] for part in e.walk(root)]


# --- in words


def _sentences(rule: m.Rule, teller: Teller, events: dict[str, m.EventType]) -> Iterator[str]:
    keys = words.listed(rule.by, "and")
    yield f"For each {keys}: when {teller.sentence(rule.pattern)}."
    if rule.select == "first":
        yield "Of several runs that complete at the same event, the one that began first is reported."
    elif rule.select == "each":
        yield "Of several runs that complete at the same event, every one is reported."
    for unless in rule.unless:
        yield f"Not if there is {words.source(unless.source)}, {_when(unless)}."
    for key in rule.by:
        lacking = [kind for kind in _watched(rule) if kind in events and not _has(events[kind], key)]
        if lacking:
            has = "has" if len(lacking) == 1 else "have"
            names = words.listed(map(words.kind, lacking), "and")
            yield f"{names.capitalize()} {has} no {key}: such an event counts for every {key} of the device."
    if isinstance(rule.severity, e.Constant):
        if rule.severity.value == "none":
            yield "It publishes nothing and only feeds other rules."
        else:
            yield f"Alerts with severity {rule.severity.value}."
    else:
        yield f"Alerts with severity {words.value(rule.severity)}."
    if rule.risk is not None:
        yield f"The risk is {words.value(rule.risk)}."
    if rule.suppress is not None:
        per = words.listed(
            (name.replace("_", " ") if "." not in name else name for name in rule.suppress.names), "and"
        )
        yield (
            f"After an alert, further ones of the same {per} are counted, not published, "
            f"for {format_duration(rule.suppress.duration_ms)}."
        )
    if rule.meta.get("status") == "shadow":
        yield "It is in the shadow: its alerts go to a subject of their own."


def _watched(rule: m.Rule) -> tuple[str, ...]:
    return tuple(dict.fromkeys(member.kind for source in sources(rule) for member in source.members))


_ENVELOPE = frozenset({"id", "time", "start", "seen", "source", "kind", "device", "quality", "attribution"})


def _has(event: m.EventType, key: str) -> bool:
    return key in event.fields or key in _ENVELOPE


def _when(unless: m.Unless) -> str:
    if unless.before_ms:
        return f"from {format_duration(unless.before_ms)} before the first event up to the last"
    return "from the first event up to the last"


def _unless(unless: m.Unless) -> UnlessRow:
    return UnlessRow(words.source(unless.source), _when(unless), reads([unless.source]))


# --- what it reads


def _kinds(plan: RulePlan, matcher: Matcher) -> Iterator[KindFacts]:
    learnt = [matcher.plan.baselines[name].kind for name in plan.baselines]
    for kind in dict.fromkeys([*plan.watched, *learnt]):
        event = matcher.plan.events.get(kind)
        if event is not None:
            declared = [name for name in event.fields if name in matcher.plan.read.get(kind, ())]
            yield KindFacts(words.kind(kind), tuple(declared), event.grace_ms, event.late_ms)


def _params(rule: m.Rule, ruleset: m.RuleSet) -> Iterator[ParamFacts]:
    local = _local_params(rule)
    for name, value in rule.params.items():
        node = local.get(name)
        if node is not None:
            written = node.value
            kind = written.kind if isinstance(written, n.Scalar) else "string"
            type_ = (
                e.Type(e.DURATION)
                if kind == "duration"
                else e.Type(e.INT, "bytes" if kind == "size" else None)
            )
            changed = isinstance(written, n.Scalar) and written.value != value
            yield ParamFacts(name, words.plain(value, type_), node.text or "", changed)
        elif name in ruleset.params:
            param = ruleset.params[name]
            yield ParamFacts(name, words.plain(value, param.type), param.text or "", param.overridden)


def _local_params(rule: m.Rule) -> dict[str, n.ParamNode]:
    """The PARAMs declared inside the rule: only the syntax tree has their reasons."""
    for declaration in parse(rule.text).declarations:
        if isinstance(declaration, n.RuleNode):
            return {param.name.text: param for param in declaration.params}
    return {}


def _baseline(baseline: m.Baseline) -> str:
    values = words.listed(map(words.value, baseline.values), "and")
    text = f"{values} of {words.spaced(baseline.kind)}"
    if not isinstance(baseline.condition, e.Always):
        text += f" where {words.condition(baseline.condition)}"
    text += f", for each {words.listed(baseline.by, 'and')}" if baseline.by else ", for the whole fleet"
    if baseline.every_ms is not None:
        text += f", summed over {format_duration(baseline.every_ms)}"
    if baseline.over_ms is not None:
        text += f", over {format_duration(baseline.over_ms)}"
    text += f"; {baseline.using}"
    if baseline.using == "robust":
        text += f", trusted after {baseline.warmup:,} samples"
    if baseline.peer is not None:
        who = (
            f"the same {words.listed(baseline.peer, 'and')} on all devices"
            if baseline.peer
            else "the whole fleet"
        )
        text += f", until then compared with {who}"
    return text


def _list(found: m.NamedList) -> str:
    refresh = "" if found.refresh_ms is None else f", read again every {format_duration(found.refresh_ms)}"
    if not found.items:
        return f"no entries{refresh}"
    count = "1 entry" if len(found.items) == 1 else f"{len(found.items):,} entries"
    shown = list(found.items[:MAX_SHOWN])
    if len(found.items) > MAX_SHOWN:
        shown.append(f"{len(found.items) - MAX_SHOWN:,} more")
    return f"{count}{' from a file' if found.path else ''}{refresh}: {words.listed(shown, 'and')}"
