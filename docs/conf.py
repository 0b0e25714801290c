"""Sphinx: the pages as they are, with MyST. `make docs` builds them; a warning is an error there."""

from typing import Any

from pygments.lexer import RegexLexer, words
from pygments.token import Comment, Keyword, Name, Number, Operator, String, Text, Whitespace

from dsl.split import keywords

project = "thenwire"
author = "the thenwire authors"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "thenwire"
html_show_copyright = False
html_show_sphinx = False
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# Links to files outside docs/ do not exist here; links inside are checked by tests/docs, too.
suppress_warnings = ["toc.multiple_toc_parents"]


class ThenwireLexer(RegexLexer):
    """Colours for rule files. The words of the language come from its grammar."""

    name = "thenwire"
    aliases = ("thenwire", "rule")
    tokens = {  # noqa: RUF012  # the form that Pygments wants
        "root": [
            (r"\s+", Whitespace),
            (r"#.*$", Comment.Single),
            (r'"(\\.|[^"\\])*"', String),
            (r"[0-9][0-9_]*(\.[0-9]+)?[A-Za-z]*([0-9]+[a-z]+)*", Number),
            (words(sorted(keywords()), prefix=r"\b", suffix=r"\b"), Keyword),
            (r"[a-z_][a-z0-9_]*", Name),
            (r"[<>=!+\-*/%@?]+", Operator),
            (r".", Text),
        ]
    }


def setup(app: Any) -> None:
    for language in ThenwireLexer.aliases:
        app.add_lexer(language, ThenwireLexer)
