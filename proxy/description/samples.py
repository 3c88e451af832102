"""Messages that are valid for a description, and which of their values it marks.

Samples of a value go through every variant that the schemas allow, each at least once: branches,
types, `null`. The first has all properties; one has only those that are required.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from ..core.expressions.selectors import Inside, Step
from ..core.http.message import Direction
from .document import Mistakes, Spot
from .marks import Steps, anything
from .policy import SAMPLE_CHARS, SAMPLE_DEPTH, SAMPLE_VALUES, SAMPLES
from .schemas import MARK, SchemaReader, Schemas, ValueShape, constant

_FORMATS: Final = {
    "date": "2026-03-01",
    "date-time": "2026-03-01T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.org",
    "uri": "https://example.org/",
    "uuid": "5f0c1f6e-6a0c-4d6c-9a57-3f1f2a5d0c11",
    "ipv4": "192.0.2.1",
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value of a sample: where it is, whether it is marked, and the schema that says so.

    `most` is the largest number of characters that the schema takes.
    """

    steps: Steps
    marked: bool
    spot: Spot
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A valid value with its leaves, those that are null left out."""

    value: Any
    leaves: Sequence[Leaf]


class FileText(str):
    """The content of a file, which a form sends with a name of its own."""

    __slots__ = ()


class Endless(Exception):
    """A value of a schema would have to contain itself."""


class Sampler:
    """Makes samples of the values of one direction."""

    def __init__(
        self,
        reader: SchemaReader,
        direction: Direction,
        mistakes: Mistakes,
        token: str | None = None,
    ) -> None:
        """Make values of schemas that `reader` reads; a `token` takes the place of marked ones."""
        self._reader = reader
        self._token = token
        self._hidden = "readOnly" if direction == "request" else "writeOnly"
        self._mistakes = mistakes

    def samples(self, schemas: Schemas, *, in_form: bool = False) -> list[Sample]:
        """Return samples of a value; none where there is no such value.

        A list `in_form` is a name that occurs several times, so that an empty one is not there.
        """
        made: list[Sample] = []
        turns: dict[Schemas, int] = {}
        try:
            while not made or any(one > 0 for one in turns.values()):
                if len(made) == SAMPLES:
                    text = f"more than {SAMPLES} messages are needed for all variants"
                    self._mistakes.add(schemas[0], text, "describe fewer variants in one schema")
                    break
                maker = _Maker(self._reader, self._hidden, turns, self._token)
                made.append(maker.sample(schemas))
            maker = _Maker(self._reader, self._hidden, {}, self._token, least=True, in_form=in_form)
            made.append(maker.sample(schemas))
        except Endless:
            self._mistakes.add(schemas[0], "no value is finite: the schema requires itself")
        return made

    def longest(self, schemas: Schemas) -> Iterator[Sample]:
        """Yield samples of a value, in each of which one marked text is as long as may be."""
        with suppress(Endless):
            at = 0
            while True:
                maker = _Maker(self._reader, self._hidden, {}, longest=at)
                sample = maker.sample(schemas)
                if maker.limited <= at:
                    return
                yield sample
                at += 1


@dataclass(slots=True)
class _Maker:
    """Makes one sample. `turns` has how many variants of each schema no sample has had so far."""

    reader: SchemaReader
    hidden: str
    turns: dict[Schemas, int]
    token: str | None = None
    least: bool = False
    longest: int | None = None
    in_form: bool = False
    limited: int = 0
    """How many marked texts there were that have a limit."""
    _leaves: list[Leaf] = field(default_factory=list)
    _made: int = 0

    def sample(self, schemas: Schemas) -> Sample:
        """Return a sample; raise Endless where it would contain itself."""
        value = self._value(schemas, (), None, ())
        return Sample(value, tuple(self._leaves))

    def _value(
        self, schemas: Schemas, steps: Steps, inherited: Spot | None, above: tuple[Schemas, ...]
    ) -> Any:  # noqa: ANN401 - any JSON value
        schemas = self.reader.resolved(schemas)
        shapes = self.reader.shapes(schemas)
        if not shapes or len(above) > SAMPLE_DEPTH or self._made > SAMPLE_VALUES:
            raise Endless
        self._made += 1
        left = self.turns.get(schemas, len(shapes))
        self.turns[schemas] = left - 1  # below zero: around again, for what is inside
        for more in range(len(shapes)):
            shape = shapes[(more - left) % len(shapes)]
            kept = len(self._leaves)
            try:
                return self._shape(shape, steps, inherited, (*above, schemas))
            except Endless:
                del self._leaves[kept:]
        raise Endless

    def _shape(
        self, shape: ValueShape, steps: Steps, inherited: Spot | None, above: tuple[Schemas, ...]
    ) -> Any:  # noqa: ANN401 - any JSON value
        if shape.mark is not None:
            inherited = next(one for one in shape.schemas if one.get(MARK) is shape.mark)
        elif shape.unmarked:
            inherited = None
        if shape.type == "null":
            return None
        if inherited is not None and shape.accepts_tokens:
            kept = len(self._leaves)
            value = self._typed(shape, (), None, above)
            self._leaves[kept:] = [Leaf(steps, marked=True, spot=inherited)]
            return value if self.token is None else self.token
        return self._typed(shape, steps, inherited, above)

    def _typed(
        self, shape: ValueShape, steps: Steps, inherited: Spot | None, above: tuple[Schemas, ...]
    ) -> Any:  # noqa: ANN401 - any JSON value
        if shape.type == "object":
            return self._object(shape, steps, inherited, above)
        if shape.type == "array":
            return self._array(shape, steps, inherited, above)
        if shape.inner:
            inner = self._value(shape.inner, (*steps, Step(Inside.JSON)), None, above)
            return json.dumps(inner, ensure_ascii=False)
        marked = inherited is not None
        spot = inherited or (shape.schemas[0] if shape.schemas else above[0][0])
        most = shape.most("maxLength") if shape.type == "string" else None
        self._leaves.append(Leaf(steps, marked, spot, most))
        if marked and self.token is not None:
            return FileText(self.token) if _is_file(shape) else self.token
        longest = False
        if marked and most is not None:
            longest = self.limited == self.longest
            self.limited += 1
        return self._scalar(shape, marked=marked, longest=longest)

    def _object(
        self, shape: ValueShape, steps: Steps, inherited: Spot | None, above: tuple[Schemas, ...]
    ) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, schemas in shape.properties.items():
            hidden = any(each.says(self.hidden) for each in self.reader.shapes(schemas))
            needed = name in shape.required and not hidden
            if not needed and (self.least or self._again(schemas, above)):
                continue
            kept = len(self._leaves)
            try:
                made[name] = self._value(schemas, (*steps, Step(name)), inherited, above)
            except Endless:
                if needed:
                    raise
                del self._leaves[kept:]
        if not self.least:
            for number, schemas in enumerate(self._others(shape, inherited)):
                name = f"member{number + 1}"
                if not self._again(schemas, above):
                    made[name] = self._value(schemas, (*steps, Step(name)), inherited, above)
        return made

    def _others(self, shape: ValueShape, inherited: Spot | None) -> list[Schemas]:
        others = [one for one in shape.others if not one[0].is_true]
        if inherited is not None and not shape.properties and not others:
            return [(anything(inherited),)]
        return others

    def _array(
        self, shape: ValueShape, steps: Steps, inherited: Spot | None, above: tuple[Schemas, ...]
    ) -> list[Any]:
        made: list[Any] = []
        for at, schemas in enumerate(shape.first_elements):
            made.append(self._value(schemas, (*steps, Step(at)), inherited, above))
        elements = shape.elements
        if inherited is not None and not elements and not made:
            elements = (anything(inherited),)
        least = shape.least("minItems") - len(made)
        few = int(self.in_form and len(steps) == 1)
        count = max(least, few if self.least or not elements else 2)
        if elements and self._again(elements, above):
            count = max(least, 0)
        most = shape.most("maxItems")
        count = count if most is None else max(min(count, most - len(made)), 0)
        for _ in range(count if elements or least > 0 else 0):
            place = (*steps, Step(len(made)))
            made.append(self._value(elements, place, inherited, above) if elements else "element")
        return made

    def _again(self, schemas: Schemas, above: tuple[Schemas, ...]) -> bool:
        """Return whether what is optional is left out: it contains itself, and did so before."""
        return above.count(self.reader.resolved(schemas)) > 1

    def _scalar(self, shape: ValueShape, *, marked: bool, longest: bool) -> Any:  # noqa: ANN401 - any JSON value
        self._made += 1
        if shape.constants:
            return constant(shape.constants[self._made % len(shape.constants)])
        if shape.type == "boolean":
            return self._made % 2 == 0
        if shape.type in {"number", "integer"}:
            least = shape.least("minimum")
            return least if shape.most("maximum") is not None else least + self._made
        return self._text(shape, marked=marked, longest=longest)

    def _text(self, shape: ValueShape, *, marked: bool, longest: bool) -> str:
        text = _FORMATS.get(shape.text("format"), f"value {self._made}")
        most, least = shape.most("maxLength"), shape.least("minLength")
        if longest and most is not None:
            least = max(least, min(most, SAMPLE_CHARS))
        if shape.text("format") == "byte" or shape.text("contentEncoding") == "base64":
            return _base64_of(text, least, most)
        if self.least and marked:
            text = "x" * least
        text = text.ljust(least, "x")
        text = text if most is None else text[: max(most, least)]
        return FileText(text) if _is_file(shape) else text


def _is_file(shape: ValueShape) -> bool:
    """Return whether a value is the content of a file, where it is a part of a form."""
    encoded = shape.text("contentEncoding") or "json" in shape.text("contentMediaType")
    return shape.text("format") == "binary" or bool(shape.text("contentMediaType") and not encoded)


def _base64_of(text: str, least: int, most: int | None) -> str:
    """Return base64 of about a text, of at least and at most so many characters."""
    size = max(3, -(-least // 4) * 3)
    if most is not None:
        size = min(size, most // 4 * 3)
    return base64.b64encode(text.encode().ljust(size, b"x")[:size]).decode()
