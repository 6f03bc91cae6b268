"""What may become a document: text, Markdown, CSV and HTML, told apart by the ending of the name."""

import subprocess
import sys
from pathlib import Path, PurePosixPath

from accounts import json_body
from accounts.errors import Invalid

MOST_CHARACTERS = 1_000_000
SECONDS = 5.0
HTML = "text/html"
MEDIA_TYPES = {
    "": "text/plain",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".csv": "text/csv",
    ".html": HTML,
    ".htm": HTML,
}
_READER = Path(__file__).with_name("html_text.py")


def media_type(name: str) -> str:
    """Return the media type that a document's name stands for; Invalid `unsupported_type` for another ending."""
    ending = PurePosixPath(name).suffix.lower()
    if ending not in MEDIA_TYPES and ending[1:].isalpha():
        raise Invalid(
            f"{name!r} cannot be read. Add text, Markdown, CSV or HTML: .txt, .md, .csv or .html.",
            code="unsupported_type",
            where="/name",
        )
    return MEDIA_TYPES.get(ending, "text/plain")


def decoded(raw: bytes) -> str:
    """Return a file's text; Invalid `not_text` where it is not UTF-8."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(
            f"The file is not text in UTF-8 (byte {error.start}). Save it as UTF-8 text and add it again.",
            code="not_text",
            where="/text",
        ) from None


def readable(text: str, kind: str) -> str:
    """Return what is kept and searched: the text itself, and of HTML the words.

    Raise Invalid for one that is empty, too long, holds what PostgreSQL cannot keep, or takes too long to read.
    """
    json_body.check({"text": text})
    if len(text) > MOST_CHARACTERS:
        raise Invalid(
            f"The document has {len(text):,} characters; {MOST_CHARACTERS:,} is the most. Split it.",
            code="document_too_large",
            where="/text",
        )
    words = _without_markup(text) if kind == HTML else text.replace("\r\n", "\n").replace("\r", "\n")
    if not words.strip():
        raise Invalid("The document has no text. Add one with words in it.", code="empty_document", where="/text")
    return words


def _without_markup(text: str) -> str:
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_READER)], input=text.encode(), capture_output=True, timeout=SECONDS, check=True
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        raise Invalid(
            f"The HTML could not be read within {SECONDS:g} s. Save the page as text and add that.",
            code="unreadable_html",
            where="/text",
        ) from None
    return done.stdout.decode().replace("\0", "")
