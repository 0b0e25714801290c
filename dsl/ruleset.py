"""Rule files from disk to a checked rule set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dsl.bind import bind
from dsl.diagnostics import Diagnostic
from dsl.model import RuleSet
from dsl.nodes import Span
from dsl.params import PARAMS_FILE, Overrides
from dsl.parse import ParsedFile, parse
from dsl.split import MAX_FILE_CHARACTERS


def rule_files(paths: Iterable[str | Path]) -> list[Path]:
    """The ``.rule`` files below the given paths, each once, in a stable order.

    Raises:
        FileNotFoundError: a path does not exist. The message is fit to print.
    """
    found: dict[Path, None] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            found.update(dict.fromkeys(sorted(p for p in path.rglob("*.rule") if p.is_file())))
        elif path.is_file():
            found[path] = None
        else:
            raise FileNotFoundError(f"there is no rule file or folder `{given}`")
    return list(found)


def _read(path: Path) -> ParsedFile:
    try:
        if path.stat().st_size > 4 * MAX_FILE_CHARACTERS:
            return _unreadable(path, f"larger than {4 * MAX_FILE_CHARACTERS:,} bytes")
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        return _unreadable(path, f"not UTF-8 text (byte {error.start})")
    except OSError as error:
        return _unreadable(path, (error.strerror or "not readable").lower())
    return parse(text, str(path))


def _unreadable(path: Path, why: str) -> ParsedFile:
    problem = Diagnostic("TW104", f"the file cannot be read: {why}", str(path), Span(0, 0), "not read", "")
    return ParsedFile(str(path), "", (), frozenset(), (problem,))


def load(paths: Iterable[str | Path], params: Overrides | None = None) -> RuleSet:
    """Load every ``.rule`` file below the given paths as one rule set.

    A declaration with an error is left out and reported in ``RuleSet.diagnostics``; the others load.

    Args:
        paths: files and folders.
        params: values for PARAMs by canonical name; durations in milliseconds, sizes in bytes.
            ``crash_window`` sets every PARAM of that name, also inside rules; ``rule.crash_window``
            the one of that rule. A name that no PARAM has is an error (TW204) in ``diagnostics``.

    Raises:
        FileNotFoundError: a path does not exist.
    """
    return bind([_read(path) for path in rule_files(paths)], params)


def load_text(text: str, file: str = "<text>", params: Overrides | None = None) -> RuleSet:
    """Load one rule file given as text; for tests and tools. See :func:`load`."""
    return bind([parse(text, file)], params)


def rebind(ruleset: RuleSet, params: Overrides) -> RuleSet:
    """The same files with other PARAM values; for tests with GIVEN PARAM. Lists are read again.

    Values that the rule set was loaded with stay, also those of one rule (``rule.param``), except
    where ``params`` gives another. A plain name gives it to every PARAM of that name.
    """
    plain = {name for name in params if "." not in name}
    kept = {name: v for name, v in ruleset.overrides.items() if name.rpartition(".")[2] not in plain}
    files = [parse(text, file) for file, text in ruleset.texts.items() if file != PARAMS_FILE]
    return bind(files, {**kept, **params})
