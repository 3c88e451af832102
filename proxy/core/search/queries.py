"""What a client searches for, what the backend is sent in its place, and what fits.

The backend knows tags alone: of several words it gets that of one, and what lacks the others is
dropped from its answer once that is opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import quote

from ..crypto.context import Context
from ..errors import IndexIncomplete, NotIndexable, SearchNotSupported, SearchTooBroad
from ..formats.spelled import Said
from ..policy import INDEXED_CHARS, SEARCHED_WORDS
from .model import ExactIndex, FieldIndex, WordsIndex, index_scope
from .normal_forms import normalize
from .tags import IndexKeys, listed
from .words import words

Match = Literal["words", "exact"]

# Wildcards and marks of phrases, groups and expressions; a word that is excluded, demanded or of a
# field; operators in capitals. Searching for the words without them would find something else.
_OPERATORS: Final = re.compile(
    r"""[*%"\\|^~<>=(){}\[\]]|&&|(?:^|\s)[-+!]\S|\?\w|[^\W\d_]:\w|^/.*/$"""
    r"|(?:^|\s)(?:AND|OR|NOT|NEAR)(?=\s|$)"
)


@dataclass(frozen=True, slots=True)
class FieldSearch:
    """How a value of a request is searched for.

    `name` is that of the search in its rule, `index` is how values of the `field` are indexed.
    `refused` says that stored values have no tags yet.
    """

    name: str
    field: str
    index: FieldIndex
    refused: bool = False

    @property
    def match(self) -> Match:
        """What is compared."""
        return "exact" if isinstance(self.index, ExactIndex) else "words"

    def read(self, text: str) -> Query:
        """Return what a client searches for.

        Raises SearchTooBroad where no word is left that has a tag, or for more than
        `SEARCHED_WORDS`, SearchNotSupported for what is no list of words, IndexIncomplete where
        values have no tags yet.
        """
        if self.refused:
            raise IndexIncomplete("not-all-indexed")
        try:
            if isinstance(self.index, ExactIndex):
                return Query(self, text, normal=normalize(self.index.normalize, text))
            return _words(self, self.index, text)
        except NotIndexable as error:
            if error.reason != "no-word-breaks":
                raise SearchTooBroad("no-word-left") from None
            raise SearchNotSupported(
                "no-word-breaks", detail="A script without breaks between words is not indexed."
            ) from None


@dataclass(eq=False, slots=True)
class Query:
    """What a client searches for: some words, or the normal form of a value.

    `text` is what the client has sent, `words` are those that a value must have, and `sent` is the
    one whose tag stands for the query at the backend; or `normal` is compared.
    """

    sought: FieldSearch
    text: str
    words: frozenset[str] = frozenset()
    sent: str = ""
    normal: str | None = None
    _tag: str = field(default="", init=False)

    def tag(self, keys: IndexKeys, context: Context) -> str:
        """Return what the backend is sent in place of the query."""
        index, field = self.sought.index, self.sought.field
        scope = index_scope(index.scope, context.scope)
        if self.normal is None:
            (tag,) = keys.word_tags(scope, field, (self.sent,))
        else:
            tag = keys.exact_tag(scope, field, self.normal)
        self._tag = tag
        return listed((tag,))

    def echoes(self, body: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield where JSON or a header has the tag, and what the client has sent in its place.

        In a link that is spelled as a parameter, or as JSON within one; elsewhere as JSON, in which
        nothing begins markup. Tags behind tokens must be cut before.
        """
        tag = self._tag.encode()
        if not tag or tag not in body:
            return
        in_json = json.dumps(self.text)[1:-1]
        for sign in "<>&":
            in_json = in_json.replace(sign, f"\\u{ord(sign):04x}")
        spelled = {
            b"=": self.in_link,
            b"%22": quote(in_json, safe="").encode(),
            b"": in_json.encode(),
        }
        said = Said(body)
        for one in re.finditer(b"(=|%22|)(" + self.echo + b")", said.text):
            yield said.place(one.start(2)), said.place(one.end(2)), spelled[one[1]]

    @property
    def in_link(self) -> bytes:
        """What the client has sent, as the value of a parameter."""
        return quote(self.text, safe="").encode()

    @property
    def echo(self) -> bytes:
        """A pattern of the tag as the backend repeats it, once it is sent, in what a text says."""
        # A tag has letters and digits alone; one among others was stored, and not asked for.
        before, behind = (
            rb"(?<!~[a-z2-7]{5})(?<!~[a-z2-7]{27})",
            rb"(?![a-z2-7]{5}(?:[a-z2-7]{22})?~)",
        )
        return before + b"~" + self._tag.encode() + b"~" + behind

    def fits(self, value: bytes) -> bool:
        """Return whether a value has what is searched for; one that is no UTF-8 has nothing."""
        index = self.sought.index
        try:
            text = value.decode()
            if isinstance(index, ExactIndex):
                return normalize(index.normalize, text) == self.normal
            # Between blanks each is a word, whatever stands beside it: no need to look for others.
            is_plain = text.isascii() and len(text) <= INDEXED_CHARS
            if is_plain and self.words.issubset(text.lower().split()):
                return True
            return self.words.issubset(words(text))
        except (NotIndexable, UnicodeDecodeError):
            return False  # it has no tags either


def _words(sought: FieldSearch, index: WordsIndex, text: str) -> Query:
    if _OPERATORS.search(text):
        raise SearchNotSupported(
            "search-operator",
            detail="Search by whole words: no wildcards, phrases, operators or expressions.",
        )
    found = words(text)
    if not found:
        raise SearchTooBroad("no-word-left")
    if len(found) > SEARCHED_WORDS:
        raise SearchTooBroad(
            "too-many-words", detail=f"At most {SEARCHED_WORDS} words can be searched for."
        )
    indexed = index.indexed(text)
    if not indexed:
        raise SearchTooBroad(
            "common-words", detail="All of these words are too common to be indexed."
        )
    # A stateless proxy knows no frequencies: long words are rare, and the first of them is taken.
    return Query(sought, text, frozenset(found), max(indexed, key=len))
