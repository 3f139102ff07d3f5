"""An HTML report as an independent parser sees it."""

import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

__all__ = ["ReportPage"]

_EMPTY = frozenset({"meta", "link", "input", "br"})


class ReportPage(HTMLParser):
    """Reads a page: its elements, what people read without scripts, and its data."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.source = path.read_text(encoding="utf-8")
        #: Tag and attributes, in order.
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        #: The text of scripts and styles, by their place among the elements.
        self.raw: dict[int, str] = {}
        self.comments: list[str] = []
        self._open: list[str] = []
        self._texts: list[str] = []
        self.feed(self.source)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, "elements are nested"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in {"script", "style"}:
            at = len(self.elements) - 1
            self.raw[at] = self.raw.get(at, "") + data
        else:
            self._texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    @property
    def text(self) -> str:
        """All that is written outside of scripts and styles."""
        return "".join(self._texts)

    @property
    def words(self) -> str:
        """The same, with one space wherever there is white space."""
        return " ".join(" ".join(self._texts).split())

    @property
    def data(self) -> dict[str, Any]:
        """What the scripts read."""
        (found,) = (at for at in self.raw if self.elements[at][1].get("id") == "data")
        loaded: dict[str, Any] = json.loads(self.raw[found])
        return loaded

    @property
    def items(self) -> list[str]:
        """The items of the rows, in the order of the file."""
        return [row[3] for row in self.data["units"]]

    @property
    def policy(self) -> str:
        """The Content-Security-Policy."""
        (found,) = (
            attributes["content"]
            for tag, attributes in self.elements
            if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
        )
        assert found is not None
        return found

    def hashes(self, tag: str) -> list[str]:
        """The source expressions of the inline texts of a tag, data left out."""
        return [
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for at, text in self.raw.items()
            if self.elements[at][0] == tag and self.elements[at][1].get("id") != "data"
        ]
