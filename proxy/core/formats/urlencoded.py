"""Forms (`application/x-www-form-urlencoded`, WHATWG URL section 5): where their values lie.

Backends disagree on names: some cut them at brackets, some split at `;`, some decode twice (see
`readings_of_a_name`). What is the selected name for one of them alone is a twin, and refused: it
would pass unsealed.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple, Self
from urllib.parse import quote_plus, unquote_to_bytes

from ..errors import BodyTooLarge, ForbiddenValue, InvalidBody, UnlistedName, UnsupportedBody
from ..expressions.name_readings import FieldNames
from ..expressions.selectors import Inside, JsonSelector, NamedSelector, Selector
from ..http.message import HeadFacts
from ..leaves.strict_json import require_utf8
from ..policy import FORM_NAME_BYTES, FORM_PAIRS, NAME_BYTES_READ, UNQUOTED_BYTES
from ..slices import pause, paused, pieces
from . import embedded_tokens, token_places
from .body_format import BodyFormat, PlacedToken
from .escaping import Manner
from .json import Findings, FoundValue
from .json import Selection as JsonSelection
from .json.closed import ClosedNames, note_unlisted, refuse
from .json.lexer import Layer
from .json.nested import Mapped, Text, look_within
from .parameters import decode_field

_BROKEN_TRIPLET: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SPELLED_BYTE: Final = re.compile(rb"%[0-9A-Fa-f]{2}|.", re.DOTALL)
_PARTED: Final = re.compile(rb"[&;]")
_UNQUOTED: Final = "*"  # and letters, digits, `-`, `.`, `_`; quote_plus lets `~` stand as well


class Pair(NamedTuple):
    """A name as it reads, and the place of its value; without `=` the value's `start` is None."""

    name: str
    start: int | None
    end: int


def pairs(body: bytes) -> Iterator[Pair]:
    """Yield the pairs of a form in order.

    Raises InvalidBody for a name that is not UTF-8 or longer than 4 KiB, BodyTooLarge for more than
    ten thousand pairs or names of more than 1 MiB.
    """
    if body.count(b"&") + body.count(b";") >= FORM_PAIRS:
        raise BodyTooLarge("too-many-pairs")
    at, room = 0, FORM_NAME_BYTES
    for text in paused(body.split(b"&")):
        end = at + len(text)
        equals = text.find(b"=")
        name = text if equals < 0 else text[:equals]
        room -= len(name)
        _refuse_long(name, room)
        yield Pair(_name(name), None if equals < 0 else at + equals + 1, end)
        at = end + 1


def decode(value: bytes) -> bytes:
    """Return the bytes that a value spells; raise InvalidBody where it is no text."""
    decoded: list[bytes] = []
    for piece in _apart_from_triplets(value):
        if _BROKEN_TRIPLET.search(piece):
            raise InvalidBody("broken-percent-triplet")
        decoded.append(unquote_to_bytes(piece.replace(b"+", b" ")))
    text = b"".join(decoded)
    require_utf8(text)
    return text


def _apart_from_triplets(value: bytes) -> Iterator[bytes]:
    """Yield a value in pieces that do not end within a triplet."""
    at = 0
    while at < len(value):
        pause()
        end = at + UNQUOTED_BYTES
        broken = value.rfind(b"%", max(end - 2, 0), end)
        if broken >= 0 and end < len(value):
            end = broken
        yield value[at:end]
        at = end


def encode(text: bytes) -> bytes:
    """Return the spelling of a text as a value."""
    return b"".join(
        quote_plus(piece, safe=_UNQUOTED).replace("~", "%7E").encode("ascii")
        for piece in pieces(text, UNQUOTED_BYTES)
    )


def places(value: bytes) -> Sequence[int]:
    """Return where each byte that a value spells begins in it, and where the last one ends.

    That takes four bytes for each of these.
    """
    found = array("I", (match.start() for match in paused(_SPELLED_BYTE.finditer(value))))
    found.append(len(value))
    return found


def _name(spelled: bytes) -> str:
    try:
        return unquote_to_bytes(spelled.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise InvalidBody("name-not-utf-8") from None


def _refuse_long(name: bytes, room: int) -> None:
    if len(name) > NAME_BYTES_READ:
        raise InvalidBody("name-too-long")
    if room < 0:
        raise BodyTooLarge("names-too-long")


def hidden_names(body: bytes) -> Iterator[str]:
    """Yield the names behind a `;`, for those who take it for a separator.

    One that is longer than any in a rule is cut there: what follows is some text.
    Raises BodyTooLarge for names of more than 1 MiB.
    """
    if b";" not in body:
        return
    room = FORM_NAME_BYTES
    for text in paused(body.split(b"&")):
        for part in text.split(b";")[1:]:
            spelled = part[:NAME_BYTES_READ].partition(b"=")[0]
            room -= len(spelled)
            _refuse_long(spelled, room)
            yield unquote_to_bytes(spelled.replace(b"+", b" ")).decode(errors="replace")


_BEGINNING: Final = 256
# Readers of JSON skip blanks and a byte order mark, lax ones comments: of C, of scripts, of markup.
_SKIPPED: Final = re.compile(
    rb"(?:[\s\x00]|\xef\xbb\xbf|/\*.*?\*/|//[^\r\n]*[\r\n]|#[^\r\n]*[\r\n]|<!--.*?-->)*+", re.DOTALL
)
# An object, a list that is no name in brackets (`[a]=1`), markup, a delimiter of parts.
_OTHER: Final = re.compile(rb"\{|\[(?![A-Za-z0-9_.-]*\][=\[])|<|--[^=&\r\n]*[\r\n]")


def refuse_other(body: bytes) -> None:
    """Raise UnsupportedBody for a form that begins as JSON, XML or a multipart form does.

    An honest one cannot: its names are words, and what else occurs in them is encoded.
    """
    begin = _SKIPPED.match(body).end()  # type: ignore[union-attr]  # it matches nothing as well
    beginning = body[begin : begin + _BEGINNING]
    if _OTHER.match(beginning) or _OTHER.match(unquote_to_bytes(beginning)):
        raise UnsupportedBody(
            "form-reads-otherwise",
            detail="The form could be read as JSON, XML or parts: if it is JSON, give the rule a"
            " block with `format: json`.",
        )


class FormSelection:
    """The names that a block selects, known by index.

    `size` counts all that findings hold; `checked` are those of which no twin may occur, and
    `each` those of which every occurrence is taken.
    """

    __slots__ = ("_again", "_checked", "_closed", "_each", "_indexes", "_inner", "_size")

    @classmethod
    def of(
        cls, selectors: Sequence[Selector], checked: frozenset[int], each: frozenset[int]
    ) -> Self:
        """Make ready what selects values by name."""
        named = [(at, one) for at, one in enumerate(selectors) if isinstance(one, NamedSelector)]
        names = {index: one.name for index, one in named if one.inner is None}
        made = cls(names, len(selectors), checked, each)
        inner: dict[str, list[tuple[int, JsonSelector]]] = {}
        for index, one in named:
            if one.inner is not None:
                inner.setdefault(one.name, []).append((index, one.inner))
        made.read_within(inner, checked)
        return made

    def __init__(
        self,
        names: Mapping[int, str],
        size: int,
        checked: frozenset[int],
        each: frozenset[int] = frozenset(),
    ) -> None:
        """Prepare the names by their indexes."""
        self._size = size
        self._indexes: dict[str, int] = {}
        self._again: list[tuple[int, int]] = []
        for index, name in names.items():
            first = self._indexes.setdefault(name, index)
            if first != index:  # several sources read one field
                self._again.append((first, index))
        self._checked = FieldNames({one: name for one, name in names.items() if one in checked})
        self._each = each
        self._inner: dict[str, tuple[tuple[int, ...], JsonSelection]] = {}
        self._closed: ClosedNames | None = None

    def close(self, closed: ClosedNames) -> None:
        """Take the names that pairs which are not selected may have, in place of any."""
        self._closed = closed

    def read_within(
        self, inner: Mapping[str, Sequence[tuple[int, JsonSelector]]], checked: frozenset[int]
    ) -> None:
        """Take what selects in the JSON texts that are the values of these names, by index."""
        for name, group in inner.items():
            indexes = tuple(index for index, _ in group)
            self._inner[name] = indexes, JsonSelection(tuple(one for _, one in group))
        names = {one: name for name, group in inner.items() for one, _ in group if one in checked}
        self._checked = FieldNames({**self._checked.names, **names})

    def find(self, body: bytes, *, lenient: bool = False) -> Findings:
        """Return where the selected values lie.

        A name without `=` has no value. `variants` has what differs in case alone. Raises
        InvalidBody where a selected name occurs twice or a name is not UTF-8, ForbiddenValue where
        it occurs in a spelling that some backends read as the same, BodyTooLarge for more than ten
        thousand pairs. Their `refusal` is for a name that the block does not list.
        """
        findings = Findings(self._size)
        seen: set[int] = set()
        within: set[str] = set()
        unlisted: set[str] = set()
        for pair in self.pairs(body):
            index = self._indexes.get(pair.name)
            if pair.name in self._inner:
                if pair.name in within:
                    raise InvalidBody("duplicate-name")
                within.add(pair.name)
                self._look_within(pair, body, findings, lenient=lenient)
            elif index is None:
                self._look_for_twins(pair.name, findings)
            elif index in seen and index not in self._each:
                raise InvalidBody("duplicate-name")
            else:
                seen.add(index)
                if pair.start is not None:
                    findings.found[index].append(FoundValue((), pair.start, pair.end))
            if index is None and self._closed is not None:
                self._look_at_other(self._closed, pair, body, findings, unlisted)
        for name in self.hidden_names(body):
            self._look_for_twins(name, findings, hidden=True)
        self._end(findings, within)
        return findings

    def _end(self, findings: Findings, within: set[str]) -> None:
        """Note what is missing; `within` are the names of JSON texts that are there."""
        for first, index in self._again:
            findings.found[index] = findings.found[first]
        findings.missing.update(
            index for index in self._indexes.values() if not findings.found[index]
        )
        for name in self._inner.keys() - within:
            findings.missing.update(self._inner[name][0])

    def _look_within(self, pair: Pair, body: bytes, findings: Findings, *, lenient: bool) -> None:
        indexes, inner = self._inner[pair.name]
        if pair.start is None:
            findings.missing.update(indexes)
            return
        value = body[pair.start : pair.end]
        layer = Layer(Mapped(pair.start, value, places), encode)
        text = Text((f"form:{pair.name}", Inside.JSON.value), decode(value), layer)
        look_within(inner, indexes, text, findings, lenient=lenient)

    @staticmethod
    def _look_at_other(
        closed: ClosedNames, pair: Pair, body: bytes, findings: Findings, unlisted: set[str]
    ) -> None:
        """Find a pair that is not listed among the `others`, or why it must not be there."""
        name, start, end = pair
        if not name and start is None:
            return  # nothing stands between two `&`
        try:
            if not closed.lists(name):
                if start is None:  # to some it is a value that has no name
                    refuse((name,), "name-as-data")
                note_unlisted(unlisted, (name,))
                findings.others.append(FoundValue((name,), start, end))
            elif start is not None:
                value = body[start:end]
                closed.look_at(name, decode(value))
                for hidden in value.split(b";")[1:]:  # to some, what follows is another pair
                    closed.refuse(_name(hidden.partition(b"=")[0]))
        except UnlistedName as error:
            findings.refusal = findings.refusal or error

    def _look_for_twins(self, name: str, findings: Findings, *, hidden: bool = False) -> None:
        if not self._checked:
            return
        for index, in_case in self._checked.readings(name):
            if hidden or not in_case:
                raise ForbiddenValue(
                    "name-variant", detail="A selected name occurs in another spelling."
                )
            findings.variants.add(index)

    pairs = staticmethod(pairs)
    hidden_names = staticmethod(hidden_names)
    text = staticmethod(decode)
    spell = staticmethod(encode)
    places = staticmethod(places)
    refuse_other = staticmethod(refuse_other)


class FormFormat(BodyFormat):
    """Pairs of names and values."""

    kind = "form"
    example = b"id=1&note=secret&more="
    media_types = frozenset({"application/x-www-form-urlencoded"})
    places = frozenset({"form", "tokens"})
    selection: ClassVar[type[FormSelection]] = FormSelection

    def tokens(self, body: bytes, limit: int, manner: Manner) -> Iterator[PlacedToken]:
        """Yield every token in the values of a form.

        A value that is no text is left as it is.
        """
        values = self.selection
        for pair in values.pairs(body) if token_places.any_in(unquote_to_bytes(body)) else ():
            value = b"" if pair.start is None else body[pair.start : pair.end]
            try:
                text = values.text(value)
            except InvalidBody:
                continue
            found = embedded_tokens.find_in_text(text, limit, manner)
            limit -= len(found)
            spelled = values.places(value) if found else []
            for one in found:
                yield PlacedToken(one, pair.start or 0, spelled, values.spell)

    def fields(self, facts: HeadFacts, body: bytes) -> Iterator[tuple[str, str | None]]:
        """Yield name and value of each pair; what only some readers take for one has no value."""
        values = self.selection
        for pair in values.pairs(body):
            raw = None if pair.start is None else body[pair.start : pair.end]
            yield pair.name, None if raw is None else self._text(raw)
        for name in values.hidden_names(body):
            yield name, None

    def _text(self, value: bytes) -> str | None:
        try:
            return self.selection.text(value).decode()
        except InvalidBody:
            return None

    def misread(self, body: bytes) -> Iterator[str]:
        """Yield the names that JSON read as a form has: its first pair begins with a brace.

        A name of more than 4 KiB, which no framework takes, is left out, and one without a value.
        """
        found = _PARTED.split(body)[1:]
        if len(found) >= FORM_PAIRS:
            raise BodyTooLarge("too-many-pairs")
        for one in found:
            name, equals, _ = one.partition(b"=")
            if equals and len(name) <= NAME_BYTES_READ:
                yield decode_field(name)


FORM: Final = FormFormat()
