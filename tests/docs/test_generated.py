"""What docs/make_*.py have written is what the engine says today."""

from __future__ import annotations

import importlib.util
import re
from html import unescape
from types import ModuleType

import msgspec
import pytest
from doc_pages import DOCS

from engine.alerts import Alert, encode


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    return _load("make_pictures")


@pytest.fixture(scope="module")
def reference(pictures: ModuleType) -> ModuleType:
    return _load("make_alert_reference")


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_alert_of_the_reference_is_what_the_engine_says(reference: ModuleType) -> None:
    page = (DOCS / "reference" / "alert.md").read_text("utf-8")
    now = reference.page_with(page, reference.example(), reference.example_of_life(page))
    assert page == now, "run `python docs/make_alert_reference.py`"
    assert reference.page_with(page, "other\n") != page


def test_the_finding_of_the_reference_is_what_the_engine_says(reference: ModuleType) -> None:
    page = (DOCS / "reference" / "ocsf.md").read_text("utf-8")
    now = reference.page_with(page, reference.ocsf_example())
    assert page == now, "run `python docs/make_alert_reference.py`"
    assert reference.page_with(page, "other\n") != page


def test_the_schema_is_that_of_the_alert(reference: ModuleType) -> None:
    text = (DOCS / "reference" / "alert.schema.json").read_text("utf-8")
    assert text == reference.schema(), "run `python docs/make_alert_reference.py`"


def test_the_table_of_the_reference_has_every_field() -> None:
    page = (DOCS / "reference" / "alert.md").read_text("utf-8")
    rows = [row.split("|")[1] for row in page.splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert named == set(Alert.__struct_fields__)


def test_an_alert_is_read_back_as_it_was_written(pictures: ModuleType) -> None:
    alert = pictures.first_alert()
    assert msgspec.json.decode(encode(alert), type=Alert) == alert


def test_the_picture_shows_the_first_alert_of_the_demo(pictures: ModuleType) -> None:
    """Its words, not its drawing: another version of rich may draw otherwise."""
    drawn = pictures.PICTURE.read_text("utf-8")
    assert _words(drawn) == _words(pictures.draw(pictures.first_alert())), (
        "run `python docs/make_pictures.py`"
    )
    assert "synthetic-01:" in _words(drawn)
    assert "url(http" not in drawn, "a picture of the documentation fetches nothing"


def _words(picture: str) -> list[str]:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    return unescape(" ".join(texts)).replace("\N{NO-BREAK SPACE}", " ").split()
