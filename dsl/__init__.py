"""The thenwire rule language: text to a checked rule set.

>>> import dsl
>>> rules = dsl.load_text('EVENT ping { host: string }  RULE twice { WHEN ping THEN ping WITHIN 10s }')
>>> sorted(rules.rules), rules.errors
(['twice'], ())

This package knows no engine, no network and no clock.
"""

from dsl.diagnostics import CODES, Diagnostic, as_record, render
from dsl.model import RuleSet
from dsl.ruleset import load, load_text, rule_files

__all__ = ["CODES", "Diagnostic", "RuleSet", "as_record", "load", "load_text", "render", "rule_files"]
