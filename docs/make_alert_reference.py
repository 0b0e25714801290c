"""Writes what docs/reference/alert.md and ocsf.md show of real alerts, and docs/reference/alert.schema.json.

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

import dsl  # noqa: E402
from engine.alerts import Alert, encode  # noqa: E402
from engine.matcher import Matcher  # noqa: E402
from engine.report.ocsf import detection_finding  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "alert.md"
OCSF_PAGE = ROOT / "docs" / "reference" / "ocsf.md"
SCHEMA = ROOT / "docs" / "reference" / "alert.schema.json"
_BLOCK = re.compile(r"(?<=```json\n).*?(?=```\n)", re.DOTALL)
_RULE = re.compile(r"(?<=```thenwire draft\n).*?(?=```\n)", re.DOTALL)
ZERO_MS = 1_772_438_400_000
"""2026-03-02T08:00:00Z."""


def example() -> str:
    """The first alert of the demo as indented JSON."""
    return _indented(encode(first_alert()))


def life(rules: str) -> list[Alert]:
    """An alert of the page's rule that late events change: better evidence, then an explanation."""
    matcher = Matcher(dsl.load_text(rules))
    said: list[Alert] = []
    for minute, seen, wire in (
        (0, 0, {"kind": "upload", "id": "u1", "bytes_out": 2_000_000}),
        (5, 6, {"kind": "crash", "id": "c1"}),
        (3, 20, {"kind": "upload", "id": "u2", "bytes_out": 70_000_000}),
        (-30, 95, {"kind": "app.update", "id": "p1"}),
    ):
        times = {"time": ZERO_MS + minute * 60_000, "seen": ZERO_MS + seen * 60_000}
        event = {"device": "phone-1", "source": "synthetic", "app": "com.example.chat", **times, **wire}
        said += matcher.feed_json(msgspec.json.encode(event))
    return said


def example_of_life(page: str) -> str:
    """What the update and the close of :func:`life` say of the change, as indented JSON."""
    rule = _RULE.search(page)
    if rule is None:
        raise LookupError("the page shows no rule")
    shown = ("activity", "status", "revision", "reason", "severity", "timing", "changes", "cause")
    revisions = [msgspec.to_builtins(alert) for alert in life(rule[0])[1:]]
    return _indented(msgspec.json.encode([{k: v for k, v in r.items() if k in shown} for r in revisions]))


def ocsf_example() -> str:
    """The first alert of the demo as an OCSF finding, as indented JSON."""
    return _indented(msgspec.json.encode(detection_finding(first_alert())))


def _indented(raw: bytes) -> str:
    return msgspec.json.format(raw, indent=2).decode() + "\n"


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


def page_with(text: str, *shown: str) -> str:
    """The page with its JSON blocks replaced, in order."""
    parts = iter(shown)
    return _BLOCK.sub(lambda _: next(parts), text, count=len(shown))


def main() -> int:
    page = PAGE.read_text("utf-8")
    PAGE.write_text(page_with(page, example(), example_of_life(page)), "utf-8")
    OCSF_PAGE.write_text(page_with(OCSF_PAGE.read_text("utf-8"), ocsf_example()), "utf-8")
    SCHEMA.write_text(schema(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
