"""docs/reference/operations.md says what the code does."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from engine.service.operations.endpoints import ENDPOINTS
from engine.service.operations.metrics import METRICS

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_operations_reference", DOCS / "make_operations_reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_code(maker: ModuleType) -> None:
    page = maker.PAGE.read_text("utf-8")
    assert page == maker.page_with(page), "run `python docs/make_operations_reference.py`"
    assert maker.page_with(page.replace("thenwire_ready", "thenwire_raedy")) == page


def test_everything_is_in_it(maker: ModuleType) -> None:
    page = maker.PAGE.read_text("utf-8")
    for name in (*(m.name for m in METRICS), *(e.name for e in ENDPOINTS)):
        assert f"| `{name}` |" in page


def test_each_sentence_of_readyz_is_in_it(maker: ModuleType) -> None:
    import inspect
    import re

    from engine.service.operations import readiness

    page = maker.PAGE.read_text("utf-8")
    sentences = re.findall(r'return f?"([^"]{10,})"', inspect.getsource(readiness))
    assert len(sentences) == 6
    for sentence in sentences:
        words = re.sub(r"\{[^}]*\}", "", sentence).split(" is not being")[0].strip()
        assert words.removesuffix("Stream").strip() in page, sentence
