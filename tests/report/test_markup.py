"""Nothing from outside becomes markup, and the pieces of the page are what they should be."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.report.html.markup import json_text, raw, tag, text
from engine.report.html.prose import prose


class Parsed(HTMLParser):
    """What a reader of HTML makes of a text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_any_text_stays_text(outside: str) -> None:
    page = Parsed(tag("p", outside, title=outside, data_x=outside))
    assert [name for name, _ in page.tags] == ["p"]
    shown = "".join(c if c.isprintable() else " " for c in outside)
    assert page.text == shown
    assert page.tags[0][1] == {"title": shown, "data-x": shown}


@given(st.text())
def test_any_sentence_keeps_its_words(outside: str) -> None:
    shown = "".join(c if c.isprintable() else " " for c in outside)
    assert Parsed(prose(outside)).text == shown


def test_a_sentence_sets_times_and_brackets() -> None:
    page = Parsed(prose("a [b 2026-03-02T08:00:00.000Z] at 2026-03-02T08:00:00.250Z."))
    assert page.text == "a [b 2026-03-02 08:00:00] at 2026-03-02 08:00:00.250."
    assert [name for name, _ in page.tags] == ["span", "time", "time"]
    assert page.tags[1][1] == {"datetime": "2026-03-02T08:00:00.000Z"}


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_that_is_shown_is_the_same_json(value: object) -> None:
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if b"\xed" in data:
        return  # a lone surrogate is no UTF-8; no event holds one
    page = Parsed(tag("pre", json_text(data)))
    assert [name for name, _ in page.tags] == ["pre"]
    assert json.loads(page.text) == value


def test_marks_that_reverse_text_do_not_get_through() -> None:
    assert text("a\u202eb\x00c") == "a b c"
    assert json_text('"\u202e\U000e0001"'.encode()) == "&quot;\\u202e\\udb40\\udc01&quot;"


def test_attributes_come_and_go() -> None:
    assert tag("a", None, 3, class_="x", hidden=True, open=False, id=None) == '<a class="x" hidden>3</a>'
    assert tag("br") == "<br>"


@pytest.mark.parametrize("content", ["</script>", "x <!-- y", "</style "])
def test_our_own_script_cannot_end_itself(content: str) -> None:
    with pytest.raises(ValueError, match="could end it"):
        raw("script", content)
