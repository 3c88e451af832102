"""Selectors: which values of a message, as written in rules.

JSON selectors are the part of RFC 9535 that names places: `$.name`, `$['name']`, `$[0]`, `.*`,
`[*]`, `..name`. The others name a whole part of a message: `body`, `text`, `tokens`; a pair of a
form: `form:name`; a part of a form: `part:name`, with its `filename:name`; and of a message's head
`query:name` and `header:name`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ..errors import InvalidExpression

_SHORTHAND: Final = r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*"
_STEP: Final = re.compile(
    rf"(?P<deep>\.\.)?(?:\.?(?P<name>{_SHORTHAND})|\.?(?P<wild>\*)"
    r"|\[\s*(?:(?P<quoted>'(?:[^'\\]|\\['\\])*'|\"(?:[^\"\\]|\\[\"\\])*\")"
    r"|(?P<index>0|[1-9][0-9]{0,8})|(?P<star>\*))\s*\])"
)
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+")
_PLACES: Final = ("form", "part", "filename", "query", "header")
_OF_HEAD: Final = frozenset({"query", "header"})
_OF_PARTS: Final = frozenset({"part", "filename"})


class Any(Enum):
    """The step `*`: every member or element."""

    MEMBER = "*"


@dataclass(frozen=True, slots=True)
class Step:
    """One step down: a member's name, an element's index or any; `deep` for `..`."""

    key: str | int | Any
    deep: bool = False


@dataclass(frozen=True, slots=True)
class JsonSelector:
    """A path into a JSON text."""

    text: str
    steps: tuple[Step, ...]

    @property
    def field(self) -> str | None:
        """The last member name on the path: the field's name unless a rule gives another."""
        names = [step.key for step in self.steps if isinstance(step.key, str)]
        return names[-1] if names else None


class Whole(Enum):
    """Selectors of a whole body."""

    BODY = "body"
    TEXT = "text"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class NamedSelector:
    """A value of a form or of a head, by its name.

    `form:name` is a pair of a form, `part:name` a part of one and `filename:name` the filename that
    stands there; `query:name` and `header:name` are of a head.
    """

    place: str
    name: str

    @property
    def text(self) -> str:
        """The selector as it is written."""
        return f"{self.place}:{self.name}"

    @property
    def of_head(self) -> bool:
        """Whether it names a part of a head, not of a body."""
        return self.place in _OF_HEAD

    @property
    def of_parts(self) -> bool:
        """Whether it names a part of `multipart/form-data`."""
        return self.place in _OF_PARTS


Selector = JsonSelector | Whole | NamedSelector


def parse_selector(text: str) -> Selector:
    """Return the selector that `text` denotes; raise InvalidExpression if it is none."""
    if text.startswith("$"):
        return parse_json_selector(text)
    for whole in Whole:
        if text == whole.value:
            return whole
    place, colon, name = text.partition(":")
    if colon and place in _PLACES:
        valid = _HEADER_NAME.fullmatch(name) if place == "header" else re.search(r"\w", name)
        if not valid:
            raise InvalidExpression(f"`{text}` lacks a valid name after the colon")
        return NamedSelector(place, name.lower() if place == "header" else name)
    hint = f"write `$.{text}`" if re.fullmatch(rf"{_SHORTHAND}(?:\.{_SHORTHAND})*", text) else ""
    raise InvalidExpression(f"`{text}` is not a selector", hint=hint)


def parse_json_selector(text: str) -> JsonSelector:
    """Return the JSON selector that `text` denotes; raise InvalidExpression if it is none."""
    steps: list[Step] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or not _well_joined(match):
            raise InvalidExpression(_complaint(text, at))
        steps.append(Step(_key(match), deep=match["deep"] is not None))
        at = match.end()
    return JsonSelector(text, tuple(steps))


def _well_joined(match: re.Match[str]) -> bool:
    """Return whether names follow one dot and brackets follow none, `..` aside."""
    step = match[0][2:] if match["deep"] else match[0]
    dotted = step.startswith(".")
    bracketed = step.startswith("[")
    return not dotted if match["deep"] else dotted != bracketed and (dotted or bracketed)


def _key(match: re.Match[str]) -> str | int | Any:
    if match["name"] is not None:
        return match["name"]
    if match["index"] is not None:
        return int(match["index"])
    if match["quoted"] is not None:
        return re.sub(r"\\(.)", r"\1", match["quoted"][1:-1])
    return Any.MEMBER


def _complaint(text: str, at: int) -> str:
    rest = text[at:]
    if re.match(r"\[\s*-", rest):
        return f"`{text}`: negative indexes are not supported"
    if re.match(r"\[\s*\?", rest):
        return f"`{text}`: filters are not supported"
    if re.match(r"\[[^\]'\"]*:", rest):
        return f"`{text}`: slices are not supported"
    if re.match(rf"\.{_SHORTHAND}?-", rest) or rest.startswith("-"):
        return f"`{text}`: write a name with other characters as `['the-name']`"
    return f"`{text}` is not a selector from `{rest[:12]}` on"
