"""One layout for rule files: ``thenwire fmt``.

>>> from dsl.format import format_text
>>> print(format_text("RULE r{WHEN net_flow  THEN app exit WITHIN 10m BY device}").text, end="")
RULE r {
  WHEN net flow THEN app exit WITHIN 10m
  BY device
}

What is laid out is the tokens with their comments, so that numbers, durations, sizes and strings
keep the author's spelling. The layout of a text is also the layout of its own result.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import msgspec
from lark import Lark, Token, Tree

from dsl.diagnostics import Diagnostic
from dsl.format.comments import Comment, attach
from dsl.format.compare import same_meaning
from dsl.format.declarations import Declarations
from dsl.format.layout import layout
from dsl.format.values import first_token
from dsl.parse import parse
from dsl.split import Chunk, split

__all__ = ["Formatted", "LayoutError", "format_text", "same_meaning"]

_IN_BRACES = frozenset({"EVENT", "RULE", "TEST"})


class LayoutError(Exception):
    """A layout would have changed what the file says: a fault of this package, not of the file."""


class Formatted(msgspec.Struct, frozen=True):
    """A file laid out. With ``diagnostics`` it has syntax errors, and ``text`` is as it was."""

    text: str
    diagnostics: tuple[Diagnostic, ...]


def format_text(text: str, file: str = "<text>") -> Formatted:
    """Lay out a rule file given as text. No name is looked up: what the file refers to may be elsewhere.

    Raises:
        LayoutError: the result would not say the same. It is checked each time, because files are
            overwritten with it.
    """
    parsed = parse(text, file)
    if parsed.diagnostics:
        return Formatted(text, parsed.diagnostics)
    result = _laid_out(text, file)
    if not same_meaning(parsed, parse(result, file)):
        raise LayoutError("its layout would change its meaning; please report this file")
    return Formatted(result, ())


@cache
def _whole_tree_parser() -> Lark:
    """The parser of dsl.split, but every token stays in its tree. Built once a process, in 0.5 s."""
    grammar = files("dsl").joinpath("grammar.lark").read_text("utf-8")
    return Lark(
        grammar,
        parser="lalr",
        lexer="basic",
        start=["start"],
        keep_all_tokens=True,
        maybe_placeholders=False,
    )


def _tree(chunk: Chunk) -> Tree[Token]:
    interactive = _whole_tree_parser().parse_interactive("", start="start")
    for token in chunk.tokens:
        interactive.feed_token(token)
    tree = interactive.feed_eof(chunk.tokens[-1])  # type: ignore[no-untyped-call]  # lark has no types here
    declaration = tree.children[0]
    assert isinstance(declaration, Tree)
    return declaration


def _laid_out(text: str, file: str) -> str:
    chunks, _, _ = split(text, file)
    trees = [_tree(chunk) for chunk in chunks]
    dropped = {start for tree in trees for start in _dropped(tree)}
    leaves = attach(text, [token for chunk in chunks for token in chunk.tokens], dropped)
    documents = Declarations(leaves)
    lines: list[str] = []
    previous: tuple[str, bool] | None = None
    for tree in trees:
        leaf = documents.leaf(tree)
        assert leaf is not None, "a keyword is always printed"
        above, blank = leaf.before, leaf.blank
        leaf.before = []
        body = layout(documents.declaration(tree))
        sort = str(first_token(tree))
        tall = sort in _IN_BRACES and "\n" in body
        if previous is not None:
            apart = previous[0] != sort or previous[1] or tall
            _separate(lines, apart and not blank and not any(c.blank for c in above))
        _comments(lines, above)
        _separate(lines, blank)
        lines.append(body)
        previous = (sort, tall)
    _comments(lines, leaves.end)
    return "".join(f"{line}\n" for line in lines)


def _separate(lines: list[str], blank: bool) -> None:
    if blank and lines and lines[-1]:
        lines.append("")


def _comments(lines: list[str], comments: list[Comment]) -> None:
    for comment in comments:
        _separate(lines, comment.blank)
        lines.append(comment.text)


def _dropped(tree: Tree[Token]) -> Iterator[int]:
    """Where tokens start that no layout has: commas in a map and before a closing bracket."""
    for part in tree.iter_subtrees():
        children = part.children
        if part.data == "map":
            gone = children
        elif part.data in {"list_value", "given_key"}:
            gone = children[-2:-1]
        elif part.data in {"patterns", "paths"}:
            gone = children[-1:]
        else:
            continue
        for child in gone:
            if isinstance(child, Token) and child.type == "COMMA":
                yield child.start_pos or 0
