"""What a syntax error means to the author: the token the parser refused, explained.

The parser gives the refused token and what it would have taken; the well-known slips
(LANGUAGE.md section 7) are recognised by the tokens around it.
"""

from __future__ import annotations

from collections.abc import Collection

from lark import Token

from dsl.diagnostics import Diagnostic, nearest
from dsl.nodes import Span
from dsl.split import keywords, token_span

_AS_TEXT = {
    "WORD": "a name",
    "STRING": 'a "string"',
    "NUMBER": "a number",
    "DURATION": "a duration",
    "SIZE": "a size",
    "UPPER": "a word",
    "COMPARISON": "a comparison",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "EQUAL": "`=`",
    "DOT": "`.`",
    "MINUS": "`-`",
    "PLUS": "`+`",
    "STAR": "`*`",
    "SLASH": "`/`",
    "PERCENT": "`%`",
    "OPTIONAL": "`?`",
}
_BOUND_WORDS = {
    "WITHIN",
    "AFTER",
    "BETWEEN",
    "AND",
    "FOR",
    "IN",
    "GRACE",
    "LATE",
    "EVERY",
    "OVER",
    "SUPPRESS",
}
_CLAUSES = frozenset(
    {"META", "BY", "WHEN", "UNLESS", "SEVERITY", "SUPPRESS", "RISK", "ALERT", "SELECT", "PARAM"}
)
_ARITHMETIC = {"PLUS", "MINUS", "STAR", "SLASH", "PERCENT"}


def _listed(accepts: Collection[str]) -> str:
    """What may stand there, the likeliest first, at most eight."""
    names = {name for name in accepts if not name.startswith("$") and name != "__ANON_0"}
    if len(names & _CLAUSES) > 4:  # between clauses: say so instead of naming each
        names -= _CLAUSES
        names.add("a clause (META BY WHEN UNLESS SEVERITY SUPPRESS RISK ALERT SELECT PARAM)")
    if len(names & _ARITHMETIC) > 3:
        names -= _ARITHMETIC
    words = sorted(_AS_TEXT.get(name, name) for name in names)
    shown = words[:8]
    text = ", ".join(shown[:-1]) + " or " + shown[-1] if len(shown) > 1 else "".join(shown)
    return text + (" ..." if len(words) > 8 else "")


def explain(tokens: list[Token], at: int, accepts: Collection[str], file: str) -> Diagnostic:
    """The diagnostic for ``tokens[at]``, which the parser refused.

    ``at`` equal to the number of tokens means that the declaration ended too early.
    """
    if at == len(tokens):
        last = token_span(tokens[-1])
        return Diagnostic(
            "TW101",
            f"the {tokens[0].value} declaration ends too early",
            file,
            last,
            "something is missing after this",
            f"expected {_listed(accepts)}",
        )
    token = tokens[at]
    before = [t.type for t in tokens[max(0, at - 3) : at]]
    known = _known_slip(tokens, at, before, accepts, file)
    if known is not None:
        return known
    hint = f"expected {_listed(accepts)}"
    if token.type == "UPPER":
        close = nearest(token.value, keywords())
        if close is not None:
            hint = f"did you mean `{close}`?"
        else:
            hint = "keywords are upper case; names are lower case"
        return Diagnostic(
            "TW112", f"`{token.value}` is no keyword", file, token_span(token), "not known", hint
        )
    if token.type == "EQUAL" and "COMPARISON" in accepts:
        hint = "a comparison is written `==`"
    elif token.type == "COMPARISON" and before[-1:] != ["COMPARISON"] and "AND" in accepts:
        hint = "comparisons do not chain: write `a < b AND b < c`"
    elif token.type == "COLON" and "EQUAL" in accepts:
        hint = "write `=` here"
    return Diagnostic(
        "TW101", f"`{token.value}` may not stand here", file, token_span(token), "unexpected", hint
    )


def _known_slip(
    tokens: list[Token], at: int, before: list[str], accepts: Collection[str], file: str
) -> Diagnostic | None:
    token = tokens[at]
    previous = before[-1] if before else ""
    span = token_span(token)
    if token.type == "THEN" and previous == "THEN":
        return Diagnostic(
            "TW106",
            "THEN follows THEN",
            file,
            span,
            "a step is missing before this",
            "after THEN stands an event or signal, `(`, NO, ALL OF, ANY k OF, ONE OF, AT LEAST, ALERT, "
            "or a bound on the gap: WITHIN, AFTER, BETWEEN",
        )
    if token.type == "THEN" and len(before) >= 2 and before[-2] == "WITHIN":
        duration = tokens[at - 1].value
        return Diagnostic(
            "TW107",
            "WITHIN closes the pattern",
            file,
            Span(token_span(tokens[at - 2]).start, span.end),
            "nothing may follow this bound",
            f"WITHIN closes the pattern; for that gap write `a THEN WITHIN {duration} b`",
        )
    if (no := _open_no(tokens, at)) is not None and "FOR" in accepts:
        subject = " ".join(_words_from(tokens, no + 1)) or "a"
        return Diagnostic(
            "TW109",
            "NO needs a duration",
            file,
            Span(token_span(tokens[no]).start, token_span(tokens[at - 1]).end),
            "for how long?",
            f"`NO {subject} FOR 10m`",
        )
    if token.type == "WORD" and previous == "WORD" and len(before) >= 2 and before[-2] in _BOUND_WORDS:
        first = tokens[at - 1]
        if before[-2] in {"WITHIN", "FOR"} and first.value in {"ten", "five", "one", "two", "half"}:
            return _not_a_duration(first, file)
        joined = "_".join(t.value for t in _words_from(tokens, at - 1))
        return Diagnostic(
            "TW113",
            "a PARAM in the place of a duration or count is one token",
            file,
            Span(token_span(first).start, token_span(_words_from(tokens, at - 1)[-1]).end),
            "two words",
            f"write it with underscores: `{joined}`",
        )
    if "DURATION" in accepts and token.type not in {"WORD", "NUMBER", "DURATION", "SIZE"}:
        return _not_a_duration(token, file)
    if token.type == "MINUS" and tokens[at + 1 : at + 2] and tokens[at + 1].value == ">":
        return Diagnostic(
            "TW101", "`->` may not stand here", file, span, "unexpected", "`a THEN b` says that b follows"
        )
    for word in reversed(_words_before(tokens, at)):
        if word.value.upper() in keywords():
            return lower_case_keyword(word.value, token_span(word), file)
    return None


def lower_case_keyword(word: str, span: Span, file: str) -> Diagnostic:
    """``then`` where THEN was meant: a lower-case word is a part of a name."""
    upper = word.upper()
    return Diagnostic(
        "TW110",
        f"`{word}` looks like {upper}",
        file,
        span,
        "read as a part of a name, because it is lower case",
        f"keywords are upper case: `{upper}`",
    )


def _words_before(tokens: list[Token], at: int) -> list[Token]:
    """The run of words that ends just before the refused token, and that token if it is one."""
    begin = at
    while begin > 0 and tokens[begin - 1].type == "WORD":
        begin -= 1
    return tokens[begin : at + 1] if tokens[at].type == "WORD" else tokens[begin:at]


def _words_from(tokens: list[Token], begin: int) -> list[Token]:
    end = begin
    while end < len(tokens) and tokens[end].type == "WORD":
        end += 1
    return tokens[begin:end]


def _open_no(tokens: list[Token], at: int) -> int | None:
    """The index of a NO whose source has ended at ``at`` without FOR."""
    depth = 0
    for i in range(at - 1, max(-1, at - 400), -1):
        kind = tokens[i].type
        if kind in {"RSQB", "RPAR"}:
            depth += 1
        elif kind in {"LSQB", "LPAR"}:
            depth -= 1
            if depth < 0:
                return None
        elif depth == 0 and kind == "NO":
            return i
        elif depth == 0 and kind not in {"WORD", "ALERT"}:
            return None
    return None


def _not_a_duration(token: Token, file: str) -> Diagnostic:
    return Diagnostic(
        "TW108",
        f"`{token.value}` is not a duration",
        file,
        token_span(token),
        "a duration was expected",
        "durations look like 30s, 10m, 1h30m; or name a PARAM, in one token",
    )
