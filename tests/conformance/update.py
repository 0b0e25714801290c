"""Rewrites what the cases expect to what the engine says now; read the diff before you keep it.

python tests/conformance/update.py [WORD ...]     all cases, or those whose path has one of the words
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]

import corpus  # noqa: E402 - the path comes first


def update(words: list[str]) -> int:
    """How many files were rewritten."""
    changed = 0
    for path in sorted(corpus.CASES.rglob("*.case")):
        name = str(path.relative_to(corpus.CASES))
        if words and not any(word in name for word in words):
            continue
        case = corpus.read(path.read_text("utf-8"))
        said = corpus.run(case)
        if said != list(case.expected):
            path.write_text(corpus.write(case, said), "utf-8")
            print(name)
            changed += 1
    return changed


if __name__ == "__main__":
    print(f"{update(sys.argv[1:])} rewritten")
