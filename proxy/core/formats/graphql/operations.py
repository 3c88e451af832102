"""One operation of a request as a record: the JSON text that rules read, and where its values lie.

The text says what the operation is, by its type, name and fields, and what each field is given. A
value of it lies in the variables, or in the document, wherever the client has put it.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from ...errors import BodyTooLarge, ForbiddenValue, InvalidBody, OpenFailed
from ...expressions.selectors import parse_json_selector
from ...policy import SHOWN_OPERATION_CHARS
from ...slices import pause
from .. import json as json_format
from ..body_format import Spell, as_it_is
from ..json.lexer import FoundValue, PlaceMap
from ..json.nested import Escaped, Shifted, spell_in_string
from . import BLANK, MEMBERS
from .arguments import Arguments, Given, arguments_of
from .document import Document, ListValue, Literal, ObjectValue, Value, Variable, read

_QUERY, _NAME, _VARIABLES, _EACH, _EXTENSIONS, _PERSISTED, _HASH, _VERSION, _ID, _MORE = range(10)
_SELECTION: Final = json_format.Selection(
    tuple(
        map(
            parse_json_selector,
            (
                "$.query",
                "$.operationName",
                "$.variables",
                "$.variables.*",
                "$.extensions",
                "$.extensions.persistedQuery",
                "$.extensions.persistedQuery.sha256Hash",
                "$.extensions.persistedQuery.version",
                "$.documentId",
                "$.extensions.*",
            ),
        )
    )
)
_ROOM: Final = 65_536
"""So many bytes more than the request may the text of an operation have."""


class _Piece(NamedTuple):
    """A value of the text that lies in the body: up to `end` of the text.

    `places` are those of its bytes, `last` is where it ends there. `literal` is how it is written
    into the document, if it is; `default`: in its place the document has another.
    """

    end: int
    places: PlaceMap
    last: int
    literal: Literal | None
    default: bool


class OperationRecord:
    """The record of one operation. `renamed` are fields with an alias, and the aliases.

    `name` has its type and its fields, which the server's schema names, not the client.
    """

    __slots__ = ("_persisted", "_pieces", "_starts", "name", "renamed", "text")
    attachments = 0

    def __init__(self, text: bytes, start: int) -> None:
        """Read the JSON text of a request, which begins at `start` of its body.

        Raises MessageError as `document.read` does, and for what is no such request.
        """
        found = _members(text)
        query, self._persisted = _string(text, found[_QUERY]), _persisted(text, found)
        writer = _Writer(text, start, found)
        name = _string(text, found[_NAME]) or None
        if query is not None:
            document = read(query.decode())
            if name is not None and name.decode() != document.name:
                raise InvalidBody("operation-name", detail="The document has another operation.")
            given = arguments_of(document)
            self.renamed = given.renamed
            fields = dict.fromkeys(one for one, _ in given.fields)
            self.name = f"{document.type} {', '.join(fields)}"[:SHOWN_OPERATION_CHARS]
            self._check_hash(query)
            writer.operation(document, given, self._persisted, query, found[_QUERY][0])
        elif self._persisted is not None:
            self.renamed = frozenset[str]()
            self.name = "this persisted document"
            writer.persisted(name, self._persisted)
        else:
            raise InvalidBody("no-operation", detail="The request has no document.")
        self.text = b"".join(writer.parts)
        self._pieces = writer.pieces
        self._starts = writer.starts

    def _check_hash(self, query: bytes) -> None:
        """Refuse a hash that is that of another document: servers might take that."""
        persisted = self._persisted
        if persisted is None:
            return
        if persisted.removeprefix(b"sha256:").lower() != hashlib.sha256(query).hexdigest().encode():
            raise ForbiddenValue("document-hash", detail="The hash is that of another document.")

    def __getitem__(self, place: int, /) -> int:
        """Return where in the body a place of the text lies, which is in one of its values."""
        start, piece = self._piece(place)
        return piece.last if place == piece.end else piece.places[place - start]

    def _piece(self, start: int, end: int | None = None) -> tuple[int, _Piece]:
        """Return the piece that holds what lies here, and where that begins."""
        at = bisect_right(self._starts, start) - 1
        if at < 0 or (start if end is None else end) > self._pieces[at].end:
            raise ForbiddenValue(
                "not-a-value", detail="A selected value is in the document in several parts."
            )
        return self._starts[at], self._pieces[at]

    @property
    def values(self) -> list[tuple[int, int]]:
        """Where the values of the request lie in the text."""
        return [(start, one.end) for start, one in zip(self._starts, self._pieces, strict=True)]

    def check_value(self, start: int, end: int) -> None:
        """Raise ForbiddenValue where a value is not one of the request, or not the only one."""
        piece = self._piece(start, end)[1]
        if piece.default:
            raise ForbiddenValue(
                "variable-default", detail="A selected value has a default in the document as well."
            )
        if piece.literal is not None and piece.literal.is_enum:
            raise ForbiddenValue("not-a-value", detail="A selected value is an enum.")
        self._refuse_hashed(piece)

    def _refuse_hashed(self, piece: _Piece) -> None:
        if piece.literal is not None and self._persisted is not None:
            raise ForbiddenValue(
                "literal-in-persisted", detail="A document with a hash cannot be changed."
            )

    def in_string(self, start: int) -> bool:
        """Return whether a value lies in the document, which is a string itself."""
        return self._piece(start)[1].literal is not None

    def spelling(self, start: int, *, plain: bool) -> Spell:
        """Return how what replaces a value is spelled, in the document or beside it."""
        piece = self._piece(start)[1]
        if piece.literal is None:
            return as_it_is
        self._refuse_hashed(piece)
        return _spell_literal

    def attachment(self, start: int, end: int) -> int | None:
        """Return None: every value is in the text."""


def _spell_literal(value: bytes) -> bytes:
    """Return a JSON value as a literal of a document that is a JSON string; an object has none."""
    if value[:1] in {b"{", b"["}:
        raise OpenFailed("not-a-literal")
    return spell_in_string(value)


def _members(text: bytes) -> list[list[FoundValue]]:
    """Return where the members of a request lie; raise where it has others, or odd ones."""
    findings = _SELECTION.find(text)
    names = json_format.member_names(text.strip(BLANK))
    if names is None:
        raise InvalidBody("no-operation", detail="A request of GraphQL is an object.")
    if findings.variants or findings.hidden or not names <= {*MEMBERS}:
        raise ForbiddenValue(
            "member-not-listed", detail=f"A request has no other members than {', '.join(MEMBERS)}."
        )
    for index in (_VARIABLES, _EXTENSIONS, _PERSISTED):
        for _, start, _, _ in findings.found[index]:
            if not text.startswith(b"{", start):
                raise InvalidBody("no-object", detail="Variables and extensions are objects.")
    persisted = (json_format.member_names(one.raw(text)) for one in findings.found[_PERSISTED])
    versions = (one.raw(text).isdigit() for one in findings.found[_VERSION])
    if any((one or set()) - {"version", "sha256Hash"} for one in persisted) or not all(versions):
        raise ForbiddenValue("document-hash", detail="It has the number of a version and a hash.")
    return findings.found


def _string(text: bytes, found: list[FoundValue]) -> bytes | None:
    """Return the string that a member is; None where there is none."""
    if not found:
        return None
    value = json_format.Selection.text(found[0].raw(text))
    if value is None:
        raise InvalidBody("no-string", detail="A document, a name or a hash is a string.")
    return value


def _persisted(text: bytes, found: list[list[FoundValue]]) -> bytes | None:
    hashes = [one for one in (_string(text, found[_HASH]), _string(text, found[_ID])) if one]
    if len(hashes) > 1 or (found[_PERSISTED] and not found[_HASH]):
        raise InvalidBody("document-hash", detail="A request names one document, or none.")
    return hashes[0] if hashes else None


class _Writer:
    """Writes the text of an operation, and notes which of its values lie where in the body."""

    def __init__(self, text: bytes, start: int, found: list[list[FoundValue]]) -> None:
        self.parts: list[bytes] = []
        self.pieces: list[_Piece] = []
        self.starts: list[int] = []
        self._size = 0
        self._most = len(text) + _ROOM
        self._text = text
        self._start = start
        self._variables = {str(one.path[-1]): one for one in found[_EACH]}
        whole = found[_VARIABLES]
        names = json_format.member_names(whole[0].raw(text)) if whole else None
        self._sent = names or frozenset[str]()
        self._whole = whole
        self._more = [one for one in found[_MORE] if one.path[-1] != "persistedQuery"]
        self._defaults: Mapping[str, Value | None] = {}
        self._places: PlaceMap = Shifted(0)
        # Where in its bytes each character of the document begins.
        self._bytes: Sequence[int] = range(len(text))

    def operation(
        self,
        document: Document,
        given: Arguments,
        persisted: bytes | None,
        query: bytes,
        found: FoundValue,
    ) -> None:
        """Write an operation whose document is `query`, found there."""
        self._defaults = document.variables
        self._check_variables(document, given)
        self._places = Escaped(found.raw(self._text), self._start + found.start)
        if not query.isascii():
            self._bytes = [0, *accumulate(len(one.encode()) for one in query.decode())]
        roots = [name for name, _ in given.fields if name != "__typename"]
        head = {
            "type": document.type,
            "name": document.name,
            "field": roots[0] if len(roots) == 1 else None,
            "persisted": None if persisted is None else persisted.decode(),
        }
        literals = any(map(_has_string, _values(given.fields)))
        literals |= any(one is not None and _has_string(one) for one in self._defaults.values())
        self._put(b"{")
        for key, word in head.items():
            self._put(b'"%b":%b,' % (key.encode(), _quoted(word)))
        self._put(b'"literals":%b,"fields":' % (b"true" if literals else b"false"))
        self._fields((), given.fields)
        self._extensions()
        self._put(b"}")

    def persisted(self, name: bytes | None, persisted: bytes) -> None:
        """Write an operation whose document the server has."""
        words = tuple(_quoted(None if one is None else one.decode()) for one in (name, persisted))
        self._put(b'{"type":null,"name":%b,"field":null,"persisted":%b,"variables":' % words)
        for one in self._whole:
            self._copy(one, default=False)
        if not self._whole:
            self._put(b"null")
        self._extensions()
        self._put(b"}")

    def _extensions(self) -> None:
        """Write what else a client says to the server, if it does."""
        separator = b',"extensions":{'
        for one in self._more:
            self._put(b"%b%b:" % (separator, _quoted(str(one.path[-1]))))
            self._copy(one, default=False)
            separator = b","
        if self._more:
            self._put(b"}")

    def _check_variables(self, document: Document, given: Arguments) -> None:
        """Refuse variables that would go unread, or that no argument takes."""
        if self._sent - document.variables.keys():
            raise ForbiddenValue(
                "variable-undeclared", detail="A variable is sent that the operation lacks."
            )
        for name in document.conditions - given.used:
            one = self._variables.get(name)
            if one is not None and one.raw(self._text) not in {b"true", b"false"}:
                raise InvalidBody("condition", detail="A condition is true or false.")
        for name in self._sent:
            default = document.variables[name]
            if default is not None and _has_string(default):
                raise ForbiddenValue(
                    "variable-default", detail="A variable is sent that has a text by default."
                )

    def _put(self, text: bytes) -> None:
        pause()
        self.parts.append(text)
        self._size += len(text)
        if self._size > self._most:
            raise BodyTooLarge("arguments-multiply")

    def _write(
        self,
        text: bytes,
        places: PlaceMap,
        last: int,
        *,
        literal: Literal | None = None,
        default: bool = False,
    ) -> None:
        self.starts.append(self._size)
        self.pieces.append(_Piece(self._size + len(text), places, last, literal, default))
        self._put(text)

    def _copy(self, one: FoundValue, *, default: bool) -> None:
        raw, first = one.raw(self._text), self._start + one.start
        self._write(raw, Shifted(first), first + len(raw), default=default)

    def _fields(
        self, arguments: Iterable[tuple[str, Value]], fields: Iterable[tuple[str, Given]]
    ) -> None:
        """Write arguments and the fields below as one object."""
        separator = b"{"
        for name, value in arguments:
            self._put(b'%b"%b":' % (separator, name.encode()))
            self._value(value)
            separator = b","
        for name, given in fields:
            self._put(b'%b"%b":' % (separator, name.encode()))
            self._fields(given.arguments, given.fields)
            separator = b","
        self._put(b"{}" if separator == b"{" else b"}")

    def _value(self, value: Value) -> None:
        if isinstance(value, Variable):
            self._variable(value.name)
        elif isinstance(value, Literal):
            self._literal(value)
        elif isinstance(value, ObjectValue):
            self._fields(value.members, ())
        else:
            self._list(value)

    def _list(self, value: ListValue) -> None:
        self._put(b"[")
        for at, one in enumerate(value.values):
            if at:
                self._put(b",")
            self._value(one)
        self._put(b"]")

    def _variable(self, name: str) -> None:
        default = self._defaults[name]
        one = self._variables.get(name)
        if one is not None:
            self._copy(one, default=default is not None)
        elif default is None or name in self._sent:
            self._put(b"null")
        else:
            self._value(default)

    def _literal(self, value: Literal) -> None:
        text = value.text.encode()
        start, end = self._bytes[value.start], self._bytes[value.end]
        places = _Behind(self._places, start)
        self._write(text, places, self._places[end], literal=value)


class _Behind:
    """Places in a literal of a document, by those of the document; both count bytes."""

    __slots__ = ("_places", "_start")

    def __init__(self, places: PlaceMap, start: int) -> None:
        self._places = places
        self._start = start

    def __getitem__(self, place: int, /) -> int:
        return self._places[self._start + place]


def _quoted(text: str | None) -> bytes:
    return b"null" if text is None else json_format.quote(text).encode()


def _values(fields: Iterable[tuple[str, Given]]) -> Iterator[Value]:
    for _, given in fields:
        for _, value in given.arguments:
            yield value
        yield from _values(given.fields)


def _has_string(value: Value) -> bool:
    if isinstance(value, Literal):
        return value.is_string
    if isinstance(value, ListValue):
        return any(map(_has_string, value.values))
    return isinstance(value, ObjectValue) and any(_has_string(one) for _, one in value.members)
