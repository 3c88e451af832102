"""Readings of a name: what backends make of the names in a message, as far as it is known.

A rule names a member, a field, a parameter or a header in one spelling. Parsers join others with
it: they ignore case, cut at NUL, nest at brackets, decode again. Whoever asks here learns whether
some known parser may read a name as one that a rule reads, or as a part of its value. This is the
one place that knows: selectors, sources, conditions and what must be absent all ask it.

What is joined here is joined by some parser of docs/explanation/names.md, and coarser than any of
them: two names are twins if all the foldings of their format together make one of them. So each
name is folded once and looked up, and no name is compared with every other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote

from ..errors import ForbiddenValue
from ..leaves.plain_names import PROTOTYPES, first_step, folded
from ..policy import NAME_BYTES_READ, NAME_STEPS

_DECODES: Final = 4

NamePlace = Literal["json", "field", "header"]


# Invisible characters (Default_Ignorable_Code_Point of Unicode), and the replacement character.
_IGNORED: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffd\U000e0000-\U000e0fff]"
)
_DOTLESS: Final = {0x130: "i", 0x131: "i"}  # upper and lower case of i, to some readers
_COMPOUND: Final = re.compile(r"\w[\w-]*")
_NO_NAME: Final = re.compile(r"\0|=\?")
"""What readers drop, cut at or decode again (RFC 2047), each in its own way."""
_WIDE_TRIPLET: Final = re.compile(r"%[uU]([0-9A-Fa-f]{4})")
_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})")
_STEP: Final = re.compile(r"[^\[\].\s\x00-\x20\x7f+'\"]+")
_WORDS: Final = re.compile(r"[A-Za-z0-9_\[\]-]+")
_CONTROL_OR_SPACE: Final = "".join(map(chr, range(0x21))) + "\x7f\x85\xa0\u2028\u2029\u3000"
_SUFFIX: Final = re.compile(r"[(:]")
_HEADER_JOINTS: Final = bytes(
    one for one in range(256) if not re.fullmatch(r"[A-Za-z0-9]", chr(one))
)
OF_CLIENT: Final = frozenset({b"forwarded", b"xrealip", b"xscriptname"})
"""Folded names of headers that tell of the client or of its address; those of X-Forwarded-* hold
one of them."""

_LOWER: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")


def squeeze_fields(text: bytes) -> bytes:
    """Return a text in which each twin of a field's name without escapes contains its fold."""
    return text.translate(_LOWER, b"_-+.[]'\" \t")


def fold_member(name: str) -> str:
    """Return the common form of all twins of a member's name, for one step."""
    return folded(name if name.isascii() else _compatible(name[:NAME_BYTES_READ]))


def first_step_of_member(name: str) -> str | None:
    """Return the first step of a member's name that some read as a path or numbered, folded.

    None for any other name of one step. A name with a NUL in it is read without it by Jackson,
    whose table of names takes a NUL behind each fourth byte for nothing.
    """
    step = first_step(name)
    if step is not None:
        return fold_member(step)
    return fold_member(name.replace("\0", "")) if "\0" in name else None


def leads_to_prototype(name: str, start: int, has_prototype: Callable[[int], bool]) -> bool:
    """Return whether a member reaches the prototype that all JavaScript objects share.

    Its value begins at `start`. `constructor` does it with a `prototype` within alone:
    `has_prototype` tells whether there may be one.
    """
    return name in PROTOTYPES and (name == "__proto__" or has_prototype(start))


def beginnings(folded: Iterable[str]) -> frozenset[str]:
    """Return the first characters that the ASCII twins of folded members' names may have.

    Those that lead to a prototype are among them.
    """
    first = {one[:1] for one in folded}
    return frozenset(first | {one.upper() for one in first} | set("[]_cp \0"))


def fold_value(text: str) -> str:
    """Return a text as compared by parsers that trim it and ignore case and width."""
    return _compatible(text).partition("\0")[0].strip().casefold()


def fold_header(name: bytes) -> bytes:
    """Return the common form of all twins of a header's name."""
    return name.translate(_LOWER, _HEADER_JOINTS)


def tells_of_client(name: bytes) -> bool:
    """Return whether a reader takes a header for one that tells of the client or of its address.

    Forwarded, X-Real-IP, X-Script-Name, any X-Forwarded-*.

    Their values from an untrusted peer are dropped and replaced with what this hop knows.
    """
    folded = fold_header(name)
    return folded in OF_CLIENT or folded.startswith(b"xforwarded")


def fold_field(name: str) -> str:
    """Return the common form of all twins of a field's name, without suffixes and prefixes."""
    return "".join(_steps(lax_field(name)))


def steps_of_field(name: str) -> Iterator[str]:
    """Yield the steps of the nesting of a field's name, each folded."""
    yield from _steps(lax_field(name))


def readings_of_field(lax: str, longest: int) -> Iterator[str]:
    """Yield what a field's name from `lax_field` may be read as, each folded.

    Of a nested name that is also what it is a part of. `longest` is how long the names are that
    anybody asks for: no longer ones are told.
    """
    for one in _cut(lax):
        folded = ""
        for step in _steps(one):
            folded += step
            if len(folded) > longest:
                break
            yield folded


def field_leads_to_prototype(lax: str) -> bool:
    """Return whether a field's name from `lax_field` reaches the prototype of all objects.

    `constructor` by itself is a name as any other.
    """
    if "proto" not in lax:
        return False
    steps = _STEP.findall(lax)
    return "__proto__" in steps or ("constructor" in steps and "prototype" in steps)


def differ_in_case(name: str, other: str) -> bool:
    """Return whether two names of fields that are twins differ only in case, `_` and `-`."""
    plain = _WORDS.fullmatch(name) and _WORDS.fullmatch(other)
    return plain is not None and fold_member(name) == fold_member(other)


def are_twins(name: str, other: str) -> bool:
    """Return whether some known parser may take one name for the other, or for a part of it."""
    return (
        fold_member(name) == fold_member(other)
        or fold_field(name) == fold_field(other)
        or first_step_of_member(name) == fold_member(other)
    )


def words_of(text: str) -> Iterator[str]:
    """Yield the words of a value, folded as names of members are, with and without hyphens."""
    if "%" in text:
        text = _decoded(text)
    if "\\u" in text:  # a filter in JSON, whose writer escapes what is not ASCII
        text = _ESCAPE.sub(lambda one: chr(int(one[1], 16)), text)
    for match in _COMPOUND.finditer(text):
        yield fold_member(match[0])
        if "-" in match[0]:
            yield from map(fold_member, match[0].split("-"))


def lax_field(name: str) -> str:
    """Return a field's name, decoded once, without escapes."""
    if "%" in name:
        name = _decoded(name)
    if not name.isascii():
        name = _compatible(name)
    if "\0" in name:
        name = name.partition("\0")[0]
    return name.lstrip("?/\\")


def _decoded(name: str) -> str:
    for _ in range(_DECODES):
        decoded = unquote(_WIDE_TRIPLET.sub(_wide, name), errors="replace")
        if decoded == name:
            break
        name = decoded
    return name


def _wide(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _compatible(text: str) -> str:
    """Return a text in its compatibility form, in a case that folds as ASCII's does."""
    plain = unicodedata.normalize("NFKC", _IGNORED.sub("", text)).translate(_DOTLESS)
    return plain.casefold() if not plain.isascii() else plain


def _steps(name: str) -> Iterator[str]:
    """Yield the steps of a field's name, each folded; only the first keeps what it begins with.

    To PHP `a._b` is `a__b`, and so `a_b` in other words.
    """
    for at, match in enumerate(_STEP.finditer(name)):
        if at == NAME_STEPS:
            return
        folded = fold_member(match[0])
        yield folded.lstrip("_-") if at else folded


def _cut(name: str) -> Iterator[str]:
    """Yield a name, and the name without suffix and prefix."""
    yield name
    begun = name.lstrip(" ")
    if begun[:1] in {".", "-"}:  # to PHP, or to Spring, that is `_`
        rest = begun.lstrip(". _-")
        name = "_" * (len(begun) - len(rest)) + rest
        yield name
    suffix = _SUFFIX.search(name)
    if suffix is not None:
        name = name[: suffix.start()]
        yield name
    bare = name.lstrip(_CONTROL_OR_SPACE + "[+")
    for _ in range(2):
        if bare[:1] not in {"_", "!"}:
            return
        bare = bare[1:]
        yield bare


class NameReading(NamedTuple):
    """For which of the names some readers take another: by `key`; in case alone, or otherwise."""

    key: int
    in_case: bool


class FieldNames:
    """Names of fields by number; equal names have the same number."""

    __slots__ = ("_folded", "_longest", "names", "needles")

    def __init__(self, names: Mapping[int, str]) -> None:
        """Fold the names; `needles` are what any twin holds that is ASCII and has no triplet."""
        self.names = dict(names)
        self._folded: dict[str, list[int]] = {}
        for key, name in names.items():
            self._folded.setdefault(fold_field(name), []).append(key)
        self.needles = frozenset(squeeze_fields(one.encode()) for one in self._folded)
        self._longest = max(map(len, self._folded), default=0)

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.names)

    def readings(self, name: str) -> Sequence[NameReading]:
        """Return for which of the names some readers take one that is decoded once.

        Raises ForbiddenValue for one that leads to a prototype, or that is no name.
        """
        if name.isascii() and name.isidentifier():  # as nearly all are: one word
            keys = self._folded.get(fold_member(name), ())
            if name[0] != "_":
                return [NameReading(key, in_case=True) for key in keys]
        if _NO_NAME.search(_decoded(name) if "%" in name else name):
            raise ForbiddenValue("no-name", detail="A name has a NUL or an encoded word.")
        lax = lax_field(name)
        if field_leads_to_prototype(lax):
            raise ForbiddenValue(
                "name-hidden",
                detail="A name reaches the prototype that all JavaScript objects share.",
            )
        return [
            NameReading(key, differ_in_case(self.names[key], name))
            for reading in readings_of_field(lax, self._longest)
            for key in self._folded.get(reading, ())
        ]
