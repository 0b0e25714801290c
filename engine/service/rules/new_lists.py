"""Lists that the first set of a service did not have, so that they are read again, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dsl.model import NamedList, RuleSet
from engine.matcher import ListChange
from engine.service.rules.processor import ReloadingProcessor


class NewLists:
    """Some lists of a processor; see ``engine.service.lists.HasLists``."""

    def __init__(self, processor: ReloadingProcessor, refreshed: Sequence[NamedList]) -> None:
        self.refreshed = refreshed
        self._processor = processor

    def replace_list(self, name: str, entries: Iterable[str]) -> ListChange:
        return self._processor.replace_list(name, entries)


def list_names(ruleset: RuleSet) -> set[tuple[str, str | None]]:
    """Name and path of each."""
    return {(found.name, found.path) for found in ruleset.lists.values()}
