"""What a description lists beside what it marks: places of a body, names of the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..core.expressions.selectors import Any, Step
from .marks import Steps
from .messages import BodyKind, kind_of, place_of
from .operations import DescribedBody, DescribedOperation
from .schemas import SchemaReader, Schemas, ValueShape

_EACH: Final = Step(Any.MEMBER)


@dataclass(frozen=True, slots=True)
class PlainPlaces:
    """The places of a request that stay plain, as a rule spells them."""

    plain: tuple[str, ...] = ()
    query: tuple[str, ...] = ()


class PlainFinder:
    """Finds what the requests of operations hold beside what is marked."""

    def __init__(self, reader: SchemaReader) -> None:
        """Look into the schemas of a description."""
        self._reader = reader

    def listed(
        self,
        operation: DescribedOperation,
        content: DescribedBody | None,
        marked: frozenset[str],
        records: str = "",
    ) -> PlainPlaces | None:
        """Return what an operation's requests hold with a body, if it is read, of some content.

        None where it is no list: maps, values of any type, schemas that contain themselves. What is
        `marked` is left out. With `records`, places are those of one record.
        """
        query = []
        for one in operation.parameters:
            if one.place == "query" and f"query:{one.name}" not in marked:
                if any(shape.type == "object" for shape in self._reader.shapes(one.schemas)):
                    return None
                query.append(one.name)
        found: dict[Steps, None] = {}
        kind: BodyKind = "json"
        if content is not None:
            kind = kind_of(content.type)
            if not self._value(content.schemas, (), (), found):
                return None
        if records == "one-or-many":
            found = dict.fromkeys(one[1:] if one[:1] == (_EACH,) else one for one in found)
        elif records:
            return None
        places = [place_of(kind, steps) for steps in found]
        if None in places or any("json:" in (one or "") for one in places):
            return None
        plain = (one for one in dict.fromkeys(places) if one is not None and one not in marked)
        return PlainPlaces(tuple(plain), tuple(query))

    def _value(
        self, schemas: Schemas, steps: Steps, above: tuple[Schemas, ...], found: dict[Steps, None]
    ) -> bool:
        """Add the scalars of a value; return whether these are all that it may hold."""
        schemas = self._reader.resolved(schemas)
        shapes = self._reader.shapes(schemas)
        return schemas not in above and all(
            self._shape(one, steps, (*above, schemas), found) for one in shapes
        )

    def _shape(
        self, shape: ValueShape, steps: Steps, above: tuple[Schemas, ...], found: dict[Steps, None]
    ) -> bool:
        if shape.type == "object":
            # What is read only is sent as well, by clients that put back what they got.
            closed = bool(shape.properties) and not shape.others
            return closed and all(
                self._value(one, (*steps, Step(name)), above, found)
                for name, one in shape.properties.items()
            )
        if shape.type == "array":
            elements = shape.elements
            several = bool(elements) and not shape.first_elements
            return several and self._value(elements, (*steps, _EACH), above, found)
        if shape.type != "null" and not shape.inner:
            found[steps] = None
        return not shape.inner
