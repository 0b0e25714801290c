"""DEFINE is a macro: its body is put in place of the call, arguments in place of parameters."""

from __future__ import annotations

from dsl import nodes as n


def substitute(node: n.Expression, bound: dict[str, n.Expression]) -> n.Expression:
    """The body of a DEFINE with its parameters (``bound``, by name) replaced by the arguments."""
    match node:
        case n.Reference() if len(node.path.parts) == 1 and node.path.parts[0].text in bound:
            return bound[node.path.parts[0].text]
        case n.Reference():
            return n.Reference(node.span, _path(node.path, bound))
        case n.Call():
            return n.Call(node.span, node.function, tuple(substitute(a, bound) for a in node.arguments))
        case n.And():
            return n.And(node.span, tuple(substitute(i, bound) for i in node.items))
        case n.Or():
            return n.Or(node.span, tuple(substitute(i, bound) for i in node.items))
        case n.Not():
            return n.Not(node.span, substitute(node.item, bound))
        case n.Negative():
            return n.Negative(node.span, substitute(node.item, bound))
        case n.Compare():
            return n.Compare(
                node.span, node.operator, substitute(node.left, bound), substitute(node.right, bound)
            )
        case n.Arithmetic():
            rest = tuple((operator, substitute(item, bound)) for operator, item in node.rest)
            return n.Arithmetic(node.span, substitute(node.first, bound), rest)
        case n.InValues():
            return n.InValues(node.span, substitute(node.value, bound), node.items, node.negated)
        case n.InList():
            return n.InList(node.span, substitute(node.value, bound), node.name, node.negated)
        case n.InCidr():
            return n.InCidr(node.span, substitute(node.value, bound), node.network, node.negated)
        case n.InPath():
            path = _path(node.path, bound)
            return n.InPath(node.span, substitute(node.value, bound), path, node.negated)
        case n.Like():
            return n.Like(node.span, substitute(node.value, bound), node.pattern, node.negated)
        case n.Matches():
            return n.Matches(node.span, substitute(node.value, bound), node.pattern, node.negated)
        case n.Presence():
            return n.Presence(node.span, substitute(node.value, bound), node.exists)
        case _:
            return node


def _path(path: n.Path, bound: dict[str, n.Expression]) -> n.Path:
    """A path whose first part is a parameter: a field, or a step of which a field is read."""
    argument = bound.get(path.parts[0].text)
    if not isinstance(argument, n.Reference):
        return path
    return n.Path(path.span, (*argument.path.parts, *path.parts[1:]))
