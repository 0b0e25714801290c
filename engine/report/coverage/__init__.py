"""Which rules can see anything: what each rule needs, what arrives, and a verdict with its reasons.

The pure part is an :class:`~engine.report.coverage.observer.Observer`, fed with events beside a matcher, and
:func:`~engine.report.coverage.build.coverage_of`, which holds what arrived against what the rules need.
"""

from engine.report.coverage.build import coverage_of
from engine.report.coverage.model import BLIND, DEGRADED, EVALUABLE, Coverage
from engine.report.coverage.observer import Observer
from engine.report.coverage.watching import WatchingMatcher

__all__ = ["BLIND", "DEGRADED", "EVALUABLE", "Coverage", "Observer", "WatchingMatcher", "coverage_of"]
