"""Selectors: which values of a message, as written in rules.

JSON selectors are the part of RFC 9535 that names places: `$.name`, `$['name']`, `$[0]`, `.*`,
`[*]`, `..name`. The others name a whole part of a message: `body`, `text`, `tokens`; a pair of a
form: `form:name`; a part of a form: `part:name`, with its `filename:name`; and of a message's head
`query:name` and `header:name`.

A text that holds JSON is read with the step `json:`, as in `$.payload json:$.note`. Behind a pair
or a part, whose text is no JSON of another, a path says so: `part:operations $.variables.note`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeGuard

from ..errors import InvalidExpression
from ..policy import SELECTED_NESTING

_SHORTHAND: Final = r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*"
_STEP: Final = re.compile(
    rf"(?P<deep>\.\.)?(?:\.?(?P<name>{_SHORTHAND})|\.?(?P<wild>\*)"
    r"|\[\s*(?:(?P<quoted>'(?:[^'\\]|\\['\\])*'|\"(?:[^\"\\]|\\[\"\\])*\")"
    r"|(?P<index>0|[1-9][0-9]{0,8})|(?P<star>\*))\s*\])"
)
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+")
_PLACES: Final = ("form", "part", "filename", "query", "header")
_INSIDE: Final = re.compile(r"[ ]+json:[ ]*\$")
_JSON_WITHIN: Final = re.compile(r"((?:form|part|query):.*?\S)[ ]+(\$[.\[].*)", re.DOTALL)
_OF_HEAD: Final = frozenset({"query", "header"})
_OF_PARTS: Final = frozenset({"part", "filename"})


class Any(Enum):
    """The step `*`: every member or element."""

    MEMBER = "*"


class Inside(Enum):
    """The step `json:`: into the JSON that a text holds."""

    JSON = "json:"


@dataclass(frozen=True, slots=True)
class Step:
    """One step down: a member's name, an element's index, any, or into a text; `deep` for `..`."""

    key: str | int | Any | Inside
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

    @property
    def parted(self) -> tuple[tuple[Step, ...], JsonSelector | None]:
        """Return the steps up to the first text that is read as JSON, and what selects in it."""
        for at, step in enumerate(self.steps):
            if step.key is Inside.JSON:
                return self.steps[:at], JsonSelector(self.text, self.steps[at + 1 :])
        return self.steps, None


class Whole(Enum):
    """Selectors of a whole body."""

    BODY = "body"
    TEXT = "text"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class NamedSelector:
    """A value of a form or of a head, by its name.

    `form:name` is a pair of a form, `part:name` a part of one and `filename:name` the filename that
    stands there; `query:name` and `header:name` are of a head. `inner` selects in the JSON text
    that the value of a pair or a part is.
    """

    place: str
    name: str
    inner: JsonSelector | None = None

    @property
    def text(self) -> str:
        """The selector as it is written."""
        place = f"{self.place}:{self.name}"
        return place if self.inner is None else f"{place} {self.inner.text}"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps to the value, those in JSON behind the name of the pair or part."""
        first = (Step(f"{self.place}:{self.name}"),)
        return first if self.inner is None else (*first, Step(Inside.JSON), *self.inner.steps)

    @property
    def field(self) -> str:
        """The last name on the way: the field's name unless a rule gives another."""
        return (self.inner and self.inner.field) or self.name

    @property
    def of_head(self) -> bool:
        """Whether it names a part of a head, not of a body."""
        return self.place in _OF_HEAD

    @property
    def of_parts(self) -> bool:
        """Whether it names a part of `multipart/form-data`."""
        return self.place in _OF_PARTS


Selector = JsonSelector | Whole | NamedSelector


def is_in_json(selector: Selector) -> TypeGuard[JsonSelector | NamedSelector]:
    """Return whether a selector is of values of JSON, also of that in a form."""
    return isinstance(selector, JsonSelector) or (
        isinstance(selector, NamedSelector) and selector.inner is not None
    )


def parse_selector(text: str) -> Selector:
    """Return the selector that `text` denotes; raise InvalidExpression if it is none."""
    if text.startswith("$"):
        return parse_json_selector(text)
    for whole in Whole:
        if text == whole.value:
            return whole
    if (within := _JSON_WITHIN.fullmatch(text)) is not None:
        outer = parse_selector(within[1])
        assert isinstance(outer, NamedSelector)  # noqa: S101 - the pattern asks for a place
        return NamedSelector(outer.place, outer.name, parse_json_selector(within[2]))
    place, colon, name = text.partition(":")
    if colon and place in _PLACES:
        valid = _HEADER_NAME.fullmatch(name) if place == "header" else re.search(r"\w", name)
        if not valid:
            raise InvalidExpression(
                f"`{text}` lacks a valid name after the colon", hint=f"for example `{place}:note`"
            )
        return NamedSelector(place, name.lower() if place == "header" else name)
    plain = re.fullmatch(rf"{_SHORTHAND}(?:\.{_SHORTHAND})*", text)
    known = ", ".join(("$.path", *(one.value for one in Whole), *(f"{one}:" for one in _PLACES)))
    raise InvalidExpression(
        f"`{text}` is not a selector", hint=f"write `$.{text}`" if plain else f"one of: {known}"
    )


def parse_json_selector(text: str) -> JsonSelector:
    """Return the JSON selector that `text` denotes; raise InvalidExpression if it is none."""
    steps: list[Step] = []
    at = 1
    while at < len(text):
        if (inside := _INSIDE.match(text, at)) is not None:
            steps.append(Step(Inside.JSON))
            at = inside.end()
            continue
        match = _STEP.match(text, at)
        if match is None or not _well_joined(match):
            message, hint = _complaint(text, at)
            raise InvalidExpression(f"`{text}`{message}", hint=hint)
        steps.append(Step(_key(match), deep=match["deep"] is not None))
        at = match.end()
    if sum(step.key is Inside.JSON for step in steps) > SELECTED_NESTING:
        raise InvalidExpression(
            f"`{text}` reads more than {SELECTED_NESTING} texts within each other"
        )
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


def _complaint(text: str, at: int) -> tuple[str, str]:
    """Return what is wrong with a selector from one character on, and what to write."""
    rest = text[at:]
    if re.match(r"\[\s*-", rest):
        return ": negative indexes are not supported", "write `[*]` for all elements"
    if re.match(r"\[\s*\?", rest):
        return ": filters are not supported", "write `[*]`, and `when` in the block"
    if re.match(r"\[[^\]'\"]*:", rest):
        return ": slices are not supported", "write `[*]` for all elements"
    if re.match(rf"\.{_SHORTHAND}?-", rest) or rest.startswith("-"):
        return ": a name with a hyphen needs brackets", "write it as `['the-name']`"
    return (
        f" is not a selector from `{rest[:12]}` on",
        "for example `$.content` or `$.messages[*].content`",
    )
