"""What generated code calls: arithmetic that never raises, text tests, lists, networks.

A missing value is None. Division by zero, overflow and NaN give None (LANGUAGE.md section 4
item 11), so that no rule can fail at run time.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import re2

from dsl.literals import regex_options

Number = int | float

MOST_ANSWERS = 8_192
"""Values of which a list remembers whether they are in it."""
MOST_CHARACTERS = 256
"""Longer values are not remembered."""


def _known(value: Any) -> Any:
    """The number, or None for NaN."""
    return value if value == value else None


def add(a: Number, b: Number) -> Number | None:
    try:
        return _known(a + b)  # type: ignore[no-any-return]
    except OverflowError:
        return None


def subtract(a: Number, b: Number) -> Number | None:
    try:
        return _known(a - b)  # type: ignore[no-any-return]
    except OverflowError:
        return None


def multiply(a: Number, b: Number) -> Number | None:
    try:
        return _known(a * b)  # type: ignore[no-any-return]
    except OverflowError:
        return None


def divide(a: Number, b: Number) -> float | None:
    try:
        return _known(a / b)  # type: ignore[no-any-return]
    except (ZeroDivisionError, OverflowError):
        return None


def remainder(a: Number, b: Number) -> Number | None:
    try:
        return _known(a % b)  # type: ignore[no-any-return]
    except (ZeroDivisionError, OverflowError):
        return None


def rounded(value: Number, digits: int | None = None) -> Number | None:
    try:
        return round(value, digits)
    except (OverflowError, ValueError):
        return None


@lru_cache(maxsize=65_536)
def registrable_domain(host: str) -> str | None:
    """``domain(host)``: the part of a name that was registered (``a.b.example.co.uk`` gives
    ``example.co.uk``), in lower case, by the public suffix list that comes with publicsuffixlist.
    None for addresses, single labels and bare suffixes.
    """
    name = host.rstrip(".").lower()
    if _address(name.strip("[]")) is not None:
        return None
    found = _suffixes().privatesuffix(name)
    return None if found is None else str(found)


@cache
def _suffixes() -> Any:
    """The list, read when a rule first asks: it takes some tens of milliseconds."""
    from publicsuffixlist import PublicSuffixList  # the one rule in many that needs it pays for it

    return PublicSuffixList()


OPERATORS: dict[str, Callable[[Number, Number], Number | None]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
}


@lru_cache(maxsize=65_536)
def _address(text: str) -> tuple[int, int] | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address.version, int(address)


class Network:
    """``IN CIDR``: a network as two integers."""

    __slots__ = ("_first", "_last", "_version")

    def __init__(self, text: str) -> None:
        network = ipaddress.ip_network(text)
        self._version = network.version
        self._first = int(network.network_address)
        self._last = int(network.broadcast_address)

    def has(self, text: str) -> bool:
        address = _address(text)
        return address is not None and address[0] == self._version and self._first <= address[1] <= self._last


def like(pattern: str) -> Callable[[str], bool]:
    """A test for an anchored wildcard pattern; the common shapes need no regular expression."""
    if "?" not in pattern and pattern.count("*") <= 1:
        if "*" not in pattern:
            return lambda text: text == pattern
        head, _, tail = pattern.partition("*")
        least = len(head) + len(tail)
        return lambda text: len(text) >= least and text.startswith(head) and text.endswith(tail)
    expression = "".join({"*": ".*", "?": "."}.get(c) or re.escape(c) for c in pattern)
    compiled = re2.compile(f"(?s)^{expression}$(?:)", regex_options())
    return lambda text: compiled.fullmatch(text) is not None


def regex(pattern: str) -> Callable[[str], bool]:
    """A test for an RE2 pattern, found anywhere in the text."""
    compiled = re2.compile(pattern, regex_options())
    return lambda text: compiled.search(text) is not None


class ListTest:
    """``IN LIST``: exact entries in a set, wildcards and networks tried in order.

    Entries with ``*`` or ``?`` are wildcards, those in CIDR form networks; the rest are exact. One
    object serves all rules that read the list, so that a reload changes them together.

    Attributes:
        entries: as they were given.
        answers: by value whether it is in the list: worked out when it is first asked for, and remembered,
            because the same names come again and again. What :meth:`has` says, without a call.
    """

    __slots__ = ("_exact", "_likes", "_networks", "answers", "entries")

    def __init__(self, items: tuple[str, ...]) -> None:
        self.entries: frozenset[str] = frozenset()
        self._exact: frozenset[str] = frozenset()
        self._likes: list[Callable[[str], bool]] = []
        self._networks: list[Network] = []
        self.answers = _Answers(self.has)
        self.replace(items)

    def replace(self, items: tuple[str, ...]) -> None:
        exact: list[str] = []
        likes: list[Callable[[str], bool]] = []
        networks: list[Network] = []
        for item in items:
            if "/" in item and _is_network(item):
                networks.append(Network(item))
            elif "*" in item or "?" in item:
                likes.append(like(item))
            else:
                exact.append(item)
        self._exact, self._likes, self._networks = frozenset(exact), likes, networks
        self.entries = self._exact if len(exact) == len(items) else frozenset(items)
        self.answers.clear()

    def has(self, value: str) -> bool:
        return (
            value in self._exact
            or any(test(value) for test in self._likes)
            or any(network.has(value) for network in self._networks)
        )


class _Answers(dict[str, bool]):
    """Answers to a test by value. Bounded: values come from outside."""

    def __init__(self, test: Callable[[str], bool]) -> None:
        super().__init__()
        self._test = test

    def __missing__(self, value: str) -> bool:
        answer = self._test(value)
        if len(value) <= MOST_CHARACTERS:
            if len(self) >= MOST_ANSWERS:
                self.clear()
            self[value] = answer
        return answer


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
