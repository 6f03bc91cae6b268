"""A program of its own: reads HTML from its input and writes the words without the markup, paragraphs apart.

It is run apart because no parser's time is known beforehand; `texts` ends it when it takes too long.
"""

import resource
import sys
from html.parser import HTMLParser

CPU_SECONDS, MEMORY = 4, 512 * 1024 * 1024
_SILENT = frozenset({"script", "style", "template", "noscript", "svg"})
_BLOCKS = frozenset(
    [
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "dd",
            "div",
            "dl",
            "dt",
            "figcaption",
            "figure",
            "footer",
        ),
        *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre"),
        *("section", "table", "title", "tr", "ul"),
    ]
)


class Words(HTMLParser):
    """Gathers what a reader sees; a block ends a paragraph, a cell is set apart."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self._silent = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._silent and tag in _SILENT:
            self._silent = tag
        self._apart(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._silent:
            self._silent = ""
        self._apart(tag)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.said.append(data)

    def _apart(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.said.append("\0")
        elif tag in ("br", "td", "th"):
            self.said.append(" ")

    @property
    def text(self) -> str:
        blocks = (" ".join(block.split()) for block in "".join(self.said).split("\0"))
        return "\n\n".join(block for block in blocks if block)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    words = Words()
    words.feed(sys.stdin.buffer.read().decode())
    words.close()
    sys.stdout.buffer.write(words.text.encode())
