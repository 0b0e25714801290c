"""Lets the tests here import what lies beside them, and the definition in tests/semantics."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "semantics"))
