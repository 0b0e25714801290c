"""Lets the tests here import the generator of rules and events of tests/semantics."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "semantics"))
