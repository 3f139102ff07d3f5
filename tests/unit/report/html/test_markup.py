"""Text becomes HTML and JSON in one place, and no text gets out of its own."""

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.report.html.markup import Markup, element, join, script_json, verbatim, void

HOSTILE = ["</p><script>x</script>", '"><b onx="', "&lt;", "<!-- ", "]]>", "\x1b[2J", "a\u2028b"]


class Only(HTMLParser):
    """What a parser makes of a piece of HTML."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_stays_a_text_and_an_attribute_an_attribute(text: str) -> None:
    read = Only(element("p", text, title=text))

    seen = text.replace("\x1b", "\\x1b").replace("\u2028", "\\u2028")
    assert read.tags == [("p", [("title", seen)])]
    assert read.text == seen


def test_what_is_markup_already_stays_so() -> None:
    assert element("p", element("b", "<"), "<") == "<p><b>&lt;</b>&lt;</p>"
    assert join(["a", Markup("<br>")], " & ") == "a &amp; <br>"
    assert verbatim("a\n<b>") == "a\n&lt;b&gt;"


def test_attributes_may_be_words_of_python_and_may_be_left_out() -> None:
    assert void("input", for_="x", data_at=3, title=None) == '<input for="x" data-at="3">'


@given(text=st.text())
def test_json_in_a_script_is_the_same_value_and_holds_nothing_that_ends_it(text: str) -> None:
    written = script_json({"key": [text]})

    assert json.loads(written) == {"key": [text]}
    assert written.isascii()
    assert not set(written) & set("<>&")
