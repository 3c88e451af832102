"""An operation of the admin API: its route, its scope and its part of the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp.web_request import Request
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_routedef import RouteDef

from ..config.settings import AdminScope
from ..keys.operations.schemas import Schema
from .problem import AdminError

Handle = Callable[[Request], Awaitable[StreamResponse]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the path or the query; its value is a string."""

    name: str
    place: str
    meaning: str
    schema: Schema
    required: bool = True
    in_json: bool = False
    """Whether the value is JSON text; `schema` then describes the JSON."""

    @property
    def document(self) -> dict[str, Any]:
        """Return the Parameter Object of OpenAPI."""
        made = {"name": self.name, "in": self.place, "required": self.required}
        schema: dict[str, Any] = {"schema": dict(self.schema)}
        made |= {"content": {"application/json": schema}} if self.in_json else schema
        return {**made, "description": self.meaning}


@dataclass(frozen=True, slots=True)
class Success:
    """A successful response: status, description, schema of its body, and its media types."""

    meaning: str
    schema: Schema | None = None
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    other_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path: what it does, which scope it needs, its parameters and responses.

    `name` is its operationId. Without a `scope` it needs no credentials. `errors` leaves out those
    that every operation may return.
    """

    name: str
    method: str
    path: str
    scope: AdminScope | None
    summary: str
    successes: tuple[Success, ...]
    errors: tuple[AdminError, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation and its handler."""

    operation: Operation
    handle: Handle

    def route(self) -> RouteDef:
        """Return its route alone: no HEAD beside a GET."""
        one = self.operation
        extra = {"allow_head": False} if one.method == "GET" else {}
        return RouteDef(one.method, one.path, self.handle, extra)


def scopes(endpoints: Iterable[Endpoint]) -> dict[tuple[str, str], AdminScope | None]:
    """Return the scope that each method of each route needs; None: no credentials."""
    return {(one.operation.method, one.operation.path): one.operation.scope for one in endpoints}


def json_answer(value: Mapping[str, Any], status: int = 200) -> Response:
    """Return a successful response with a JSON object."""
    body = json.dumps(value).encode()
    return Response(status=status, body=body, content_type="application/json")
