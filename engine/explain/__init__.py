"""A rule explained: in words, as steps, as a picture, with what it keeps and reads.

Pure: from a checked rule set to text. ``thenwire explain`` prints it.
"""

from engine.explain.diagram import mermaid
from engine.explain.facts import Explanation, explain
from engine.explain.svg import svg
from engine.explain.text import as_text

__all__ = ["Explanation", "as_text", "explain", "mermaid", "svg"]
