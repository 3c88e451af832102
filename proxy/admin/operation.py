"""What an operation of the admin API is. Routes, scopes and the OpenAPI file come from the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from ..config.settings import AdminScope
from .problem import AdminError

Schema = Mapping[str, Any]
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the path or the query, always a text."""

    name: str
    place: str
    meaning: str
    schema: Schema
    required: bool = True
    in_json: bool = False
    """Whether the text is JSON, which the schema is about."""

    @property
    def document(self) -> dict[str, Any]:
        """Return it as OpenAPI writes it."""
        told = {"name": self.name, "in": self.place, "required": self.required}
        schema: dict[str, Any] = {"schema": dict(self.schema)}
        told |= {"content": {"application/json": schema}} if self.in_json else schema
        return {**told, "description": self.meaning}


@dataclass(frozen=True, slots=True)
class Answered:
    """A success: its status, what it means, its body, and the media types that it may have."""

    meaning: str
    schema: Schema | None = None
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    other_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path: what it does, who may call it, what it takes and answers.

    `name` is its operationId. Without a `scope` it is open to all. Of `errors` those are left out
    that any call can meet.
    """

    name: str
    method: str
    path: str
    scope: AdminScope | None
    summary: str
    answers: tuple[Answered, ...]
    errors: tuple[AdminError, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation and who does it."""

    operation: Operation
    handle: Handle

    def route(self) -> web.RouteDef:
        """Return the route of it, and of nothing else: no HEAD beside a GET."""
        one = self.operation
        extra = {"allow_head": False} if one.method == "GET" else {}
        return web.RouteDef(one.method, one.path, self.handle, extra)


def scopes(endpoints: Iterable[Endpoint]) -> dict[tuple[str, str], AdminScope | None]:
    """Return what it takes to call a method of a route."""
    return {(one.operation.method, one.operation.path): one.operation.scope for one in endpoints}
