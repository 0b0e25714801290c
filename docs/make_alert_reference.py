"""Writes what docs/reference/alert.md shows of a real alert, and docs/reference/alert.schema.json.

Run it from the checkout after a change of the alert: `python docs/make_alert_reference.py`. A test compares.
"""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "docs"))

from make_pictures import first_alert  # noqa: E402

from engine.alerts import Alert, encode  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "alert.md"
SCHEMA = ROOT / "docs" / "reference" / "alert.schema.json"
_BLOCK = re.compile(r"(?<=```json\n).*?(?=```\n)", re.DOTALL)


def example() -> str:
    """The first alert of the demo as indented JSON."""
    return msgspec.json.format(encode(first_alert()), indent=2).decode() + "\n"


def schema() -> str:
    """The JSON Schema of the alert, from the struct that is encoded."""
    return (
        msgspec.json.format(msgspec.json.encode(_clean(msgspec.json.schema(Alert))), indent=2).decode() + "\n"
    )


def _clean(part: Any) -> Any:
    """Descriptions without the indentation of docstrings, which newer Pythons remove by themselves."""
    if isinstance(part, dict):
        return {
            key: inspect.cleandoc(value) if key == "description" and isinstance(value, str) else _clean(value)
            for key, value in part.items()
        }
    return [_clean(item) for item in part] if isinstance(part, list) else part


def page_with(text: str, shown: str) -> str:
    """The page with its first JSON block replaced."""
    return _BLOCK.sub(lambda _: shown, text, count=1)


def main() -> int:
    PAGE.write_text(page_with(PAGE.read_text("utf-8"), example()), "utf-8")
    SCHEMA.write_text(schema(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
