"""Writes the tables of docs/reference/operations.md: metrics, endpoints, what they take and give.

Run it from the checkout after a change of them: `python docs/make_operations_reference.py`. A test compares.
"""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.service.operations import answers  # noqa: E402
from engine.service.operations import status as statuses  # noqa: E402
from engine.service.operations.endpoints import ENDPOINTS  # noqa: E402
from engine.service.operations.metrics import METRICS  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "operations.md"
_PART = re.compile(r"(<!-- begin (\w+) -->\n).*?(?=<!-- end \2 -->)", re.DOTALL)
GIVEN = (
    statuses.Status,
    statuses.InputStatus,
    statuses.KindStatus,
    statuses.RuleStatus,
    statuses.BaselineStatus,
    statuses.OutputStatus,
    statuses.CheckpointStatus,
    statuses.ListStatus,
    answers.RulesAnswer,
    answers.RuleInfo,
    answers.CheckAnswer,
    answers.ExplainAnswer,
    answers.BaselineAnswer,
    answers.InForceAnswer,
    answers.Done,
)


def metrics() -> str:
    """The table of metrics."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(rows) + "\n"


def endpoints() -> str:
    """The table of endpoints, and the fields of each request."""
    rows = ["| endpoint | takes | gives | |", "|---|---|---|---|"]
    for endpoint in ENDPOINTS:
        takes = ", ".join(_field(field) for field in _fields(endpoint.takes)) if endpoint.takes else "nothing"
        rows.append(f"| `{endpoint.name}` | {takes} | `{endpoint.gives}` | {endpoint.help} |")
    return "\n".join(rows) + "\n"


def given() -> str:
    """What the answers hold, one list a struct."""
    parts = []
    for struct in GIVEN:
        text = " ".join(inspect.cleandoc(struct.__doc__ or "").split()).replace("``", "`")
        parts.append(f"`{struct.__name__}`: {text}\n\n    {_wrapped(struct)}\n")
    return "\n".join(parts)


def _wrapped(struct: type[msgspec.Struct]) -> str:
    lines = [""]
    for field in _fields(struct):
        word = f"{field.name}: {_type(field.type)}"
        if len(lines[-1]) + len(word) > 100:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + word
    return "\n    ".join(lines)


def _fields(struct: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(struct)


def _field(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return f"`{field.name}`"
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"`{field.name}` ({msgspec.json.encode(default).decode()})"


def _type(kind: Any) -> str:
    if kind is type(None):
        return "null"
    if isinstance(kind, type) and not getattr(kind, "__args__", None):
        names = {str: "text", int: "integer", float: "number", bool: "true or false"}
        return names.get(kind, kind.__name__)
    inner = [_type(part) for part in getattr(kind, "__args__", ())]
    if getattr(kind, "__origin__", None) is list:
        return f"[{inner[0]}]"
    if getattr(kind, "__origin__", None) is dict:
        return f"{{text: {inner[1]}}}" if inner[1] != "Any" else "object"
    return " | ".join(inner) if inner else "any"


def page_with(text: str) -> str:
    """The page with its generated parts."""
    made = {"metrics": metrics(), "endpoints": endpoints(), "given": given()}
    return _PART.sub(lambda part: part[1] + made[part[2]], text)


def main() -> int:
    PAGE.write_text(page_with(PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
