"""The order in which declarations that use each other are bound, and the circles among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def order_of_use(uses: Mapping[str, Sequence[str]]) -> tuple[list[str], frozenset[tuple[str, str]]]:
    """Each name after those it uses, and the pairs (user, used) that close a circle.

    ``uses`` gives for each name the names it uses; names without an entry of their own are skipped.
    Without recursion: a chain of declarations may be longer than Python's stack.
    """
    done: list[str] = []
    closing: set[tuple[str, str]] = set()
    state: dict[str, str] = {}
    for start in uses:
        if start in state:
            continue
        state[start] = "open"
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(uses[start]))]
        while stack:
            name, rest = stack[-1]
            used = next(rest, None)
            if used is None:
                stack.pop()
                state[name] = "done"
                done.append(name)
            elif used not in uses:
                continue
            elif state.get(used) == "open":
                closing.add((name, used))
            elif used not in state:
                state[used] = "open"
                stack.append((used, iter(uses[used])))
    return done, frozenset(closing)
