"""Rule set to plan: for each rule its automaton's table, for each event kind what to ask.

The plan is the only place that knows both languages: dsl's names and types on one side, bits,
indexes and generated functions on the other.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.diagnostics import Diagnostic
from dsl.expressions import Condition
from dsl.nodes import Span
from engine.automaton import CrossTest, RuleTable, StepTable, VetoTable
from engine.chains import Chain, Choice, Unsupported, chains_of, sources_of
from engine.codegen import Emitter, Places, compile_function
from engine.runtime_functions import ListTest

MAX_SOURCES = 60
"""Sources a rule may have: their bits share one small integer."""
SUPPORTED_ESTIMATORS = frozenset({"robust"})


class Role(msgspec.Struct, frozen=True):
    """One source of one rule, for one event kind: fits if ``local`` holds."""

    rule: int
    bit: int
    local: Condition


class RulePlan(msgspec.Struct, frozen=True):
    """A rule ready to run.

    Attributes:
        key_fields: the BY keys without ``device``, in order.
        step_names: for each chain and step, what the alert calls it: its alias, else its source.
        step_sources: for each chain and step, the event or signal it looks for, for sentences.
        positions: for each chain, step name to index.
        watched: the kinds the rule reads, for the alert's gaps.
        baselines: baselines the rule reads anywhere.
    """

    index: int
    rule: m.Rule
    table: RuleTable
    key_fields: tuple[str, ...]
    step_names: tuple[tuple[str, ...], ...]
    step_sources: tuple[tuple[str, ...], ...]
    positions: tuple[dict[str, int], ...]
    loose: tuple[frozenset[str], ...]
    watched: tuple[str, ...]
    baselines: tuple[str, ...]
    late_ms: int


class Plan(msgspec.Struct, frozen=True):
    """Everything the matcher needs. ``roles`` by event kind; ``read`` the fields to decode."""

    rules: tuple[RulePlan, ...]
    roles: dict[str, tuple[Role, ...]]
    read: dict[str, frozenset[str]]
    baselines: dict[str, m.Baseline]
    lists: dict[str, ListTest]
    diagnostics: tuple[Diagnostic, ...]


class _Refused(Exception):
    def __init__(self, what: str, span: Span) -> None:
        super().__init__(what)
        self.what = what
        self.span = span


def make_plan(ruleset: m.RuleSet) -> Plan:
    """The plan of all rules this engine can run; the others are in ``diagnostics`` as TW901."""
    lists = {name: ListTest(found.items) for name, found in ruleset.lists.items()}
    planned: list[RulePlan] = []
    roles: dict[str, list[Role]] = {}
    read: dict[str, set[str]] = {}
    found: list[Diagnostic] = []
    used: dict[str, m.Baseline] = {}
    for rule in ruleset.rules.values():
        try:
            plan, rule_roles = _plan_rule(len(planned), rule, ruleset, lists)
        except (Unsupported, _Refused) as refused:
            span = refused.span if isinstance(refused.span, Span) else rule.name_span
            found.append(
                Diagnostic(
                    "TW901",
                    f"{refused.what} is not supported yet",
                    rule.file,
                    span,
                    f"`{rule.name.replace('_', ' ')}` will not run",
                    "the rule is checked and left out; the others run",
                )
            )
            continue
        planned.append(plan)
        for kind, of_kind in rule_roles.items():
            roles.setdefault(kind, []).extend(of_kind)
        _collect_fields(plan, read)
        for name in plan.baselines:
            used[name] = ruleset.baselines[name]
    for baseline in used.values():
        fields = read.setdefault(baseline.kind, set())
        fields.update(key for key in baseline.by)
        for part in [*baseline.values, baseline.condition]:
            fields.update(x.name for x in e.walk(part) if isinstance(x, e.Field))
    return Plan(
        rules=tuple(planned),
        roles={kind: tuple(of_kind) for kind, of_kind in roles.items()},
        read={kind: frozenset(fields) for kind, fields in read.items()},
        baselines=used,
        lists=lists,
        diagnostics=tuple(found),
    )


# --- one rule


def _plan_rule(
    index: int, rule: m.Rule, ruleset: m.RuleSet, lists: dict[str, ListTest]
) -> tuple[RulePlan, dict[str, list[Role]]]:
    chains = chains_of(rule.pattern)
    for chain in chains:
        for step in chain.steps:
            if step.what is not None or step.lookbacks:
                raise _Refused("absence, levels and look backs", rule.name_span)
    sources = _sources(chains, rule)
    if len(sources) > MAX_SOURCES:
        raise _Refused(f"a rule with {len(sources)} sources", rule.name_span)
    _refuse(rule, sources, ruleset)
    bits = {id(source): 1 << i for i, source in enumerate(sources)}
    key_fields = tuple(key for key in rule.by if key != "device")
    loose = tuple(_loose(chain) for chain in chains)
    emitter = Emitter(lists)
    makers = _CrossTests(emitter)
    steps: list[list[dict[str, Any]]] = []
    # A name that only another chain gives is missing on this one.
    names = [name for chain in chains for name in chain.positions()]
    for number, chain in enumerate(chains):
        positions = chain.positions()
        rows: list[dict[str, Any]] = []
        for at, step in enumerate(chain.steps):
            places: dict[str, str | None] = dict.fromkeys(names)
            places.update((name, f"p[{i}]") for name, i in positions.items() if i < at)
            rows.append(
                {
                    "choices": [
                        (bits[id(c.source)], makers.add(c.source, places, loose[number]))
                        for c in step.choices
                    ],
                    "guards": [(bits[id(g)], makers.add(g, places, loose[number])) for g in step.guards],
                }
            )
        steps.append(rows)
    veto_rows: list[list[str | None]] = []
    for veto in rule.unless:
        # A veto is judged when the match is complete, on whichever chain completed it.
        of_chains: list[str | None] = []
        for number, chain in enumerate(chains):
            places = dict.fromkeys(names)
            places.update((name, f"p[{i}]") for name, i in chain.positions().items())
            of_chains.append(makers.add(veto.source, places, loose[number]))
        veto_rows.append(of_chains)
    tests = makers.compile(rule.name)
    chain_tables = tuple(
        tuple(
            StepTable(
                choices=tuple((bit, tests.get(name)) for bit, name in row["choices"]),
                guards=tuple((bit, tests.get(name)) for bit, name in row["guards"]),
                bounds=tuple((b.first, b.lower, b.upper) for b in chain.bounds if b.last == at),
                relevant=_relevant(chain, at, rule.unless),
            )
            for at, row in enumerate(rows)
        )
        for chain, rows in zip(chains, steps, strict=True)
    )
    table = RuleTable(
        chains=chain_tables,
        vetoes=tuple(
            VetoTable(
                bits[id(veto.source)],
                veto.before_ms,
                tuple(tests[name] for name in of_chains if name is not None),
                _projections(veto.source, key_fields, ruleset),
            )
            for of_chains, veto in zip(veto_rows, rule.unless, strict=True)
        ),
        ranks=tuple(chain.rank for chain in chains),
        latest_only=_latest_only(rule, chains, tests),
        select=rule.select,
        window_ms=max(_window(chain) for chain in chains),
        start_mask=_start_mask(chains, bits),
    )
    roles: dict[str, list[Role]] = {}
    for source in sources:
        for kind in dict.fromkeys(member.kind for member in source.members):
            local = e.any_of(tuple(local_part(x.condition) for x in source.members if x.kind == kind))
            if not isinstance(local, e.Never):
                roles.setdefault(kind, []).append(Role(index, bits[id(source)], local))
    kinds = tuple(dict.fromkeys(member.kind for source in sources for member in source.members))
    plan = RulePlan(
        index=index,
        rule=rule,
        table=table,
        key_fields=key_fields,
        step_names=tuple(tuple(_step_name(step.choices) for step in chain.steps) for chain in chains),
        step_sources=tuple(
            tuple(" or ".join(dict.fromkeys(c.source.name for c in step.choices)) for step in chain.steps)
            for chain in chains
        ),
        positions=tuple(chain.positions() for chain in chains),
        loose=loose,
        watched=kinds,
        baselines=_baselines(rule, sources),
        late_ms=max((ruleset.events[kind].late_ms for kind in kinds), default=0),
    )
    return plan, roles


def _sources(chains: tuple[Chain, ...], rule: m.Rule) -> list[m.Source]:
    """Every source object once, in the order written. One source may stand on several chains."""
    found: dict[int, m.Source] = {}
    for chain in chains:
        for source in sources_of(chain):
            found.setdefault(id(source), source)
    for veto in rule.unless:
        found.setdefault(id(veto.source), veto.source)
    return list(found.values())


def _refuse(rule: m.Rule, sources: list[m.Source], ruleset: m.RuleSet) -> None:
    for source in sources:
        if source.alert_rule is not None:
            raise _Refused("ALERT as a source", source.span)
    parts: list[Any] = [member.condition for source in sources for member in source.members]
    parts += [rule.severity, *(value for _, value in rule.alert_fields)]
    parts += [rule.risk] if rule.risk is not None else []
    parts += [
        p
        for t in (rule.alert_title, *(t for _, t in rule.alert_texts))
        for p in t.parts
        if not isinstance(p, str)
    ]
    for part in parts:
        for node in e.walk(part):
            if isinstance(node, e.Function) and node.name == "domain":
                raise _Refused("domain()", rule.name_span)
            if isinstance(node, e.BaselineValue):
                baseline = ruleset.baselines[node.baseline]
                if baseline.using not in SUPPORTED_ESTIMATORS:
                    raise _Refused(f"a {baseline.using} baseline", rule.name_span)


def _crosses(source: m.Source) -> bool:
    return any(e.steps_read(member.condition) for member in source.members)


def local_part(condition: Condition) -> Condition:
    """The conjuncts that read no other step."""
    return e.all_of(tuple(c for c in e.conjuncts(condition) if not e.steps_read(c)))


def cross_part(condition: Condition) -> Condition:
    """The conjuncts that read other steps."""
    return e.all_of(tuple(c for c in e.conjuncts(condition) if e.steps_read(c)))


class _CrossTests:
    """Generates, for each source with filters that read steps, ``test(kept, events) -> bool``."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._sources: list[str] = []

    def add(self, source: m.Source, steps: dict[str, str | None], loose: frozenset[str]) -> str | None:
        if not _crosses(source):
            return None
        name = f"cross_{len(self._sources)}"
        places = Places("e", steps, readings="k.readings", loose=loose)
        # Members of one kind share a function; which member holds is asked again, local part included,
        # where two members of a kind differ in their cross part.
        lines = [f"def {name}(k, p):", "    e = k.event", "    kind = e.kind"]
        for kind in dict.fromkeys(member.kind for member in source.members):
            members = [x for x in source.members if x.kind == kind]
            if len(members) == 1:
                condition = cross_part(members[0].condition)
            else:
                condition = e.any_of(tuple(x.condition for x in members))
            kind_name = self._emitter.constant(kind, lambda kind=kind: kind)  # type: ignore[misc]  # bound now
            lines.append(f"    if kind == {kind_name}:")
            lines.append(f"        return {self._emitter.condition(condition, places)}")
        lines.append("    return False\n")
        self._sources.append("\n".join(lines))
        return name

    def compile(self, rule: str) -> dict[str | None, CrossTest]:
        if not self._sources:
            return {}
        text = "\n".join(self._sources)
        scope = self._emitter.names
        compile_function("cross_0", text, scope)
        del rule
        return {f"cross_{i}": scope[f"cross_{i}"] for i in range(len(self._sources))}


def _loose(chain: Chain) -> frozenset[str]:
    """Step names whose event may be of more than one type."""
    found: set[str] = set()
    for step in chain.steps:
        kinds = {member.kind for choice in step.choices for member in choice.source.members}
        if len(kinds) > 1:
            found.update(name for choice in step.choices for name in choice.names)
    return frozenset(found)


def _step_name(choices: tuple[Choice, ...]) -> str:
    names = [name for choice in choices for name in choice.names]
    return names[-1] if names else choices[0].source.name


def _relevant(chain: Chain, at: int, unless: tuple[m.Unless, ...]) -> tuple[int, ...]:
    """Completed steps that filters, guards and bounds from step ``at`` on, or a veto, still read."""
    found: set[int] = set()
    positions = chain.positions()
    sources = [veto.source for veto in unless]
    for step in chain.steps[at:]:
        sources += [*(c.source for c in step.choices), *step.guards]
    for source in sources:
        for member in source.members:
            found.update(positions[n] for n in e.steps_read(member.condition) if n in positions)
    for bound in chain.bounds:
        if bound.last >= at and bound.lower is not None:
            found.add(bound.first)
        if bound.last >= at and bound.upper is not None and bound.first > 0:
            found.update(range(bound.first, at))
    return tuple(sorted(i for i in found if 0 < i < at))


def _window(chain: Chain) -> int:
    """The longest time a match on this chain can take: the best that its bounds say."""
    longest = [0] * len(chain.steps)
    for at in range(1, len(chain.steps)):
        options = [longest[b.first] + b.upper for b in chain.bounds if b.last == at and b.upper is not None]
        # A step without a bound of its own is covered by one that ends later.
        options += [b.upper for b in chain.bounds if b.first == 0 and b.last >= at and b.upper is not None]
        options += [
            longest[b.first] + b.upper for b in chain.bounds if b.first < at <= b.last and b.upper is not None
        ]
        longest[at] = min(options)
    return longest[-1]


def _projections(source: m.Source, keys: tuple[str, ...], ruleset: m.RuleSet) -> tuple[tuple[bool, ...], ...]:
    found: dict[tuple[bool, ...], None] = {}
    for member in source.members:
        event = ruleset.events[member.kind]
        found[tuple(key in event.fields or key in _ENVELOPE_KEYS for key in keys)] = None
    return tuple(found)


_ENVELOPE_KEYS = frozenset({"source", "quality", "attribution", "id"})


def _latest_only(rule: m.Rule, chains: tuple[Chain, ...], tests: dict[str | None, CrossTest]) -> bool:
    """Whether one pending run a step is exact (LANGUAGE.md section 4 item 3)."""
    if tests or len(chains) != 1 or rule.select != "latest":
        return False
    chain = chains[0]
    overall = (0, len(chain.steps) - 1, None, _window(chain))
    return len(chain.steps) == 1 or all((b.first, b.last, b.lower, b.upper) == overall for b in chain.bounds)


def _start_mask(chains: tuple[Chain, ...], bits: dict[int, int]) -> int:
    mask = 0
    for chain in chains:
        for choice in chain.steps[0].choices:
            mask |= bits[id(choice.source)]
    return mask


def _baselines(rule: m.Rule, sources: list[m.Source]) -> tuple[str, ...]:
    parts: list[Any] = [member.condition for source in sources for member in source.members]
    parts += rule_values(rule)
    return tuple(
        dict.fromkeys(x.baseline for p in parts for x in e.walk(p) if isinstance(x, e.BaselineValue))
    )


def rule_values(rule: m.Rule) -> list[Any]:
    """The values that are worked out for an alert: severity, risk, suppression, templates, fields."""
    values: list[Any] = [rule.severity]
    if rule.risk is not None:
        values.append(rule.risk)
    if rule.suppress is not None:
        values.extend(rule.suppress.per)
    for template in (rule.alert_title, *(t for _, t in rule.alert_texts)):
        values.extend(p for p in template.parts if not isinstance(p, str))
    values.extend(v for _, v in rule.alert_fields)
    return values


def _collect_fields(plan: RulePlan, read: dict[str, set[str]]) -> None:
    """Note every field of every kind that this rule needs decoded."""
    rule = plan.rule
    for kind in plan.watched:
        read.setdefault(kind, set()).update(plan.key_fields)
    sources = _all_rule_sources(rule)
    for source in sources:
        for member in source.members:
            for node in e.walk(member.condition):
                if isinstance(node, e.Field) and node.step is None:
                    read[member.kind].add(node.name)
    named = {node.name for p in [*rule_values(rule)] for node in e.walk(p) if isinstance(node, e.Field)}
    named |= {
        node.name
        for source in sources
        for member in source.members
        for node in e.walk(member.condition)
        if isinstance(node, e.Field) and node.step is not None
    }
    for kind in plan.watched:
        read[kind].update(named)


def _all_rule_sources(rule: m.Rule) -> list[m.Source]:
    return _sources(chains_of(rule.pattern), rule)
