"""Why a rule did not alert: the nearest miss. For failing tests, and for questions about a device.

>>> import dsl
>>> from engine.why import Input, nearest_miss
>>> rules = dsl.load_text('EVENT a { x: int? }  RULE r { WHEN a [x == 1] THEN a [x == 2] WITHIN 5s }')
>>> wires = [{"kind": "a", "device": "d", "time": t, "x": x} for t, x in ((0, 1), (7000, 2))]
>>> inputs = [Input(wire, position, wire["time"]) for position, wire in enumerate(wires, 1)]
>>> print(nearest_miss(rules, "r", inputs, when=lambda ms: f"{ms} ms").sentence)
step 2 of 2, `a [x == 2]`: a at 7000 ms came 2s after the bound of 5s
"""

from __future__ import annotations

from engine.why.miss import NearestMiss as NearestMiss
from engine.why.miss import Passed as Passed
from engine.why.probe import Input as Input
from engine.why.probe import rules_with_read as rules_with_read
from engine.why.search import nearest_miss as nearest_miss
