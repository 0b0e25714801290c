"""A rule set as data: what is needed to load the same rules again, and a hash that names it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import msgspec

import dsl
from dsl import model as m
from dsl.bind import bind
from dsl.lists import read_list
from dsl.params import PARAMS_FILE, Overrides
from dsl.parse import ParsedFile, parse

HASH_CHARACTERS = 16


class Bundle(msgspec.Struct, frozen=True):
    """The text of each rule file by its path, and the PARAM values of the deployment.

    Entries of LISTs from files are no part of it: they change on their own and stand in the state.
    """

    texts: dict[str, str]
    overrides: dict[str, str | int | float | bool] = {}

    @property
    def hash(self) -> str:
        """Of all texts and values. Where the files lie does not matter, as long as their names are in the
        same order: the same set from another folder has the same hash.
        """
        found = sha256()
        for _, text in sorted(self.texts.items()):
            raw = text.encode("utf-8", "surrogatepass")
            found.update(b"%d:" % len(raw))
            found.update(raw)
        found.update(msgspec.json.encode(sorted(self.overrides.items())))
        return found.hexdigest()[:HASH_CHARACTERS]

    def load(self) -> m.RuleSet:
        """The rule set. Reads the files of LISTs, so not for the event loop."""
        return bind(self._parsed(), self.overrides)

    def load_again(self) -> tuple[m.RuleSet, frozenset[str]]:
        """The rule set for a state that has the entries of its LISTs, and the paths of LIST files that
        cannot be read: they may be gone by now, and those LISTs are empty.
        """
        unread: set[str] = set()

        def read(path: str) -> tuple[tuple[str, ...], None]:
            entries, problem = read_list(path)
            if problem is not None:
                unread.add(path)
            return entries, None

        return bind(self._parsed(), self.overrides, read), frozenset(unread)

    def _parsed(self) -> list[ParsedFile]:
        return [parse(text, file) for file, text in self.texts.items()]


def bundle_of(ruleset: m.RuleSet) -> Bundle:
    """The bundle of a rule set that is loaded."""
    texts = {file: text for file, text in ruleset.texts.items() if file != PARAMS_FILE}
    return Bundle(texts, dict(ruleset.overrides))


def read_bundle(paths: Iterable[str | Path], overrides: Overrides) -> tuple[Bundle, m.RuleSet]:
    """The rule files below some paths as a bundle, and what they say.

    Raises:
        FileNotFoundError: a path does not exist.
    """
    ruleset = dsl.load(paths, overrides)
    return msgspec.structs.replace(bundle_of(ruleset), overrides=dict(overrides)), ruleset
