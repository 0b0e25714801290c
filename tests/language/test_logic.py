"""The two questions lints ask of conditions are never answered with yes wrongly.

A small evaluator of its own says what a condition means on an event; lints may miss, not accuse.
"""

from __future__ import annotations

import itertools
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl import expressions as e
from dsl.expressions import Condition, Type
from dsl.lints.logic import contradictory, implies

X = e.Field(None, "x", Type(e.INT), True)
Y = e.Field(None, "y", Type(e.STRING, None, ("p", "q", "r")), True)
EVENTS = [{"x": x, "y": y} for x, y in itertools.product([None, -1, 0, 1, 2, 3, 4, 5], [None, "p", "q", "r"])]
OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(condition: Condition, event: dict[str, object]) -> bool:
    match condition:
        case e.Always():
            return True
        case e.Never():
            return False
        case e.All():
            return all(holds(item, event) for item in condition.items)
        case e.Any():
            return any(holds(item, event) for item in condition.items)
        case e.Present(e.Field() as field):
            return (event[field.name] is None) == condition.negated
        case e.InSet(e.Field() as field):
            value = event[field.name]
            return value is not None and (value in condition.items) != condition.negated
        case e.Compare(name, e.Field() as field, e.Constant() as constant):
            value = event[field.name]
            return value is not None and bool(OPERATORS[name](value, constant.value))
        case e.Compare(name, e.Constant() as constant, e.Field() as field):
            value = event[field.name]
            return value is not None and bool(OPERATORS[name](constant.value, value))
    raise AssertionError(condition)


def _compare(name: str, number: int, flipped: bool) -> Condition:
    constant = e.Constant(number, Type(e.INT))
    return e.Compare(name, constant, X) if flipped else e.Compare(name, X, constant)


ATOMS = st.one_of(
    st.builds(_compare, st.sampled_from(sorted(OPERATORS)), st.integers(0, 4), st.booleans()),
    st.builds(
        lambda name, value: e.Compare(name, Y, e.Constant(value, Type(e.STRING))),
        st.sampled_from(["==", "!="]),
        st.sampled_from("pqr"),
    ),
    st.builds(lambda v, n: e.InSet(X, tuple(v), n), st.sets(st.integers(0, 4), max_size=3), st.booleans()),
    st.builds(lambda v, n: e.InSet(Y, tuple(sorted(v)), n), st.sets(st.sampled_from("pqr")), st.booleans()),
    st.builds(e.Present, st.sampled_from([X, Y]), st.booleans()),
    st.sampled_from([e.ALWAYS, e.NEVER]),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.builds(
        lambda make, items: make(tuple(items)),
        st.sampled_from([e.all_of, e.any_of]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(CONDITIONS)
def test_what_is_called_contradictory_never_holds(condition: Condition) -> None:
    if contradictory(condition):
        assert not [event for event in EVENTS if holds(condition, event)]


@settings(max_examples=500, deadline=None)
@given(CONDITIONS, CONDITIONS)
def test_what_is_called_implied_follows(first: Condition, second: Condition) -> None:
    if implies(first, second):
        assert not [event for event in EVENTS if holds(first, event) and not holds(second, event)]


def _x(name: str, number: int) -> Condition:
    return _compare(name, number, False)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (_x(">", 5), _x(">", 3), True),
        (_x(">", 3), _x(">", 5), False),
        (_x(">=", 3), _x(">", 3), False),
        (_x("==", 4), _x("<=", 4), True),
        (_x("==", 4), e.InSet(X, (4, 5), False), True),
        (e.InSet(X, (4, 5), False), _x("!=", 3), True),
        (e.all_of((_x(">", 1), _x("<", 4))), _x("<", 9), True),
        (_x(">", 1), e.Present(X, False), True),
        (_x(">", 1), e.any_of((_x("<", 0), _x(">", 0))), True),
        (e.any_of((_x("==", 1), _x("==", 2))), _x("<", 3), True),
        (e.ALWAYS, _x("<", 3), False),
    ],
)
def test_the_usual_implications_are_seen(first: Condition, second: Condition, expected: bool) -> None:
    assert implies(first, second) is expected
