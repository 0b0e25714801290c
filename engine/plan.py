"""Rule set to plan: for each rule its automaton's table, for each event kind what to ask.

The plan is the only place that knows both languages: dsl's names and types on one side, bits,
indexes and generated functions on the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from dsl import expressions as e
from dsl import model as m
from dsl.bind_patterns import all_sources
from dsl.diagnostics import Diagnostic
from dsl.expressions import Condition
from dsl.units import format_duration
from engine.alert_events import alert_type, kind_of, readers_last
from engine.automaton import MAX_CHOICES, CrossTest, RuleTable, StepTable, VetoTable
from engine.chains import (
    Bound,
    Chain,
    ChainStep,
    Gather,
    RuleLimit,
    chains_of,
    inner_names,
)
from engine.codegen import Emitter
from engine.plan_fields import collect_fields, sources_in
from engine.plan_search import SearchPlanner, needs_search
from engine.plan_tests import CrossTests, local_part
from engine.runtime_functions import ListTest
from engine.search import MAX_INDEXED
from engine.search_table import SearchTable

MAX_SOURCES = 60
"""Sources a rule may have: their bits share one small integer, of 64 bits where it is stored."""


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
        places: for each chain, step name to the Python expression of its element.
        watched: the kinds the rule reads, for the alert's gaps.
        late_ms, grace_ms: the largest LATE and GRACE of those kinds.
        baselines: baselines the rule reads anywhere.
        automaton: which one runs it: ``latest``, ``runs`` or ``search``.
        state_bound: the most that one key keeps, in words.
        fleet: the rule is about no device in particular.
        clock_kinds: for each clock of the rule the event kinds that must all have passed.
    """

    index: int
    rule: m.Rule
    table: RuleTable | SearchTable
    key_fields: tuple[str, ...]
    step_names: tuple[tuple[str, ...], ...]
    step_sources: tuple[tuple[str, ...], ...]
    places: tuple[dict[str, str], ...]
    loose: tuple[frozenset[str], ...]
    watched: tuple[str, ...]
    baselines: tuple[str, ...]
    late_ms: int
    grace_ms: int
    automaton: str
    state_bound: str

    @property
    def fleet(self) -> bool:
        return "device" not in self.rule.by

    @property
    def clock_kinds(self) -> tuple[tuple[str, ...], ...]:
        return self.table.clock_kinds if isinstance(self.table, SearchTable) else ()


class Plan(msgspec.Struct, frozen=True):
    """Everything the matcher needs. ``roles`` by event kind; ``read`` the fields to decode; ``events``
    the event types by kind, those of alerts that rules read included. A rule comes after those it reads.
    """

    rules: tuple[RulePlan, ...]
    roles: dict[str, tuple[Role, ...]]
    read: dict[str, frozenset[str]]
    baselines: dict[str, m.Baseline]
    lists: dict[str, ListTest]
    events: dict[str, m.EventType]
    diagnostics: tuple[Diagnostic, ...]


class Optimisations(msgspec.Struct, frozen=True):
    """What makes the engine quick and may be left out: the answers are the same, which tests hold it to.

    Attributes:
        pairs: rules of two steps have an automaton of their own (engine/pair.py).
        logs: rules share the events kept of a device (engine/device_log.py).
        light: events are decoded in full only when they fit something (engine/light.py).
        index_from: so many sources of a kind that are asked something go into an index
            (engine/rule_index.py),
        index_group: those of one form, if they are at least so many.
        creates: alerts of the commonest form are written out for their rule (engine/alerting/create_code.py).
    """

    pairs: bool = True
    logs: bool = True
    light: bool = True
    index_from: int = 13
    index_group: int = 4
    creates: bool = True


ALL_OPTIMISATIONS = Optimisations()


def make_plan(
    ruleset: m.RuleSet,
    also_learn: Collection[str] = (),
    optimisations: Optimisations = ALL_OPTIMISATIONS,
) -> Plan:
    """The plan of all rules this engine can run; the others are in ``diagnostics`` (TW9xx)."""
    pairs = optimisations.pairs
    lists = {name: ListTest(found.items) for name, found in ruleset.lists.items()}
    planned: list[RulePlan] = []
    roles: dict[str, list[Role]] = {}
    read: dict[str, set[str]] = {}
    found: list[Diagnostic] = []
    used: dict[str, m.Baseline] = {}
    events = dict(ruleset.events)
    watched: dict[str, tuple[str, ...]] = {}
    for rule in readers_last(ruleset):
        try:
            plan, rule_roles = _plan_rule(len(planned), rule, ruleset, lists, events, watched, pairs)
        except RuleLimit as limit:
            label = f"{limit.label}; `{rule.name.replace('_', ' ')}` does not run"
            found.append(Diagnostic(limit.code, limit.message, rule.file, limit.span, label, limit.hint))
            continue
        planned.append(plan)
        events[kind_of(rule.name)] = alert_type(rule, events, plan.late_ms)
        watched[kind_of(rule.name)] = tuple(
            dict.fromkeys(k for kind in plan.watched for k in watched.get(kind, (kind,)))
        )
        for kind, of_kind in rule_roles.items():
            roles.setdefault(kind, []).extend(of_kind)
        collect_fields(rule, plan.key_fields, plan.watched, rule_values(rule), read)
        for name in plan.baselines:
            used[name] = ruleset.baselines[name]
    used.update((name, ruleset.baselines[name]) for name in also_learn)
    # In the order declared, so that the same baselines are the same whichever rules read them.
    used = {name: baseline for name, baseline in ruleset.baselines.items() if name in used}
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
        events=events,
        diagnostics=tuple(found),
    )


# --- one rule


def _plan_rule(
    index: int,
    rule: m.Rule,
    ruleset: m.RuleSet,
    lists: dict[str, ListTest],
    events: dict[str, m.EventType],
    watched: dict[str, tuple[str, ...]],
    pairs: bool,
) -> tuple[RulePlan, dict[str, list[Role]]]:
    count = len(all_sources(rule.pattern)) + len(rule.unless)
    if count > MAX_SOURCES:
        raise RuleLimit(
            "TW904",
            f"the rule looks for {count:,} things; at most {MAX_SOURCES}",
            rule.name_span,
            "steps, branches, guards and UNLESS together",
            "make a SIGNAL of those that are alternatives: it counts as one",
        )
    chains = chains_of(rule.pattern)
    sources = sources_in(chains, rule)
    _refuse(sources, events)
    bits = {id(source): 1 << i for i, source in enumerate(sources)}
    key_fields = tuple(key for key in rule.by if key != "device")
    makers = CrossTests(Emitter(lists))
    table: RuleTable | SearchTable
    if needs_search(chains):
        automaton = "search"

        def clocks(kinds: Sequence[str]) -> tuple[str, ...]:
            return tuple(dict.fromkeys(k for kind in kinds for k in watched.get(kind, (kind,))))

        planner = SearchPlanner(bits, makers.emitter, makers.make, _loose, clocks)
        table = planner.table(rule, chains)
    else:
        table = _step_table(rule, chains, bits, key_fields, makers, events, pairs)
        automaton = "latest" if table.latest_only else "runs"
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
        step_names=tuple(tuple(_step_name(step) for step in chain.steps) for chain in chains),
        step_sources=tuple(tuple(_step_source(step) for step in chain.steps) for chain in chains),
        places=tuple(chain.places() for chain in chains),
        loose=tuple(_loose(chain) for chain in chains),
        watched=kinds,
        baselines=_baselines(rule, sources),
        late_ms=max((events[kind].late_ms for kind in kinds), default=0),
        grace_ms=max((events[kind].grace_ms for kind in kinds), default=0),
        automaton=automaton,
        state_bound=_state_bound(table, sources),
    )
    return plan, roles


def _step_table(
    rule: m.Rule,
    chains: tuple[Chain, ...],
    bits: dict[int, int],
    key_fields: tuple[str, ...],
    makers: CrossTests,
    events: dict[str, m.EventType],
    pairs: bool,
) -> RuleTable:
    """The table for *latest* and *runs*."""
    loose = tuple(_loose(chain) for chain in chains)
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
    tests = makers.compile()
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
    latest_only = _latest_only(rule, chains, tests)
    return RuleTable(
        chains=chain_tables,
        vetoes=tuple(
            VetoTable(
                bits[id(veto.source)],
                veto.before_ms,
                tuple(tests[name] for name in of_chains if name is not None),
                _projections(veto.source, key_fields, events),
            )
            for of_chains, veto in zip(veto_rows, rule.unless, strict=True)
        ),
        ranks=tuple(chain.rank for chain in chains),
        latest_only=latest_only,
        select=rule.select,
        window_ms=max(_window(chain) for chain in chains),
        start_mask=_start_mask(chains, bits),
        end_mask=_mask(chains[0].steps[-1], bits),
        pair=pairs and latest_only and _is_pair(rule, chains[0]),
        single=len(chains[0].steps) == 1,
    )


def _refuse(sources: list[m.Source], events: dict[str, m.EventType]) -> None:
    for source in sources:
        if source.alert_rule is not None and kind_of(source.alert_rule) not in events:
            name = source.alert_rule.replace("_", " ")
            raise RuleLimit(
                "TW905",
                f"it reads the alerts of `{name}`, which does not run",
                source.span,
                "left out",
                "mend that rule first; this one will run with it",
            )


def _loose(chain: Chain) -> frozenset[str]:
    """Step names whose event may be of more than one type."""
    found: set[str] = set()
    for step in chain.steps:
        kinds = {member.kind for choice in step.choices for member in choice.source.members}
        if isinstance(step.what, Gather):
            # What a branch names may be there or not, and its own names are of any branch.
            found.update((*step.names, *inner_names(step)))
        if len(kinds) > 1:
            found.update(name for choice in step.choices for name in choice.names)
    return frozenset(found)


def _step_name(step: ChainStep) -> str:
    names = [*(name for choice in step.choices for name in choice.names), *step.names]
    return names[-1] if names else step.choices[0].source.name if step.choices else "together"


def _step_source(step: ChainStep) -> str:
    return " or ".join(dict.fromkeys(choice.source.name for choice in step.choices))


def _state_bound(table: RuleTable | SearchTable, sources: list[m.Source]) -> str:
    """The most that one key keeps, for ``thenwire explain``."""
    if isinstance(table, SearchTable):
        most = max(MAX_INDEXED, 2 * table.largest)
        return f"{most:,} events for each of {len(sources)} sources, over {format_duration(table.horizon_ms)}"
    steps = sum(len(chain) - 1 for chain in table.chains)
    if table.latest_only:
        return f"{steps} waiting choices, one a step" if steps else "nothing"
    return f"{steps * MAX_CHOICES} waiting choices, {MAX_CHOICES} a step" if steps else "nothing"


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


def _projections(
    source: m.Source, keys: tuple[str, ...], events: dict[str, m.EventType]
) -> tuple[tuple[bool, ...], ...]:
    found: dict[tuple[bool, ...], None] = {}
    for member in source.members:
        event = events[member.kind]
        found[tuple(key in event.fields or key in _ENVELOPE_KEYS for key in keys)] = None
    return tuple(found)


_ENVELOPE_KEYS = frozenset({"source", "quality", "attribution", "id"})


def _latest_only(rule: m.Rule, chains: tuple[Chain, ...], tests: dict[str | None, CrossTest]) -> bool:
    """Whether one pending run a step is exact (LANGUAGE.md section 4 item 3)."""
    if tests or len(chains) != 1 or rule.select != "latest":
        return False
    # Between single events a bound on the only gap is the bound on the whole.
    bounds = tuple(msgspec.structs.replace(bound, gap=False) for bound in chains[0].bounds)
    chain = msgspec.structs.replace(chains[0], bounds=bounds)
    overall = Bound(0, len(chain.steps) - 1, None, _window(chain))
    return len(chain.steps) == 1 or all(b == overall for b in chain.bounds)


def _is_pair(rule: m.Rule, chain: Chain) -> bool:
    """Whether a rule that *latest* runs is one of at most two steps and nothing else."""
    return len(chain.steps) <= 2 and not rule.unless and not any(step.guards for step in chain.steps)


def _start_mask(chains: tuple[Chain, ...], bits: dict[int, int]) -> int:
    mask = 0
    for chain in chains:
        mask |= _mask(chain.steps[0], bits)
    return mask


def _mask(step: ChainStep, bits: dict[int, int]) -> int:
    mask = 0
    for choice in step.choices:
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
