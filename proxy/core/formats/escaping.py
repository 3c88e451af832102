"""How what was in a token is written into the text that the token stood in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import inf
from typing import Final, Literal, NamedTuple

from ..http.message import MediaType
from ..slices import paused
from . import markup
from .markup import Language, Spelling, Surroundings

Escape = Literal["auto", "html", "keep", "none"]
ESCAPES: Final[tuple[Escape, ...]] = ("auto", "html", "keep", "none")

Span = tuple[int, int]
_IN_JSON: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;"})


class Manner(NamedTuple):
    """How a block writes values into texts of one body.

    `surroundings` are what the body is where it is a text, `ascii_only`: it is uncertain what is
    its charset. `rendered` are spans of JSON whose strings are HTML, in order and apart.
    """

    escape: Escape = "auto"
    surroundings: Surroundings = "plain"
    ascii_only: bool = False
    rendered: tuple[Span, ...] = ()

    @property
    def heeds_whole_values(self) -> bool:
        """Whether a value that is all of a JSON string may be written otherwise than as it is."""
        return self.escape == "html" or bool(self.rendered)

    def of_string(self, start: int) -> Manner:
        """Return how values are written into a JSON string that begins at `start`.

        What is `rendered` is so whatever else the block says of what it opens.
        """
        at = bisect_right(self.rendered, (start, inf)) - 1
        if at >= 0 and start < self.rendered[at][1]:
            return _AS_HTML
        return _BY_ESCAPE[self.escape]


class TextPlace(NamedTuple):
    """How a value is written in the place of a token, and the byte `behind` that."""

    spelling: Spelling = "exact"
    behind: bytes = b""
    ascii_only: bool = False


EXACT: Final = TextPlace()
IN_HTML: Final = TextPlace("text")
AS_IT_IS: Final = Manner("none")
_BY_ESCAPE: Final = {escape: Manner(escape) for escape in ESCAPES}
_AS_HTML: Final = Manner("html")
_LANGUAGES: Final[dict[Surroundings, Language]] = {"html": "html", "xml": "xml"}


def manner_of(escape: Escape, media: MediaType | None) -> Manner:
    """Return how a block writes values into a body of a media type."""
    around = markup.surroundings_of(media)
    charset = None if media is None else media.charset
    # Of markup that names none in its type, the markup itself may name another.
    sure = media is None or (media.is_utf8 and (charset is not None or around not in _LANGUAGES))
    return Manner(escape, around, not sure)


def places(text: bytes, spans: Sequence[Span], manner: Manner) -> list[TextPlace]:
    """Return how values are written in the places of tokens in a text, in order."""
    whole = len(spans) == 1 and spans[0] == (0, len(text))
    language = _LANGUAGES.get(manner.surroundings)
    found: Sequence[Spelling]
    if manner.escape == "none" or (whole and _is_exact(manner)):
        found = ["exact"] * len(spans)
    elif manner.escape == "html":
        found = list(paused(markup.spellings(text, spans, language or "html")))
    elif manner.escape == "keep" or manner.surroundings == "other":
        found = ["closed"] * len(spans)
    elif whole and language is None:
        found = ["plain"]
    else:
        found = list(paused(markup.spellings(text, spans, language)))
    return [
        TextPlace(spelling, text[end : end + 1], manner.ascii_only)
        for spelling, (_, end) in paused(zip(found, spans, strict=True))
    ]


def _is_exact(manner: Manner) -> bool:
    """Return whether a value that is all of a text is written as it is."""
    return manner.escape != "html" and manner.surroundings == "plain"


def written(value: str, place: TextPlace, *, as_json: bool) -> str | None:
    """Return a value as it is written in a place, or None where it cannot be.

    `as_json` says that it is a JSON text, and replaces a string with its quotes.
    """
    spelling = place.spelling
    if spelling == "closed" or (spelling == "plain" and markup.makes_tag(value, place.behind)):
        return None
    if spelling in {"text", "attribute"}:
        if as_json:
            # What an escape spells would go around the other.
            return None if "\\" in value else value.translate(_IN_JSON)
        return markup.escaped(value, spelling, ascii_only=place.ascii_only)
    return None if place.ascii_only and not value.isascii() else value
