"""Forms (`application/x-www-form-urlencoded`, WHATWG URL section 5): where their values lie.

Backends disagree on names: some cut them at brackets, some split at `;`, some decode twice (see
`readings_of_a_name`). What is the selected name for one of them alone is a twin, and refused: it
would pass unsealed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import quote_plus, unquote_to_bytes

from ..errors import BodyTooLarge, ForbiddenValue, InvalidBody
from ..expressions.name_readings import NAME_MAX, FieldNames
from . import embedded_tokens
from .embedded_tokens import FoundToken
from .escaping import AS_IT_IS, Manner
from .json import Findings, FoundValue

PAIRS_MAX: Final = 10_000
"""So many pairs may a form have; frameworks allow a thousand to ten thousand."""
NAMES_MAX: Final = 1024 * 1024
"""So many bytes may the names of a form have, together and as they are spelled."""

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

    `size` counts all that findings hold; `checked` are those of which no twin may stand there, and
    `each` those of which every occurrence is taken.
    """

    __slots__ = ("_checked", "_each", "_indexes", "_size")

    def __init__(
        self,
        names: dict[int, str],
        size: int,
        checked: frozenset[int],
        each: frozenset[int] = frozenset(),
    ) -> None:
        """Prepare the names by their indexes."""
        self._size = size
        self._indexes = {name: index for index, name in names.items()}
        self._checked = FieldNames({one: name for one, name in names.items() if one in checked})
        self._each = each

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
                self._look_for_twins(pair.name, findings)
            elif index in seen and index not in self._each:
                raise InvalidBody("duplicate-name")
            else:
                seen.add(index)
                if pair.start is not None:
                    findings.found[index].append(FoundValue((), pair.start, pair.end))
        for name in hidden_names(body):
            self._look_for_twins(name, findings, hidden=True)
        findings.missing.update(
            index for index in self._indexes.values() if not findings.found[index]
        )
        return findings

    def _look_for_twins(self, name: str, findings: Findings, *, hidden: bool = False) -> None:
        if not self._checked:
            return
        for index, in_case in self._checked.readings(name):
            if hidden or not in_case:
                raise ForbiddenValue(
                    "name-variant", detail="A selected name stands there in another spelling."
                )
            findings.variants.add(index)


def pairs(body: bytes) -> Iterator[Pair]:
    """Yield the pairs of a form in order.

    Raises InvalidBody for a name that is not UTF-8 or longer than 4 KiB, BodyTooLarge for more than
    ten thousand pairs or names of more than 1 MiB.
    """
    if body.count(b"&") + body.count(b";") >= PAIRS_MAX:
        raise BodyTooLarge("too-many-pairs")
    at, room = 0, NAMES_MAX
    for text in body.split(b"&"):
        end = at + len(text)
        equals = text.find(b"=")
        name = text if equals < 0 else text[:equals]
        room -= len(name)
        _refuse_long(name, room)
        yield Pair(_name(name), None if equals < 0 else at + equals + 1, end)
        at = end + 1


def find_tokens(
    body: bytes, limit: int, manner: Manner = AS_IT_IS
) -> Iterator[tuple[FoundToken, int, list[int]]]:
    """Yield every token in the values of a form, in order.

    With each come the place of its value, and where each byte that the value reads as stands in it.
    A value that is no text is left as it is. Raises InvalidBody for more tokens than `limit`.
    """
    for pair in pairs(body) if embedded_tokens.any_in(unquote_to_bytes(body)) else ():
        value = b"" if pair.start is None else body[pair.start : pair.end]
        try:
            text = decode(value)
        except InvalidBody:
            continue
        found = embedded_tokens.find_in_text(text, limit, manner)
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


def _refuse_long(name: bytes, room: int) -> None:
    if len(name) > NAME_MAX:
        raise InvalidBody("name-too-long")
    if room < 0:
        raise BodyTooLarge("names-too-long")


def hidden_names(body: bytes) -> Iterator[str]:
    """Yield the names that stand behind a `;`, for those who take it for a separator.

    One that is longer than any that a rule has is told up to there: what follows is some text.
    Raises BodyTooLarge for names of more than 1 MiB.
    """
    if b";" not in body:
        return
    room = NAMES_MAX
    for text in body.split(b"&"):
        for part in text.split(b";")[1:]:
            spelled = part[:NAME_MAX].partition(b"=")[0]
            room -= len(spelled)
            _refuse_long(spelled, room)
            yield unquote_to_bytes(spelled.replace(b"+", b" ")).decode(errors="replace")
