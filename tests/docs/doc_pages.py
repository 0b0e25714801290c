"""Finds what the pages of the documentation show: files, rules, commands, links.

Conventions, kept by README.md and docs/**/*.md:

- A block whose last line of text before it ends in a file name between backticks and a colon
  (``Save this as `first.rule`:``) is that file.
- ``thenwire`` blocks are rules, checked together with the rule files that the page has shown before, and
  their tests are run. Words after the language say what is to be expected of them: ``preamble``
  (stands before each later block without a name), ``mobile`` (uses the shipped pack), ``draft`` (no
  error; warnings and tests come later on the page), ``bad TW401`` (gives that error).
- ``console`` blocks hold commands after ``$`` and what they print. A line ``...`` stands for one
  or more lines, ``...`` in a line for any text. ``exit=1`` is the exit code of its commands where it
  is not 0.
- Blocks of other languages are not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TESTED_ELSEWHERE = DOCS / "reference" / "diagnostics"
"""Its blocks have conventions of their own: tests/language."""

_FENCE = re.compile(r"^(`{3,})\s*(.*?)\s*$")
_FILE = re.compile(r"`([A-Za-z0-9_./-]+\.[a-z]+)`(?: again)?:$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^()\s]+)\)")
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^()\s]+)\)")
_CODE = re.compile(r"`[^`]*`")


class Block(msgspec.Struct, frozen=True):
    """One fenced block. ``line`` counts from 1; ``file`` is the name that the page gives it."""

    page: str
    line: int
    language: str
    flags: tuple[str, ...]
    text: str
    file: str | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


class Command(msgspec.Struct, frozen=True):
    """One ``$`` line of a console block and the lines that the page shows below it."""

    text: str
    output: tuple[str, ...]


def pages() -> list[Path]:
    """All pages whose blocks are run."""
    found = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    found += [p for p in DOCS.rglob("*.md") if "_build" not in p.parts and TESTED_ELSEWHERE not in p.parents]
    return sorted(p for p in found if p.exists())


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return blocks_of(page.read_text("utf-8"), name_of(page))


def blocks_of(text: str, page: str) -> list[Block]:
    """The fenced blocks of a page given as text."""
    found: list[Block] = []
    before = ""
    fence = ""
    begin, info, inside = 0, "", [""]
    for number, line in enumerate(text.splitlines(), 1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1] == fence and not mark[2]:
                named = _FILE.search(before)
                words = info.split()
                language = words[0] if words else ""
                body = "".join(f"{row}\n" for row in inside)
                found.append(
                    Block(page, begin, language, tuple(words[1:]), body, named[1] if named else None)
                )
                fence, before = "", ""
            else:
                inside.append(line)
        elif mark:
            fence, begin, info, inside = mark[1], number, mark[2], []
        elif line.strip():
            before = line.strip()
    assert not fence, f"{page}:{begin}: the block is not closed"
    return found


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block."""
    text: str | None = None
    output: list[str] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if text is not None:
                yield Command(text, tuple(output))
            text, output = line[2:], []
        else:
            assert text is not None, f"{block.place}: output before the first command"
            output.append(line)
    if text is not None:
        yield Command(text, tuple(output))


def matches(shown: tuple[str, ...], printed: tuple[str, ...]) -> bool:
    """Whether the printed lines are those shown, ``...`` standing for what is left out."""
    rows = [
        "(?s:.*)" if line.strip() == "..." else "[^\n]*".join(map(re.escape, line.rstrip().split("...")))
        for line in shown
    ]
    return re.fullmatch("\n".join(rows), "\n".join(line.rstrip() for line in printed)) is not None


def links(page: Path) -> list[str]:
    """The targets of links and pictures, as written, code left out."""
    text = page.read_text("utf-8")
    kept: list[str] = []
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1] == fence and not mark[2]:
            fence = ""
        elif not fence:
            kept.append(_CODE.sub("", line))
    joined = "\n".join(kept)
    return _LINK.findall(joined) + _PICTURE.findall(joined)


def anchors(page: Path) -> set[str]:
    """The names that headings get, as GitHub makes them."""
    found: set[str] = set()
    fence = ""
    for line in page.read_text("utf-8").splitlines():
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1] == fence:
            fence = ""
        elif not fence and line.startswith("#"):
            title = line.lstrip("#").strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return found
