"""The operations of a description: which messages a backend takes, and which it answers with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final, Literal
from urllib.parse import urlsplit

from ..config.yaml.nodes import show
from .document import Documents, Mistakes, Spot
from .schemas import MARK, WISHES, Schemas, is_mark

ParameterPlace = Literal["path", "query", "header", "cookie"]
_METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options", "query")
_VERSION: Final = re.compile(r"3\.[012]\.[0-9]+.*")
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class DescribedParameter:
    """A parameter of a request, or a header of a response."""

    place: ParameterPlace
    name: str
    schemas: Schemas
    spot: Spot
    needed: bool = False
    exploded: bool = False


@dataclass(frozen=True, slots=True)
class DescribedBody:
    """A body as one media type: its schemas, and the media types of its parts by name."""

    type: str
    schemas: Schemas
    spot: Spot
    encodings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """What an operation answers: `status` is `200`, `4XX` or `default`."""

    status: str
    contents: Sequence[DescribedBody]
    headers: Sequence[DescribedParameter]
    spot: Spot


@dataclass(frozen=True, slots=True, eq=False)
class DescribedOperation:
    """One operation at one path. `wishes` are the keys that `x-sealyard` gives its rule."""

    name: str
    method: str
    path: str
    spot: Spot
    parameters: Sequence[DescribedParameter]
    contents: Sequence[DescribedBody]
    responses: Sequence[Response]
    wishes: Mapping[str, Spot]

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments of the path, those with a parameter as `*`."""
        return tuple("*" if "{" in one else one for one in self.path[1:].split("/"))

    def is_within(self, other: DescribedOperation) -> bool:
        """Whether another operation's path also takes all requests to this one's."""
        mine, theirs = self.segments, other.segments
        return len(mine) == len(theirs) and all(
            their in {"*", own} for own, their in zip(mine, theirs, strict=True)
        )

    def meets(self, other: DescribedOperation) -> bool:
        """Whether some request is for both paths, and for both methods."""
        mine, theirs = self.segments, other.segments
        return (
            self.method == other.method
            and len(mine) == len(theirs)
            and all(
                own == their or "*" in {own, their} for own, their in zip(mine, theirs, strict=True)
            )
        )


@dataclass(frozen=True, slots=True)
class Description:
    """What a description says: its operations, and what `x-sealyard` at its root gives to all.

    `notes` are marks that are for other messages than those at its paths, in one line each.
    """

    root: Spot
    operations: Sequence[DescribedOperation]
    wishes: Mapping[str, Spot]
    notes: Sequence[str]


class OperationReader:
    """Reads the operations of a description."""

    def __init__(self, documents: Documents, mistakes: Mistakes) -> None:
        """Report to `mistakes`."""
        self._documents = documents
        self._mistakes = mistakes

    def read(self, root: Spot, base: str | None) -> Description:
        """Return what a description says; `base` replaces the paths of its servers."""
        version = root.get("openapi")
        if version is None or not _VERSION.fullmatch(version.text):
            swagger = root.get("swagger")
            hint = "convert it to OpenAPI 3.1" if swagger is not None else "write `openapi: 3.1.0`"
            self._mistakes.add(version or swagger or root, "not an OpenAPI 3 description", hint)
            return Description(root, (), {}, ())
        found: list[DescribedOperation] = []
        for path, written in root.named("paths").items():
            item = self._documents.follow(written)
            if item is None or path.startswith("x-"):
                continue
            for method in _METHODS:
                spot = item.get(method)
                if method == "head" and "get" in item.members:
                    continue  # a rule for GET takes HEAD as well
                if spot is not None:
                    shared = [*item.each("parameters")]
                    wishes = {**item.named(WISHES), **spot.named(WISHES)}
                    servers = next(
                        (one for one in (spot, item, root) if one.get("servers") is not None), root
                    )
                    bases = [base] if base is not None else self._bases(servers)
                    operation = self._operation(method.upper(), path, spot, shared, wishes)
                    found += [replace(operation, path=one.rstrip("/") + path) for one in bases]
        return Description(root, _with_names(found), root.named(WISHES), tuple(_notes(root)))

    def _bases(self, holder: Spot) -> list[str]:
        """Return the paths of servers, each once; variables have all values that are listed."""
        found: dict[str, None] = {}
        for server in holder.each("servers"):
            url = server.get("url")
            for text in self._values(server, "" if url is None else url.text):
                found[urlsplit(text).path.rstrip("/")] = None
        return list(found) or [""]

    def _values(self, server: Spot, text: str) -> Iterator[str]:
        names = list(dict.fromkeys(_VARIABLE.findall(text)))
        choices = []
        for name in names:
            variable = server.named("variables").get(name)
            if variable is None:
                self._mistakes.add(server, f"the variable {show(name)} is not described")
                return
            listed = [one.text for one in variable.each("enum")]
            default = variable.get("default")
            choices.append(listed or ["" if default is None else default.text])
        for chosen in product(*choices):
            made = text
            for name, value in zip(names, chosen, strict=True):
                made = made.replace(f"{{{name}}}", value)
            yield made

    def _operation(
        self,
        method: str,
        path: str,
        spot: Spot,
        shared: list[Spot],
        wishes: Mapping[str, Spot],
    ) -> DescribedOperation:
        named = spot.get("operationId")
        parameters: dict[tuple[str, str], DescribedParameter] = {}
        for written in (*shared, *spot.each("parameters")):
            one = self._parameter(written)
            if one is not None:
                parameters[one.place, one.name] = one
        body = spot.get("requestBody")
        body = None if body is None else self._documents.follow(body)
        found = (self._response(*each) for each in spot.named("responses").items())
        responses = tuple(each for each in found if each is not None)
        return DescribedOperation(
            f"{method} {path}" if named is None else named.text,
            method,
            path,
            spot,
            tuple(parameters.values()),
            () if body is None else tuple(self._contents(body)),
            responses,
            wishes,
        )

    def _parameter(self, written: Spot) -> DescribedParameter | None:
        spot = self._documents.follow(written)
        if spot is None:
            return None
        place, name = spot.get("in"), spot.get("name")
        if place is None or name is None or place.text not in {"path", "query", "header", "cookie"}:
            self._mistakes.add(spot, "a parameter needs `name` and `in`")
            return None
        where: ParameterPlace = place.text  # type: ignore[assignment]  # it was compared above
        return self._as_parameter(where, name.text, spot)

    def _as_parameter(self, place: ParameterPlace, name: str, spot: Spot) -> DescribedParameter:
        needed, exploded = spot.get("required"), spot.get("explode")
        style = spot.get("style")
        by_default = place == "query" and (style is None or style.text == "form")
        schemas = tuple(
            one
            for holder in (spot, *spot.named("content").values())
            if (one := holder.get("schema")) is not None
        )
        mark = spot.get(MARK)
        if mark is not None and is_mark(mark):  # beside `name`, where OpenAPI has no place for it
            schemas = (*schemas, Spot(spot.file, spot.line, spot.column, members={MARK: mark}))
        return DescribedParameter(
            place,
            name,
            schemas,
            spot,
            needed is not None and needed.is_true,
            by_default if exploded is None else exploded.is_true,
        )

    def _contents(self, holder: Spot) -> Iterator[DescribedBody]:
        for media_type, spot in holder.named("content").items():
            schema = spot.get("schema")
            encodings = {
                name: one.text
                for name, each in spot.named("encoding").items()
                if (one := each.get("contentType")) is not None
            }
            essence = media_type.partition(";")[0].strip().lower()
            yield DescribedBody(essence, () if schema is None else (schema,), spot, encodings)

    def _response(self, status: str, written: Spot) -> Response | None:
        spot = self._documents.follow(written)
        if spot is None or status.startswith("x-"):
            return None
        headers = [
            self._as_parameter("header", name, header)
            for name, each in spot.named("headers").items()
            if (header := self._documents.follow(each)) is not None
        ]
        return Response(status.upper(), tuple(self._contents(spot)), tuple(headers), spot)


def _with_names(found: list[DescribedOperation]) -> tuple[DescribedOperation, ...]:
    """Return operations, each with a name of its own: one id may be at several base paths."""
    names = Counter(one.name for one in found)
    return tuple(
        one if names[one.name] == 1 else replace(one, name=f"{one.method} {one.path}")
        for one in found
    )


def _notes(root: Spot) -> Iterator[str]:
    """Tell of requests that the backend sends itself: they take another listener, if any."""
    callbacks = [
        one
        for item in root.named("paths").values()
        for operation in item.members.values()
        for one in operation.named("callbacks").values()
    ]
    for one in (*root.named("webhooks").values(), *callbacks):
        if _holds_mark(one):
            yield f"{one.where} is sent by the backend: seal it by the rules of another listener"


def _holds_mark(spot: Spot) -> bool:
    mark = spot.get(MARK)
    if mark is not None and is_mark(mark):
        return True
    return any(map(_holds_mark, (*spot.members.values(), *spot.elements)))
