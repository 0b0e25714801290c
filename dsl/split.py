"""Cut a rule file into declarations, so that a broken one never hides another.

A declaration begins at one of the eight declaration keywords outside all braces (LIST and PARAM,
which also stand inside expressions and tests, at the start of a line). Where braces do not balance,
a declaration keyword in the first column begins the next one all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import islice

import msgspec
from lark import Lark, Token

from dsl.diagnostics import Diagnostic, nearest
from dsl.nodes import Span

MAX_FILE_CHARACTERS = 4_000_000
"""Larger files are refused: no person wrote them, and reading one takes seconds."""
MAX_TOKENS = 500_000
"""Likewise: some 10,000 rules; a token costs a few hundred bytes while it is read."""
MAX_NESTING = 32
"""Braces, brackets, parentheses and NOTs inside each other; the tree is walked recursively."""

STARTS = frozenset({"EVENT", "LIST", "PARAM", "DEFINE", "BASELINE", "SIGNAL", "RULE", "TEST"})
# Never inside a declaration, so they end one whose brace was forgotten. LIST and PARAM may be.
_HARD_STARTS = STARTS - {"LIST", "PARAM"}
_OPEN = {"LBRACE": "RBRACE", "LPAR": "RPAR", "LSQB": "RSQB"}
_CLOSE = {close: opening for opening, close in _OPEN.items()}
_SIGN = {"LBRACE": "{", "LPAR": "(", "LSQB": "[", "RBRACE": "}", "RPAR": ")", "RSQB": "]"}


class Chunk(msgspec.Struct, frozen=True):
    """The tokens of one declaration, in order; never empty."""

    tokens: list[Token]

    @property
    def span(self) -> Span:
        return Span(_start(self.tokens[0]), _end(self.tokens[-1]))


@cache
def parser() -> Lark:
    """The LALR(1) parser of one declaration, built once a process."""
    grammar = files("dsl").joinpath("grammar.lark").read_text("utf-8")
    return Lark(
        grammar, parser="lalr", lexer="basic", start=["start", "expression"], propagate_positions=True
    )


def tokens_of(text: str) -> Iterator[Token]:
    """The tokens of any text; what fits no other terminal is ILLEGAL.

    Not ``Lark.lex``: that builds the lexer anew at every call, some 30 ms.
    """
    lexer = parser().parse_interactive(text, start="start").lexer_thread
    tokens: Iterator[Token] = lexer.lex(None)  # type: ignore[no-untyped-call]  # lark has no types here
    return tokens


@cache
def keywords() -> frozenset[str]:
    """All reserved words of the grammar."""
    return frozenset(
        t.pattern.value for t in parser().terminals if t.pattern.type == "str" and t.pattern.value.isalpha()
    )


def _start(token: Token) -> int:
    return token.start_pos or 0


def _end(token: Token) -> int:
    return token.end_pos or 0


def token_span(token: Token) -> Span:
    return Span(_start(token), _end(token))


def split(text: str, file: str) -> tuple[list[Chunk], list[Chunk], list[Diagnostic]]:
    """The declarations of a file as tokens: those fit to parse, those refused, and why.

    A chunk with a diagnostic of its own is refused: parsing it would only cause a second one.
    """
    if len(text) > MAX_FILE_CHARACTERS:
        what = f"{len(text):,} characters, more than {MAX_FILE_CHARACTERS:,}"
        return [], [], [_too_large(what, file)]
    found: list[Diagnostic] = []
    chunks: list[Chunk] = []
    refused: list[Chunk] = []
    tokens = list(islice(tokens_of(text), MAX_TOKENS + 1))
    if len(tokens) > MAX_TOKENS:
        return [], [], [_too_large(f"more than {MAX_TOKENS:,} words and signs", file)]
    for declaration in _cut(tokens):
        problem = _text_problem(declaration, file) or _brace_problem(declaration, file)
        if problem is None:
            chunks.append(Chunk(declaration))
        else:
            refused.append(Chunk(declaration))
            found.append(problem)
    return chunks, refused, found


def _too_large(what: str, file: str) -> Diagnostic:
    return Diagnostic(
        "TW105",
        f"the file has {what}",
        file,
        Span(0, 1),
        "not read",
        "cut it into several files; all .rule files below a path are one rule set",
    )


def _first_on_line(token: Token, previous: Token | None) -> bool:
    return previous is None or (previous.end_line or 0) < (token.line or 0)


def _cut(tokens: list[Token]) -> Iterator[list[Token]]:
    current: list[Token] = []
    depth = 0
    previous: Token | None = None
    for token in tokens:
        first = _first_on_line(token, previous)
        if token.type in STARTS and current and (first or token.type in _HARD_STARTS):
            column_one = token.column == 1
            continues = previous is not None and previous.type in {"IN", "GIVEN", "ALERT", "OF"}
            outside = depth <= 0 and not continues
            unclosed = depth > 0 and column_one and token.type in _HARD_STARTS
            if outside or unclosed:
                yield from _unclosed(current) if depth > 0 else (current,)
                current, depth = [], 0
        if token.type in _OPEN:
            depth += 1
        elif token.type in _CLOSE:
            depth -= 1
        current.append(token)
        previous = token
    if current:
        yield from _unclosed(current) if depth > 0 else (current,)


def _unclosed(tokens: list[Token]) -> Iterator[list[Token]]:
    """A chunk whose braces stay open may have swallowed a PARAM or LIST in the first column."""
    begin = 0
    for i in range(1, len(tokens)):
        if tokens[i].type in STARTS and tokens[i].column == 1:
            yield tokens[begin:i]
            begin = i
    yield tokens[begin:]


def _text_problem(tokens: list[Token], file: str) -> Diagnostic | None:
    for token in tokens:
        if token.type != "ILLEGAL":
            continue
        span = token_span(token)
        if token.value[0] == '"':
            return Diagnostic(
                "TW103",
                "the string is not closed",
                file,
                span,
                "begins here and does not end on this line",
                'close it with `"`; a quote inside is written `\\"`',
            )
        if token.value == "'":
            hint = 'strings stand in double quotes: "..."'
        elif token.value[0].isdigit():
            hint = "durations look like 30s, 10m, 1h30m; sizes like 20KB, 64KiB; numbers like 1_000, 0.5"
        elif token.value in {"&", "|", "!"}:
            hint = "the logical operators are AND, OR and NOT"
        elif token.value == ";":
            hint = "no separator is needed between clauses"
        else:
            hint = "names are lower case, `[a-z_][a-z0-9_]*`; comments begin with #"
        shown = token.value if token.value.isprintable() else ascii(token.value)[1:-1]
        if len(shown) > 40:
            shown = shown[:37] + "..."
        return Diagnostic("TW102", f"`{shown}` belongs to nothing here", file, span, "not understood", hint)
    return None


def _brace_problem(tokens: list[Token], file: str) -> Diagnostic | None:
    """Unbalanced or too deep braces, and text that no declaration keyword opens."""
    first = tokens[0]
    if first.type not in STARTS:
        close = nearest(first.value.upper(), STARTS)
        return Diagnostic(
            "TW101",
            f"`{first.value}` does not begin a declaration",
            file,
            token_span(first),
            "a declaration was expected",
            f"did you mean `{close}`?"
            if close
            else "one of EVENT LIST PARAM DEFINE BASELINE SIGNAL RULE TEST",
        )
    stack: list[Token] = []
    prefixes: list[int] = []  # how many NOT and - stand before each open brace
    negations = 0
    for token in tokens:
        if token.type in {"NOT", "MINUS"}:
            negations += 1
        elif token.type not in _OPEN:
            negations = 0
        if token.type in _OPEN:
            stack.append(token)
            prefixes.append(negations)
            negations = 0
        elif token.type in _CLOSE:
            if not stack or stack[-1].type != _CLOSE[token.type]:
                expected = _SIGN[_OPEN[stack[-1].type]] if stack else None
                label = f"`{expected}` would close the last one" if expected else "nothing is open here"
                return Diagnostic(
                    "TW114",
                    f"`{token.value}` closes nothing",
                    file,
                    token_span(token),
                    label,
                    "braces go in pairs",
                )
            stack.pop()
            prefixes.pop()
        if len(stack) + sum(prefixes) + negations > MAX_NESTING:
            return Diagnostic(
                "TW105",
                f"nested more than {MAX_NESTING} deep",
                file,
                token_span(token),
                "too deep",
                "name the inner parts: a SIGNAL or a DEFINE each",
            )
    if stack:
        return Diagnostic(
            "TW114",
            f"`{stack[-1].value}` is never closed",
            file,
            token_span(stack[-1]),
            "opened here",
            f"add `{_SIGN[_OPEN[stack[-1].type]]}`; the next declaration was read all the same",
        )
    return None
