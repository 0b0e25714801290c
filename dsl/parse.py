"""Text to syntax nodes: every error of a file, and every declaration that has none."""

from __future__ import annotations

from itertools import islice, takewhile
from typing import Any

import msgspec
from lark import Token, Tree
from lark.exceptions import UnexpectedToken

from dsl.build import Builder, LiteralError
from dsl.diagnostics import Diagnostic, in_order
from dsl.nodes import Declaration, Expression, Span
from dsl.split import MAX_NESTING, Chunk, parser, split, tokens_of
from dsl.syntax import explain

_CLAUSE_NAMES = {
    "meta": "META",
    "by": "BY",
    "when": "WHEN",
    "severity": "SEVERITY",
    "suppress": "SUPPRESS",
    "risk": "RISK",
    "alert": "ALERT",
    "select": "SELECT",
}


MAX_ERRORS = 1_000
"""After so many syntax errors the rest of a file is not read, and a last message says so."""


class ParsedFile(msgspec.Struct, frozen=True):
    """One rule file after parsing.

    ``broken`` names the declarations that did not parse (canonical names); ``diagnostics`` says why.
    """

    file: str
    text: str
    declarations: tuple[Declaration, ...]
    broken: frozenset[str]
    diagnostics: tuple[Diagnostic, ...]


def parse(text: str, file: str = "<text>") -> ParsedFile:
    """Parse a rule file. Never raises for any text: what is wrong is in ``diagnostics``."""
    chunks, refused, found = split(text, file)
    declarations: list[Declaration] = []
    broken = [_declared_name(chunk) for chunk in refused]
    for position, chunk in enumerate(chunks):
        if len(found) >= MAX_ERRORS:  # each costs about a millisecond to explain; nobody reads on
            found.append(_too_many(chunk, len(chunks) - position, file))
            broken.extend(_declared_name(c) for c in chunks[position:])
            break
        declaration, problems = _declaration(chunk, file)
        found.extend(problems)
        if declaration is None:
            broken.append(_declared_name(chunk))
        else:
            declarations.append(declaration)
    return ParsedFile(file, text, tuple(declarations), frozenset(broken) - {""}, tuple(in_order(found)))


def _too_many(chunk: Chunk, left: int, file: str) -> Diagnostic:
    return Diagnostic(
        "TW105",
        f"more than {MAX_ERRORS:,} errors; {left:,} more declarations were not read",
        file,
        chunk.span,
        "from here on",
        "is this a rule file?",
    )


def _declared_name(chunk: Chunk) -> str:
    """The name a broken declaration was going to declare; empty for a TEST or where none stands."""
    words = takewhile(lambda token: token.type == "WORD", chunk.tokens[1:])
    return "_".join(words)


def _declaration(chunk: Chunk, file: str) -> tuple[Declaration | None, list[Diagnostic]]:
    interactive = parser().parse_interactive("", start="start")
    tokens = chunk.tokens
    at = 0
    try:
        for at, token in enumerate(tokens):  # noqa: B007 - read in the handler
            interactive.feed_token(token)
        at = len(tokens)
        tree: Tree[Token] = interactive.feed_eof(tokens[-1])  # type: ignore[no-untyped-call]  # lark has no types here
    except UnexpectedToken:
        accepts = interactive.accepts()  # type: ignore[no-untyped-call]  # lark has no types here
        return None, [explain(tokens, at, accepts, file)]
    builder = Builder()
    try:
        declaration: Any = builder.transform(tree)
    except LiteralError as literal:
        return None, [
            Diagnostic(
                "TW307",
                literal.message,
                file,
                literal.span,
                "no value",
                "durations look like 30s, 10m, 1h30m; sizes like 20KB, 64KiB; numbers like 1_000, 0.5",
            )
        ]
    if builder.repeated:
        return None, [_repeated(tag, span, file) for tag, span in builder.repeated]
    return declaration, []


def parse_expression(text: str) -> Expression | None:
    """One expression, such as stands in the braces of an ALERT template; None if it is not one."""
    interactive = parser().parse_interactive("", start="expression")
    try:
        tokens = list(islice(tokens_of(text), MAX_NESTING + 1))
        if len(tokens) > MAX_NESTING or not tokens:
            return None
        for token in tokens:
            interactive.feed_token(token)
        result: Any = interactive.feed_eof(tokens[-1])  # type: ignore[no-untyped-call]  # lark has no types here
        expression: Expression | None = Builder().transform(result) if isinstance(result, Tree) else None
    except (UnexpectedToken, LiteralError):
        return None
    return expression


def _repeated(tag: str, span: Span, file: str) -> Diagnostic:
    if tag == "AS":
        return Diagnostic(
            "TW115", "the step has two names", file, span, "the second", "AS stands once, and last"
        )
    name = _CLAUSE_NAMES.get(tag, tag)
    return Diagnostic("TW115", f"{name} stands twice", file, span, "the second", f"keep one {name}")
