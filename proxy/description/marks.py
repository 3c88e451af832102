"""Which values of a message a description marks, as selectors of rules spell their places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ..config.yaml.nodes import show, suggest
from ..core.crypto.token import KeyId, encode_header
from ..core.expressions.selectors import Any, Inside, Step
from ..core.http.message import Direction
from .document import Mistakes, Spot
from .schemas import MARK, WISHES, SchemaReader, Schemas, ValueShape

Steps = tuple[Step, ...]

KNOWN_WISHES: Final = frozenset({"accepts", "field", "form", "expires"})
_EACH: Final = Step(Any.MEMBER)
_INSIDE: Final = Step(Inside.JSON)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHECKED_FORMATS: Final = frozenset(
    {"date", "date-time", "time", "duration", "email", "idn-email", "hostname", "idn-hostname"}
    | {"ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference", "uuid", "regex"}
    | {"json-pointer", "relative-json-pointer", "uri-template", "int32", "int64"}
)
"""Formats of texts that validators know, and no token has."""
_LET_IT: Final = f"let the backend take a token and write `{WISHES}: {{accepts: token}}` there"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place whose values are marked, and what is known of them.

    `optional` says that a valid message may lack them, `string` that they always are texts, of at
    least `least` and, as the backend takes them, at most `most` characters. `base64` says that the
    texts are base64. `whole` is a value that may be more than a text, and is sealed as one. `spot`
    is the schema. What is optional since a value at the depth `within` may have the other of two
    shapes, or be an empty list, is needed in each record where that value is one or many.
    """

    steps: Steps
    spot: Spot
    optional: bool = False
    string: bool = False
    least: int = 0
    most: int | None = None
    base64: bool = False
    whole: bool = False
    wishes: Mapping[str, str] | None = None
    within: int | None = None


Found = dict[Steps, Mark]


class MarkFinder:
    """Finds the marked values of the messages of one direction."""

    def __init__(
        self, reader: SchemaReader, direction: Direction, mistakes: Mistakes, *, sealed: bool
    ) -> None:
        """Look into messages of a direction; `sealed` says that the backend gets tokens in them."""
        self._reader = reader
        self._hidden = "readOnly" if direction == "request" else "writeOnly"
        self._mistakes = mistakes
        self._sealed = sealed
        self._looped: set[Schemas] = set()
        self._in_form = False

    def marks(self, schemas: Schemas, *, in_form: bool = False) -> tuple[Mark, ...]:
        """Return the marked places of a value, in the order of the description.

        A list `in_form` is a name that occurs several times, so that an empty one is not there.
        """
        self._looped.clear()
        self._in_form = in_form
        return tuple(self._value(schemas, (), None, ()).values())

    def _value(
        self, schemas: Schemas, steps: Steps, inherited: Spot | None, above: tuple[Schemas, ...]
    ) -> Found:
        schemas = self._reader.resolved(schemas)
        if inherited is None and not self._reader.may_mark(schemas):
            return {}
        if schemas in above:
            self._looped.add(schemas)
            return {}
        shapes = self._reader.shapes(schemas)
        found = [
            self._shape(one, steps, inherited, (*above, schemas))
            for one in shapes
            if one.type != "null"
        ]
        merged = _either(found, len(steps))
        if any(one.type == "null" for one in shapes):
            merged = _unless(merged, needed=False)
        if schemas in self._looped and merged:
            self._looped.discard(schemas)
            merged = self._at_any_depth(merged, len(steps))
        return merged

    def _at_any_depth(self, found: Found, depth: int) -> Found:
        """Return the places inside a schema that contains itself, at whatever depth it does."""
        made: Found = {}
        for steps, mark in found.items():
            first = steps[depth] if depth < len(steps) else None
            if first is None or not isinstance(first.key, str):
                text = "a schema that contains itself has a marked value without a name of its own"
                self._mistakes.add(mark.spot, text, "give the value a property, and mark that")
                continue
            deep = (*steps[:depth], replace(first, deep=True), *steps[depth + 1 :])
            made[deep] = replace(mark, steps=deep, optional=True, within=None)
        return made

    def _shape(
        self, shape: ValueShape, steps: Steps, inherited: Spot | None, above: tuple[Schemas, ...]
    ) -> Found:
        if shape.mark is not None:
            inherited = next(one for one in shape.schemas if one.get(MARK) is shape.mark)
        elif shape.unmarked:
            inherited = None
        self._check_wishes(shape)
        if inherited is not None and shape.accepts_tokens:
            return {steps: self._mark(shape, steps, inherited, whole=True)}
        if shape.type == "object":
            return self._object(shape, steps, inherited, above)
        if shape.type == "array":
            return self._array(shape, steps, inherited, above)
        if shape.inner and (inner := self._value(shape.inner, (*steps, _INSIDE), None, above)):
            return inner
        if inherited is None:
            return {}
        own = inherited if shape.mark is not None else next(iter(shape.schemas), inherited)
        if self._sealed and (why := unfit(shape)) is not None:
            self._mistakes.add(own, f"the backend takes no token here: {why}", _LET_IT)
        return {steps: self._mark(shape, steps, own, whole=shape.type != "string")}

    def _object(
        self, shape: ValueShape, steps: Steps, inherited: Spot | None, above: tuple[Schemas, ...]
    ) -> Found:
        made: Found = {}
        for name, schemas in shape.properties.items():
            needed = name in shape.required and not any(
                each.says(self._hidden) for each in self._reader.shapes(schemas)
            )
            inner = self._value(schemas, (*steps, Step(name)), inherited, above)
            made |= _unless(inner, needed=needed)
        others = list(shape.others)
        if inherited is not None and not others and not shape.properties:
            others = [(anything(inherited),)]
        for schemas in others:
            inner = self._value(schemas, (*steps, _EACH), inherited, above)
            made |= _unless(inner, needed=False)
        return made

    def _array(
        self, shape: ValueShape, steps: Steps, inherited: Spot | None, above: tuple[Schemas, ...]
    ) -> Found:
        made: Found = {}
        for at, schemas in enumerate(shape.first_elements):
            needed = at < shape.least("minItems")
            inner = self._value(schemas, (*steps, Step(at)), inherited, above)
            made |= _unless(inner, needed=needed)
        elements = shape.elements
        if inherited is not None and not elements and not shape.first_elements:
            elements = (anything(inherited),)
        if elements:
            # Each element must have a value that is not optional; an empty list has none.
            least = max(shape.least("minItems"), int(self._in_form and len(steps) == 1))
            needed = least > len(shape.first_elements)
            inner = self._value(elements, (*steps, _EACH), inherited, above)
            made |= inner if needed else _lacking(inner, len(steps))
        for one in made.values() if self._sealed and shape.says("uniqueItems") else ():
            if "accepts" not in (one.wishes or {}):
                text = "`uniqueItems` does not see which sealed values are equal: no two tokens are"
                self._mistakes.add(one.spot, text, _LET_IT)
        return made

    def _mark(self, shape: ValueShape, steps: Steps, spot: Spot, *, whole: bool) -> Mark:
        texts = shape.type == "string" and not shape.accepts_tokens
        base64 = shape.text("format") == "byte" or shape.text("contentEncoding") == "base64"
        return Mark(
            steps,
            spot,
            string=texts,
            least=shape.least("minLength") if texts else 0,
            most=shape.most("maxLength") if texts else None,
            base64=texts and base64,
            whole=whole,
            wishes={name: one.text for name, one in shape.wishes.items()},
        )

    def _check_wishes(self, shape: ValueShape) -> None:
        for name, spot in shape.wishes.items():
            if name not in KNOWN_WISHES:
                hint = suggest(name, KNOWN_WISHES)
                self._mistakes.add(spot, f"`{WISHES}` of a value has no {show(name)}", hint)
            elif name == "accepts" and spot.text != "token":
                self._mistakes.add(spot, f"{show(spot.text)} is unknown", "write `token`")


def anything(spot: Spot) -> Spot:
    """Return the schema of what nothing is said of, at the place of what marks it."""
    return Spot(spot.file, spot.line, spot.column, "boolean", "true")


def _unless(found: Found, *, needed: bool) -> Found:
    """Return places that are optional, unless what holds them is needed."""
    return found if needed else _lacking(found, None)


def _lacking(found: Found, within: int | None) -> Found:
    """Return places that are optional, `within` a value at that depth, or for other reasons."""
    return {
        at: replace(
            one,
            optional=True,
            within=one.within if one.optional and within is not None else within,
        )
        for at, one in found.items()
    }


def _either(found: list[Found], depth: int) -> Found:
    """Return the places of a value at some depth that has one of several shapes."""
    made: Found = {}
    for each in found:
        for steps, mark in each.items():
            made[steps] = mark if steps not in made else _both(made[steps], mark)
    lacking = {at: one for at, one in made.items() if not all(at in each for each in found)}
    return made | _lacking(lacking, depth if len(found[1:]) == 1 else None)


def _both(one: Mark, other: Mark) -> Mark:
    """Return what is known of a value that is one of two."""
    limits = [each.most for each in (one, other) if each.most is not None]
    return replace(
        one,
        optional=one.optional or other.optional,
        string=one.string and other.string,
        least=min(one.least, other.least),
        most=min(limits, default=None),
        base64=one.base64 and other.base64,
        whole=one.whole or other.whole,
        within=one.within if one.within == other.within else None,
        wishes={**(other.wishes or {}), **(one.wishes or {})},
    )


def one_or_many(marks: tuple[Mark, ...]) -> tuple[str, tuple[Mark, ...]]:
    """Return where a body has one record or a list of them, with the marks of a record.

    That is what the places are where each occurs both with `.*` behind a first part and without it.
    Any other marks are returned as they are, and an empty text.
    """
    found = {one.steps: one for one in marks}
    shared = {
        steps[:at]
        for steps in found
        for at, step in enumerate(steps)
        if step == _EACH and (*steps[:at], *steps[at + 1 :]) in found
    }
    if len(shared) == 1:
        (above,) = shared
        depth, many = len(above), (*above, _EACH)
        of_many = {one[depth + 1 :] for one in found if one[: depth + 1] == many}
        of_one = {
            one[depth:]: _in_record(mark, found[(*many, *one[depth:])], depth)
            for one, mark in found.items()
            if one[:depth] == above and one[depth:] in of_many
        }
        if 2 * len(of_one) == len(found):
            place = f"one-or-many {spelled(above)}" if above else "one-or-many"
            return place, tuple(of_one.values())
    return "", marks


def _in_record(one: Mark, many: Mark, depth: int) -> Mark:
    """Return the place in a record of what is in one at a depth, and in each of many."""
    optional = any(each.optional and each.within != depth for each in (one, many))
    return replace(_both(one, many), steps=one.steps[depth:], optional=optional, within=None)


_HEAD: Final = encode_header(KeyId(bytes(12), kek_id="k0000"), bytes(16)).decode()
_TOKEN: Final = f"{_HEAD}..{'A' * 16}.{'A' * 8}.{'A' * 22}"


def unfit(shape: ValueShape) -> str | None:
    """Return why a validator of the schema would refuse a token; None where it takes one."""
    if shape.type not in {"string", "any"}:
        return f"it must be of the type `{shape.type}`, and a token is a string"
    if shape.constants:
        return "it must be one of the values listed"
    if shape.text("format") in _CHECKED_FORMATS:
        return f"it must have the format `{shape.text('format')}`"
    pattern = shape.text("pattern")
    if pattern and not _takes_token(pattern):
        return f"it must match `{pattern}`"
    return None


def _takes_token(pattern: str) -> bool:
    """Return whether a token matches a pattern; False where that cannot be told."""
    try:
        return re.search(pattern, _TOKEN) is not None
    except re.error:
        return False


def selector(place: str, name: str, steps: Steps) -> str:
    """Return the selector of a value: of a body's JSON, or below a name of a `place`."""
    if not place:
        return spelled(steps)
    return f"{place}:{name}" if not steps else f"{place}:{name} {spelled(steps)}"


def spelled(steps: Iterable[Step]) -> str:
    """Return the steps of a JSON selector as rules spell them."""
    return "$" + "".join(_step(one) for one in steps)


def _step(step: Step) -> str:
    key, dots = step.key, ".." if step.deep else "."
    if key is Any.MEMBER:
        return f"{dots}*"
    if key is Inside.JSON:
        return " json:$"
    if isinstance(key, int):
        return f"{'..' if step.deep else ''}[{key}]"
    assert isinstance(key, str)  # noqa: S101 - it is no other step
    if _PLAIN_NAME.fullmatch(key):
        return f"{dots}{key}"
    quoted = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"{'..' if step.deep else ''}['{quoted}']"


def named(steps: Iterable[Step]) -> Iterator[str]:
    """Yield the names on the way to a value."""
    for one in steps:
        if isinstance(one.key, str):
            yield one.key
