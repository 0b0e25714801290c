"""Where the shipped rules are: beside the packages in a checkout, inside ``engine`` once installed."""

from __future__ import annotations

from pathlib import Path


def rules_folder() -> Path:
    """The folder of the shipped rule packs.

    Raises:
        FileNotFoundError: neither place has it: a broken installation.
    """
    here = Path(__file__).resolve().parent
    for folder in (here.parent / "rules", here / "rules"):
        if (folder / "mobile").is_dir():
            return folder
    raise FileNotFoundError("the shipped rules are missing: install thenwire again")


def resolve(path: str) -> Path:
    """A path as given; where nothing stands there, the shipped pack of that name (``mobile``)."""
    given = Path(path)
    if not given.exists() and "/" not in path and (rules_folder() / path).is_dir():
        return rules_folder() / path
    return given
