"""Messages about rule files: one struct, one way to print it.

Every message has a permanent code; the words may change, the code may not. The table of codes
stands in :data:`CODES` and each code has a page in docs/reference/diagnostics/.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import msgspec

from dsl.nodes import Span

ERROR = "error"
WARNING = "warning"

MAX_COMPARED = 100
MAX_COMPARED_CHARACTERS = 100
"""Bounds on the search for a name that was perhaps meant."""

CODES: dict[str, str] = {
    "TW101": "this may not stand here",
    "TW102": "a character that belongs to nothing",
    "TW103": "a string that is not closed",
    "TW104": "a file that cannot be read",
    "TW105": "too large or nested too deep",
    "TW106": "THEN after THEN",
    "TW107": "WITHIN before THEN",
    "TW108": "a duration was expected",
    "TW109": "NO without FOR",
    "TW110": "a keyword in lower case",
    "TW111": "THEN missing between two names",
    "TW112": "an upper-case word that is no keyword",
    "TW113": "two words where one PARAM must stand",
    "TW114": "a brace that is not closed",
    "TW115": "a clause that stands twice",
    "TW116": "a count was expected",
    "TW201": "unknown event or signal",
    "TW202": "unknown field",
    "TW203": "unknown list",
    "TW204": "unknown param",
    "TW205": "declared twice",
    "TW206": "unknown step name",
    "TW207": "IN without LIST",
    "TW208": "unknown function",
    "TW209": "unknown baseline",
    "TW210": "unknown rule",
    "TW211": "a cycle",
    "TW212": "a step name used twice",
    "TW213": "a step that is not yet known there",
    "TW214": "a reserved name",
    "TW301": "types or units that do not fit",
    "TW302": "wrong number of arguments",
    "TW303": "a condition was expected",
    "TW304": "a PARAM of the wrong type",
    "TW305": "a field with two types",
    "TW306": "a term that some member can never satisfy",
    "TW307": "a literal that is not valid",
    "TW308": "a template that cannot be filled",
    "TW401": "a rule without a bound",
    "TW402": "WITHOUT where there is nothing before",
    "TW403": "NO where it may not stand",
    "TW404": "a pattern that is only NO",
    "TW405": "ANY more than there are",
    "TW406": "a key the first step does not have",
    "TW407": "a fleet rule that reads events",
    "TW408": "a rule without WHEN",
    "TW409": "bounds that exclude each other",
    "TW501": "steps that share an app are not related",
    "TW502": "a negative over a field that may be missing",
    "TW503": "a guard that shadows its step",
    "TW504": "a rule that can never fire",
    "TW505": "absence over a source that arrives late",
    "TW506": "one rule includes another",
    "TW507": "no tests",
    "TW508": "state over budget",
    "TW509": "a step without a local part",
    "TW510": "a test that expects nothing",
    "TW511": "only vacuous tests",
    "TW902": "a count larger than is kept",
    "TW903": "too many combinations of ONE OF",
    "TW904": "too many things to look for in one rule",
    "TW905": "a rule that reads one that does not run",
}


class Diagnostic(msgspec.Struct, frozen=True):
    """One finding about a rule file.

    ``file`` is the path as the caller gave it; ``span`` are character offsets in it; ``label``
    says what is wrong there, ``hint`` what to do (may be empty). ``severity`` is ``error`` or
    ``warning``: a declaration with an error does not load.
    """

    code: str
    message: str
    file: str
    span: Span
    label: str
    hint: str = ""
    severity: str = ERROR


def position(text: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of a character offset."""
    offset = min(offset, len(text))
    line = text.count("\n", 0, offset) + 1
    return line, offset - (text.rfind("\n", 0, offset) + 1) + 1


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, or None where none is near."""
    candidates = sorted(known)
    if len(name) > MAX_COMPARED_CHARACTERS:
        return None
    if len(candidates) > MAX_COMPARED:  # comparing costs ten microseconds; a file may have many slips
        candidates = sorted(candidates, key=lambda k: (k[:1] != name[:1], abs(len(k) - len(name))))
    close = get_close_matches(name, candidates[:MAX_COMPARED], n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint naming the nearest known name, in its spelling with spaces."""
    close = nearest(name, known)
    return f"did you mean `{close.replace('_', ' ')}`?" if close else otherwise


def _clean(text: str) -> str:
    """Source text fit for a terminal: tabs become one space, other control characters `?`."""
    return "".join(" " if c == "\t" else c if c.isprintable() else "?" for c in text)


def render(diagnostic: Diagnostic, text: str) -> str:
    """The message as people read it: place, source line, underline, label and hint."""
    line, column = position(text, diagnostic.span.start)
    begin = diagnostic.span.start - (column - 1)
    end = text.find("\n", begin)
    source = text[begin : end if end >= 0 else len(text)].rstrip("\r")
    offset = column - 1
    width = max(1, min(diagnostic.span.end, begin + len(source)) - diagnostic.span.start)
    if len(source) > 160:  # a line nobody can read is cut around the place
        cut = max(0, offset - 60)
        source, offset = source[cut : cut + 160], offset - cut
        width = min(width, 160 - offset)
    margin = " " * len(str(line))
    lines = [
        f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}",
        f"{margin}--> {diagnostic.file}:{line}:{column}",
        f"{line} | {_clean(source)}",
        f"{margin} | {' ' * offset}{'^' * width} {diagnostic.label}".rstrip(),
    ]
    if diagnostic.hint:
        lines.append(f"{margin} = hint: {diagnostic.hint}")
    return "\n".join(lines)


def as_record(diagnostic: Diagnostic, text: str) -> dict[str, object]:
    """The message for editors (``--json``): lines and columns from 1, the end exclusive."""
    line, column = position(text, diagnostic.span.start)
    end_line, end_column = position(text, diagnostic.span.end)
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "file": diagnostic.file,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "message": diagnostic.message,
        "label": diagnostic.label,
        "hint": diagnostic.hint,
        "docs": f"reference/diagnostics/{diagnostic.code}.md",
    }


def in_order(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Diagnostics by file, place and code, each once."""
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda d: (d.file, d.span.start, d.code, d.message))
