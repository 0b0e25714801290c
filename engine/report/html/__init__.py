"""A replay as one HTML page that explains its alerts, for people without the tool or a network."""

from engine.report.html.collect import Collector
from engine.report.html.facts import NearMiss, Report, build
from engine.report.html.histories import Followed
from engine.report.html.misses import Wires
from engine.report.html.page import render

__all__ = ["Collector", "Followed", "NearMiss", "Report", "Wires", "build", "render"]
