"""Forms (`application/x-www-form-urlencoded`, WHATWG URL section 5): where their values lie.

Backends disagree on names: some cut them at brackets, some split at `;`, some decode twice. What is
the selected name for none but one of them is a variant, and refused: it would pass unsealed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import quote_plus, unquote_to_bytes

from ..errors import BodyTooLarge, ForbiddenValue, InvalidBody
from . import tokens
from .json import Findings, Found
from .lax_names import LaxName
from .tokens import FoundToken

PAIRS_MAX: Final = 10_000
"""So many pairs may a form have; frameworks allow a thousand to ten thousand."""

_BROKEN_TRIPLET: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SPELLED_BYTE: Final = re.compile(rb"%[0-9A-Fa-f]{2}|.", re.DOTALL)
_UNQUOTED: Final = "*"  # and letters, digits, `-`, `.`, `_`; quote_plus lets `~` stand as well


class Pair(NamedTuple):
    """A name as it reads, and the place of its value; without `=` the value's `start` is None."""

    name: str
    start: int | None
    end: int


class FormSelection:
    """The names that a block selects, known by index.

    `size` counts all that findings hold; `checked` are those of which no variant may stand there.
    """

    __slots__ = ("_checked", "_indexes", "_size")

    def __init__(self, names: dict[int, str], size: int, checked: frozenset[int]) -> None:
        """Prepare the names by their indexes."""
        self._size = size
        self._indexes = {name: index for index, name in names.items()}
        self._checked = [(one, LaxName(name)) for one, name in names.items() if one in checked]

    def find(self, body: bytes) -> Findings:
        """Return where the selected values lie.

        A name without `=` has no value. `variants` has what differs in case alone. Raises
        InvalidBody where a selected name stands twice or a name is not UTF-8, ForbiddenValue where
        it stands in a spelling that some backends read as the same, BodyTooLarge for more than ten
        thousand pairs.
        """
        findings = Findings(self._size)
        seen: set[int] = set()
        for pair in pairs(body):
            index = self._indexes.get(pair.name)
            if index is None:
                self._look_for_variants(pair.name, findings)
            elif index in seen:
                raise InvalidBody("duplicate-name")
            else:
                seen.add(index)
                if pair.start is not None:
                    findings.found[index].append(Found((), pair.start, pair.end))
        for name in _hidden_names(body):
            self._look_for_variants(name, findings, hidden=True)
        findings.missing.update(
            index for index in self._indexes.values() if not findings.found[index]
        )
        return findings

    def refuse_in_query(self, query: str) -> None:
        """Raise ForbiddenValue where a selected name stands in the query: many read it as well.

        Raises as `find` does where the query cannot be read.
        """
        spelled = query.encode("latin-1", errors="replace")
        for name in (*(pair.name for pair in pairs(spelled)), *_hidden_names(spelled)):
            lax = LaxName(name)
            if any(selected.may_be(lax, any_case=True) for _, selected in self._checked):
                raise ForbiddenValue(
                    "name-in-query", detail="A name that the rule selects stands in the query."
                )

    def _look_for_variants(self, name: str, findings: Findings, *, hidden: bool = False) -> None:
        if not self._checked:
            return
        lax = LaxName(name)
        for index, selected in self._checked:
            if selected.may_be(lax, any_case=hidden):
                raise ForbiddenValue(
                    "name-variant", detail="A selected name stands there in another spelling."
                )
            if selected.may_be(lax, any_case=True):
                findings.variants.add(index)


def pairs(body: bytes) -> Iterator[Pair]:
    """Yield the pairs of a form in order.

    Raises InvalidBody for a name that is not UTF-8, BodyTooLarge for more than ten thousand pairs.
    """
    if body.count(b"&") + body.count(b";") >= PAIRS_MAX:
        raise BodyTooLarge("too-many-pairs")
    at = 0
    for text in body.split(b"&"):
        end = at + len(text)
        equals = text.find(b"=")
        name = text if equals < 0 else text[:equals]
        yield Pair(_name(name), None if equals < 0 else at + equals + 1, end)
        at = end + 1


def find_tokens(body: bytes, limit: int) -> Iterator[tuple[FoundToken, int, list[int]]]:
    """Yield every token in the values of a form, in order.

    With each come the place of its value, and where each byte that the value reads as stands in it.
    A value that is no text is left as it is. Raises InvalidBody for more tokens than `limit`.
    """
    for pair in pairs(body) if tokens.any_in(unquote_to_bytes(body)) else ():
        value = b"" if pair.start is None else body[pair.start : pair.end]
        try:
            text = decode(value)
        except InvalidBody:
            continue
        found = tokens.find_in_text(text, limit)
        limit -= len(found)
        spelled = places(value) if found else []
        for one in found:
            yield one, pair.start or 0, spelled


def decode(value: bytes) -> bytes:
    """Return the bytes that a value spells; raise InvalidBody where it is no text."""
    if _BROKEN_TRIPLET.search(value):
        raise InvalidBody("broken-percent-triplet")
    decoded = unquote_to_bytes(value.replace(b"+", b" "))
    try:
        decoded.decode()
    except UnicodeDecodeError:
        raise InvalidBody("not-utf-8") from None
    return decoded


def encode(text: bytes) -> bytes:
    """Return the spelling of a text as a value."""
    return quote_plus(text, safe=_UNQUOTED).replace("~", "%7E").encode("ascii")


def places(value: bytes) -> list[int]:
    """Return where each byte that a value spells begins in it, and where the last one ends."""
    found = [match.start() for match in _SPELLED_BYTE.finditer(value)]
    return [*found, len(value)]


def _name(spelled: bytes) -> str:
    try:
        return unquote_to_bytes(spelled.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise InvalidBody("name-not-utf-8") from None


def _hidden_names(body: bytes) -> Iterator[str]:
    """Yield the names that stand behind a `;`, for those who take it for a separator."""
    if b";" not in body:
        return
    for text in body.split(b"&"):
        for part in text.split(b";")[1:]:
            spelled = part.partition(b"=")[0].replace(b"+", b" ")
            yield unquote_to_bytes(spelled).decode(errors="replace")
