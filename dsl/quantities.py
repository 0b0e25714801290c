"""Numbers, durations and sizes where a literal or a PARAM may stand."""

from __future__ import annotations

from dsl import nodes as n
from dsl.diagnostics import nearest
from dsl.expressions import DURATION, INT
from dsl.model import Param
from dsl.scope import Report, Tables
from dsl.types import describe
from dsl.units import duration_ms, number, size_bytes

MAX_DURATION_MS = 10 * 366 * 86_400_000


class Quantities:
    """Resolves the quantities of one declaration; errors go to the report."""

    def __init__(self, tables: Tables, params: dict[str, Param], report: Report) -> None:
        self._tables = tables
        self._params = params
        self._report = report

    def _param(self, quantity: n.Quantity) -> Param | None:
        name = quantity.text
        param = self._params.get(name) or self._tables.params.get(name)
        if param is not None:
            self._report.params[name] = param
            return param
        if name in self._tables.broken:
            self._report.error(
                "TW204", f"`{name}` has an error of its own", quantity.span, "did not load", "mend that first"
            )
            return None
        known = set(self._params) | set(self._tables.params)
        near = nearest(name, known)
        if near is None:
            self._report.error(
                "TW108",
                f"`{name}` is not a duration or a number",
                quantity.span,
                "no PARAM has this name",
                "durations look like 30s, 10m, 1h30m; or declare a PARAM",
            )
        else:
            self._report.error(
                "TW204",
                f"no param is called `{name}`",
                quantity.span,
                "not declared",
                f"did you mean `{near}`?",
            )
        return None

    def duration(self, quantity: n.Quantity) -> int:
        """Milliseconds; 0 after an error."""
        if quantity.kind == "param":
            param = self._param(quantity)
            if param is None:
                return 0
            if param.type.name != DURATION:
                self._wrong(param, quantity, "a duration")
                return 0
            value = int(param.value)
        elif quantity.kind == "duration":
            value = duration_ms(quantity.text)
        else:
            hint = (
                f"write a unit: `{quantity.text}s`, `{quantity.text}m`" if quantity.kind == "number" else ""
            )
            self._report.error(
                "TW108",
                f"`{quantity.text}` is not a duration",
                quantity.span,
                "a duration was expected",
                hint or "durations look like 30s, 10m, 1h30m",
            )
            return 0
        if value < 0 or value > MAX_DURATION_MS:
            self._report.error(
                "TW108",
                f"`{quantity.text}` is out of range",
                quantity.span,
                "from 0 to ten years",
                "no window is so long",
            )
            return 0
        return value

    def count(self, quantity: n.Quantity) -> int:
        """A whole number of at least 1; 1 after an error."""
        value: object = None
        if quantity.kind == "param":
            param = self._param(quantity)
            if param is None:
                return 1
            if param.type.name != INT or param.type.unit:
                self._wrong(param, quantity, "a whole number")
                return 1
            value = param.value
        elif quantity.kind == "number":
            value = number(quantity.text)
        if not isinstance(value, int) or value < 1:
            self._report.error(
                "TW116",
                f"`{quantity.text}` is not a count",
                quantity.span,
                "a whole number from 1",
                "such as 3",
            )
            return 1
        return value

    def amount(self, quantity: n.Quantity) -> int | float:
        """A positive number, size (bytes) or duration (milliseconds); 1 after an error."""
        value: object
        if quantity.kind == "param":
            param = self._param(quantity)
            if param is None:
                return 1
            value = param.value
            if not (param.type.number or param.type.name == DURATION):
                self._wrong(param, quantity, "a number")
                return 1
        elif quantity.kind == "size":
            value = size_bytes(quantity.text)
        elif quantity.kind == "duration":
            value = duration_ms(quantity.text)
        else:
            value = number(quantity.text)
        if not isinstance(value, int | float) or value <= 0:
            self._report.error(
                "TW116", f"`{quantity.text}` is not an amount", quantity.span, "more than 0", ""
            )
            return 1
        return value

    def _wrong(self, param: Param, quantity: n.Quantity, wanted: str) -> None:
        self._report.error(
            "TW304",
            f"the param `{param.name}` is {describe(param.type)}",
            quantity.span,
            f"{wanted} was expected",
            f"its value is {param.value!r}",
        )
