"""The thenwire engine: a checked rule set to alerts.

``Matcher(ruleset)`` is the whole of it for a program; the service, the command line and the
formats stand on top and nothing here depends on them.
"""

from engine.alerts import Alert, encode
from engine.events import BadEvent, Event, EventDecoder
from engine.matcher import Matcher

__version__ = "0.1.0"

__all__ = ["Alert", "BadEvent", "Event", "EventDecoder", "Matcher", "encode"]
