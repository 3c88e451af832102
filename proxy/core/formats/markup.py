"""Where HTML or XML has text, and how an opened value is written there.

A backend that builds pages escapes what it is given. What it was given is a token, so whoever
opens the token in its place must escape the value, and only where that is enough: in text, and in
quoted attributes that hold nothing but text. Everywhere else nothing is opened. Of markup that
parsers read in more than one way, all that follows counts as such a place.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple, cast

from ..http.message import MediaType
from ..policy import MARKUP_TAGS, PIECE_BYTES
from ..slices import pause, paused

Language = Literal["html", "xml"]
Surroundings = Literal["html", "xml", "plain", "unknown", "other"]
"""What a text is that holds tokens: `plain` may be markup to who gets it, `unknown` has no type."""
MARKUP: Final[frozenset[Surroundings]] = frozenset({"html", "xml", "unknown"})
"""What a browser may read as markup."""
Spelling = Literal["exact", "plain", "text", "attribute", "closed"]
"""How a value is written: as it is, as it is unless that makes a tag, escaped, or not at all."""

_SPACE: Final = rb"[\t\n\f\r ]"
_TAG_BEGINS: Final = re.compile(rb"<[A-Za-z/!?]")
_NO_TAG: Final = rb"[^<]++|<(?![A-Za-z/!?])"
_PLAIN_TAG: Final = (
    rb"</?(?i:a|article|b|blockquote|body|br|code|dd|div|dl|dt|em|footer|h[1-6]|head|header|hr|html"
    rb"|i|li|main|nav|ol|p|pre|q|s|section|small|span|strong|sub|sup|table|tbody|td|tfoot|th|thead"
    rb"|tr|u|ul)(?:%b++(?:class|dir|for|id|lang|name|rel|role|type)=\"[A-Za-z0-9 _-]*+\")*+%b*+/?>"
    % (_SPACE, _SPACE)
)
_STRETCHES: Final = {
    "html": re.compile(rb"(?:%b|%b)*+" % (_NO_TAG, _PLAIN_TAG)),
    "xml": re.compile(rb"(?:%b)*+" % _NO_TAG),
}
"""Text, and tags that change nothing of how text is read, passed at once: no token is in a tag."""
_TAG_BORDER: Final = re.compile(rb"<[A-Za-z/!?]|>")
_TAG: Final = re.compile(
    rb"</?[A-Za-z][A-Za-z0-9]*(?:[:-][A-Za-z0-9]+)*(?=[\t\n\f\r />])"
    rb"|<!--|<!\[CDATA\[|<!(?i:doctype)|<\?(?i:xml)"
)
"""What is written only in markup; `<tom@example.org>` and `<https://…>` are none."""
_NAME: Final = re.compile(rb"<([A-Za-z][^\t\n\f\r />\"'<=]*)")
_ATTRIBUTE: Final = re.compile(
    rb"(?:%b|/(?!>))*([^\t\n\f\r />=\"'<]+)"
    rb"(?:%b*=%b*(?:\"([^\"]*)\"|'([^']*)'|[^\t\n\f\r \"'=<>`]+))?" % (_SPACE, _SPACE, _SPACE)
)
_TAG_END: Final = re.compile(rb"%b*(/?)>" % _SPACE)
_END_TAG: Final = re.compile(rb"</([A-Za-z][^\t\n\f\r />\"'<]*)%b*>" % _SPACE)
_DECLARATION: Final = re.compile(rb"<![A-Za-z](?:[^<>\"']|\"[^\"<>]*\"|'[^'<>]*')*>")
_INSTRUCTIONS: Final = {"html": re.compile(rb"<\?[^>]*+>"), "xml": re.compile(rb"(?s)<\?.*?\?>")}
_CODED_TAG: Final = re.compile(rb"&(?:amp;)*(?:lt|LT|#0*60|#[xX]0*3[cC]);?[A-Za-z/!?]")
"""A tag behind one more layer: what is text here is markup to who reads it there."""

_JSON_BEGINS: Final = re.compile(rb"%b*[\[{]" % _SPACE)
_QUOTE: Final = re.compile(rb"\"|&quot;|&#0*34;|&#[xX]0*22;")

_OF_TEXT: Final = frozenset({b"alt", b"placeholder", b"title", b"value"})
_ESCAPABLE: Final = frozenset({b"textarea", b"title"})
_RAW: Final = frozenset({b"iframe", b"noembed", b"noframes", b"script", b"style", b"xmp"})
_FOREIGN: Final = frozenset({b"math", b"svg"})
_CLOSED_IN_XML: Final = _FOREIGN | {b"script", b"style"}

_FEED: Final = re.compile(rb"<(?:rss|rdf:RDF)(?=[\t\n\f\r >])")
_HTML_IN_FEEDS: Final = frozenset(
    {b"content", b"content:encoded", b"description", b"rights", b"subtitle", b"summary", b"title"}
)
"""What holds HTML as text in RSS and, where its `type` says so, in Atom (RFC 4287 section 3.1)."""
_HTML_IN_RSS: Final = _HTML_IN_FEEDS - {b"rights", b"subtitle", b"title"}

_CLOSING: Final = {
    name: re.compile(rb"</%b(?=[\t\n\f\r />])" % name, re.IGNORECASE)
    for name in (*_ESCAPABLE, *_RAW, b"noscript")
}
"""Elements that hold no others, and what ends each."""

_NEVER: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
"""What XML cannot hold, or HTML holds as something else."""
_IN_TEXT: Final = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
    "\r": "&#13;",
}
_ESCAPES: Final[dict[Spelling, dict[int, str]]] = {
    "text": str.maketrans(_IN_TEXT),
    "attribute": str.maketrans({**_IN_TEXT, "\n": "&#10;", "\t": "&#9;"}),
}
_HTML: Final = frozenset({"text/html"})
_XML: Final = frozenset({"application/xml", "text/xml", "text/xsl"})
_PLAIN: Final = frozenset({"text/event-stream", "text/plain"})


class Region(NamedTuple):
    """A stretch of markup in which values can be opened, and how they are written there."""

    start: int
    end: int
    spelling: Spelling


def surroundings_of(media: MediaType | None) -> Surroundings:
    """Return what a text of a media type is."""
    if media is None:
        return "unknown"
    essence = media.essence
    if essence in _HTML:
        return "html"
    if essence in _XML or essence.endswith("+xml"):
        return "xml"
    return "plain" if essence in _PLAIN else "other"


def spellings(
    text: bytes, places: Iterable[tuple[int, int]], language: Language | None
) -> Iterator[Spelling]:
    """Yield for each place in a text, in order, how a value is written there.

    Without a `language` the text is HTML if there is a tag in it.
    """
    if language is None and _TAG.search(text) is None:
        if _CODED_TAG.search(text) is None:
            yield from _in_no_markup(text, places)
        else:
            for _ in places:
                yield "closed"
        return
    regions = _Scan(text, language or "html").regions
    starts = [one.start for one in regions]
    node_end, layered = 0, False
    for start, end in places:
        at = bisect_right(starts, start) - 1
        if at < 0 or end > regions[at].end:
            yield "closed"
            continue
        region = regions[at]
        if region.spelling == "text" and start >= node_end:
            # Places come in order, so that no part of the text is searched twice.
            before = max(region.start, node_end)
            tag = text.rfind(b"<", before, start)
            begin = before if tag < 0 else max(text.find(b">", tag, start) + 1, tag)
            found = _TAG_BEGINS.search(text, end, region.end)
            node_end = region.end if found is None else found.start()
            layered = _is_layered(text[begin:node_end])
        yield "closed" if region.spelling == "text" and layered else region.spelling


def _holds_json(text: bytes) -> bool:
    """Return whether a text looks like JSON: what is text to markup is more to who reads that."""
    return _JSON_BEGINS.match(text) is not None and _QUOTE.search(text) is not None


def _is_layered(text: bytes) -> bool:
    """Return whether a text is more than text to who reads it: JSON, or markup that is coded."""
    return _holds_json(text) or _CODED_TAG.search(text) is not None


def _in_no_markup(text: bytes, places: Iterable[tuple[int, int]]) -> Iterator[Spelling]:
    borders = _borders(text)
    last, following = b">", next(borders, None)
    for start, _ in places:  # in order
        while following is not None and following.start() <= start:
            last, following = following[0], next(borders, None)
        yield "plain" if last == b">" else "closed"


def _borders(text: bytes) -> Iterator[re.Match[bytes]]:
    """Yield the borders of tags, a piece of the text at a time."""
    for at in range(0, len(text), PIECE_BYTES):
        end = at + PIECE_BYTES
        for one in paused(_TAG_BORDER.finditer(text, at, end + 1)):
            if one.start() < end:
                yield one
        pause()


def _says_html(attribute: re.Match[bytes]) -> bool:
    """Return whether an attribute says that the text of its element is HTML."""
    value = attribute[2] or attribute[3] or b""
    return attribute[1].lower() == b"type" and value.lower() in {b"html", b"text/html"}


def makes_tag(value: str, behind: bytes) -> bool:
    """Return whether a value makes a tag where no text was markup; `behind` is what follows it."""
    return _TAG_BEGINS.search(value.encode() + behind) is not None


def escaped(value: str, spelling: Spelling, *, ascii_only: bool = False) -> str | None:
    """Return a value as it is written in markup, or None where markup cannot hold it.

    `ascii_only` is for markup in an uncertain charset.
    """
    if _NEVER.search(value):
        return None
    written = value.translate(_ESCAPES[spelling])
    return written.encode("ascii", "xmlcharrefreplace").decode("ascii") if ascii_only else written


class _Scan:
    """One reading of some markup, up to its end or to what parsers read in more than one way.

    `clean` says that it got to the end, with nothing open but elements.
    """

    __slots__ = ("_at", "_closed", "_feed", "_language", "_left", "_text", "clean", "regions")

    def __init__(self, text: bytes, language: Language) -> None:
        self.regions: list[Region] = []
        self._text = text
        self._language = language
        self._at = 0
        self._closed: list[bytes] = []
        self._feed = _FEED.search(text, 0, PIECE_BYTES) is not None
        self._left = MARKUP_TAGS
        self.clean = False
        while self._step():
            pass

    def _step(self) -> bool:
        """Pass some text and the tag behind it; return whether to go on."""
        stretch = cast("re.Match[bytes]", _STRETCHES[self._language].match(self._text, self._at))
        self._add_text(*stretch.span())
        self._at = end = stretch.end()
        self._left -= 1
        if end == len(self._text) or not self._left:
            self.clean = end == len(self._text)
            return False
        mark = self._text[end + 1 : end + 2]
        if mark == b"/":
            return self._pass_end_tag()
        if mark == b"!":
            return self._pass_declaration()
        if mark == b"?":
            return self._pass_if(_INSTRUCTIONS[self._language].match(self._text, end))
        return self._pass_tag()

    def _add_text(self, start: int, end: int) -> None:
        if not self._closed and start < end:
            self.regions.append(Region(start, end, "text"))

    def _pass_if(self, match: re.Match[bytes] | None) -> bool:
        if match is None:
            return False
        self._at = match.end()
        return True

    def _pass_end_tag(self) -> bool:
        match = _END_TAG.match(self._text, self._at)
        if match is not None and self._closed and match[1].lower() == self._closed[-1]:
            self._closed.pop()
        return self._pass_if(match)

    def _pass_declaration(self) -> bool:
        """Pass a comment, a CDATA section or a document type."""
        text, at = self._text, self._at
        if text.startswith(b"<!--", at):
            return self._pass_comment(at + 4)
        if text.startswith(b"<![CDATA[", at):
            end = text.find(b"]]>", at)
            # To HTML it is a comment that ends with the first `>`.
            twofold = self._language == "html" and text.find(b">", at, end) >= 0
            self._at = end + 3
            return end >= 0 and not twofold
        return self._pass_if(_DECLARATION.match(text, at))

    def _pass_comment(self, start: int) -> bool:
        end = self._text.find(b"-->", start)
        inside = self._text[start:end]
        if end < 0 or inside.startswith((b">", b"->")) or b"--!>" in inside:
            return False
        self._at = end + 3
        return True

    def _pass_tag(self) -> bool:
        text = self._text
        name = cast("re.Match[bytes]", _NAME.match(text, self._at))  # it begins with a letter
        at = name.end()
        found: list[Region] = []
        holds_html = self._feed and name[1].lower() in _HTML_IN_RSS
        while (end := _TAG_END.match(text, at)) is None:
            attribute = _ATTRIBUTE.match(text, at)
            if attribute is None:
                return False
            at = attribute.end()
            found += self._region_of(attribute)
            holds_html |= _says_html(attribute)
        if not self._closed:
            self.regions += found
        self._at = end.end()
        if holds_html and name[1].lower() in _HTML_IN_FEEDS and not end[1]:
            self._closed.append(name[1].lower())
        return self._enter(name[1].lower(), ends_itself=bool(end[1]))

    def _region_of(self, attribute: re.Match[bytes]) -> Iterator[Region]:
        """Yield where an attribute holds nothing but text, if it does."""
        for group in (2, 3):
            value = attribute[group]
            if value is None or attribute[1].lower() not in _OF_TEXT:
                continue
            if b"<" not in value and not _is_layered(value):
                yield Region(*attribute.span(group), "attribute")

    def _enter(self, name: bytes, *, ends_itself: bool) -> bool:
        """Take an element that has begun; return whether to go on."""
        if self._language == "xml":
            if name in _CLOSED_IN_XML and not ends_itself:
                self._closed.append(name)
            return True
        if name in _FOREIGN:
            if not ends_itself:
                self._closed.append(name)
            return True
        if name == b"plaintext":
            return False
        return self._pass_raw(name) if name in _CLOSING else True

    def _pass_raw(self, name: bytes) -> bool:
        """Pass the content of an element in which no tag begins; return whether to go on."""
        found = _CLOSING[name].search(self._text, self._at)
        if found is None:
            return False
        start, end = self._at, found.start()
        content = self._text[start:end]
        self._at = end
        if name in _ESCAPABLE and b"<" not in content:
            self._add_text(start, end)
            return True
        if self._closed:
            return b"<" not in content  # within SVG, tags do begin there
        if name == b"noscript":
            return _Scan(content, "html").clean  # it depends on whether scripts run
        return name != b"script" or b"<!--" not in content
