"""The admin API as an OpenAPI 3.1 document, made from the operations and verbs that are served."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, cast

from .. import __version__
from ..keys.operations import schemas
from ..keys.operations.schemas import Schema
from ..keys.operations.verb import PARTS, Argument, Route, Verb
from ..keys.operations.verbs import VERBS
from ..keys.policy import MAX_ID_BYTES
from ..process import child_process
from . import problem
from .operation import Operation, Parameter, Success
from .problem import AdminError
from .routes.follow import FOLLOW
from .routes.page import page
from .routes.table import Routes
from .service import AdminService

VERSION: Final = "3.1.0"
_ALWAYS: Final = (
    problem.FORBIDDEN_HOST,
    problem.FORBIDDEN_ORIGIN,
    problem.TOO_MANY,
    problem.INTERNAL,
    problem.NOT_AUDITED,
)
_WITH_CREDENTIALS: Final = (
    problem.UNAUTHORIZED,
    problem.FORBIDDEN_SCOPE,
    problem.NOT_REVIEWED,
    problem.WORKER_GONE,
)
_WITH_BODY: Final = (problem.MALFORMED, problem.TOO_LARGE)
_PROBLEM: Final = {
    "type": "object",
    "description": "Problem details (RFC 9457). Some errors have further members.",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "problems": schemas.many({"type": "string"}),
    },
    "required": ["status", "title", "type"],
}
_HEADERS: Final = {
    "Sealyard-Request-Id": "The id of this request in the log and in the audit log.",
    "Cache-Control": "`no-store`, unless the response may be cached.",
}
_ID: Final = {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES}
_IN_PATH: Final = Parameter(
    "id", "path", f"The id of the participant: 1 to {MAX_ID_BYTES} bytes of printable text.", _ID
)
_SCOPE_PARAMETERS: Final = (
    *(
        Parameter(
            one,
            "query",
            f"The {one}. A tenant or a conversation is required.",
            schemas.NAME,
            required=False,
        )
        for one in PARTS
    ),
    *(
        Parameter(
            f"{one}_json",
            "query",
            f"The {one} as JSON, where it is joined from several names.",
            schemas.ANY_NAME,
            required=False,
            in_json=True,
        )
        for one in PARTS
    ),
)


def api() -> dict[str, Any]:
    """Return the OpenAPI document of all operations; it needs no service."""
    routes = ((one, one.route) for one in VERBS.values())
    verbs = {route.name: described(one, route) for one, route in routes if route is not None}
    served = (one.operation for one in Routes(cast("AdminService", None)).admin())
    always = [verbs.get(one.name, one) for one in served]
    # The configuration decides whether these are served.
    optional = [FOLLOW, *(one.operation for one in page())]
    maybe_absent = [replace(one, errors=(*one.errors, problem.NOT_FOUND)) for one in optional]
    return document([*always, *maybe_absent], __version__)


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Return the OpenAPI document; `version` is that of Sealyard."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Sealyard admin API",
            "version": version,
            "description": "Served on its own port or Unix socket, never on a traffic port."
            " The scopes of a credential say which operations its holder may call.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:9901"}],
        "security": [{"bearer": []}, {"certificate": []}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `admin.tokens`, or of a Kubernetes service account.",
                },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "A client certificate listed in `admin.clients`.",
                },
            },
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    errors = [*_ALWAYS, *one.errors]
    made: dict[str, Any] = {"operationId": one.name, "summary": one.summary}
    if one.scope is None:
        made |= {"description": "Needs no credentials.", "security": []}
    else:
        made["description"] = f"Needs the scope `{one.scope}`."
        made["x-sealyard-scope"] = one.scope
        errors += _WITH_CREDENTIALS
    if one.parameters:
        made["parameters"] = [parameter.document for parameter in one.parameters]
    if one.body is not None:
        errors += _WITH_BODY
        content = {"application/json": {"schema": dict(one.body)}}
        made["requestBody"] = {"required": True, "content": content}
    made["responses"] = _responses(one.successes, errors)
    return made


def _responses(successes: Iterable[Success], errors: Iterable[AdminError]) -> dict[str, Any]:
    found: dict[int, dict[str, Any]] = {}
    for one in successes:
        headers = {**_HEADERS, **one.headers}
        response: dict[str, Any] = {
            "description": one.meaning,
            "headers": {name: _header(meaning) for name, meaning in headers.items()},
        }
        if one.schema is not None:
            response["content"] = {
                media_type: {"schema": dict(one.schema)}
                for media_type in (one.media_type, *one.other_types)
            }
        found[one.status] = response
    for error in dict.fromkeys(errors):
        response = found.setdefault(error.status, {"description": "", "headers": {}})
        response["description"] = f"{response['description']} `{error.code}`: {error.title}".strip()
        response["headers"] |= {name: _header(meaning) for name, meaning in _HEADERS.items()}
        response["headers"]["Sealyard-Error"] = {
            "description": "The error code.",
            "required": not response.get("content"),
            "schema": {"type": "string"},
        }
        content = response.setdefault("content", {})
        content["application/problem+json"] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {str(status): found[status] for status in sorted(found)}


def _header(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "required": True, "schema": {"type": "string"}}


def described(verb: Verb, route: Route) -> Operation:
    """Return the operation of a verb with all that its declaration says."""
    arguments = verb.offered
    successes = [
        Success(route.meaning, route.schema, route.status, route.media_type, route.headers)
    ]
    if route.incomplete:
        successes.append(Success(route.incomplete, route.schema, 202))
    if "ETag" in route.headers:
        successes.append(Success("Unchanged since the ETag in If-None-Match.", status=304))
    return Operation(
        route.name,
        route.method,
        route.path,
        route.right,
        verb.summary,
        tuple(successes),
        errors=_errors(verb),
        parameters=tuple(_parameters(arguments, route)),
        body=_body(arguments, route.one_of) if route.has_body else None,
    )


def _parameters(arguments: Collection[Argument], route: Route) -> Iterator[Parameter]:
    for one in arguments:
        if one.word and one.form == "participant":
            yield _IN_PATH
        elif one.form == "scope" and not route.has_body:
            yield from _SCOPE_PARAMETERS
        elif not route.has_body:
            schema = _ID if one.form == "participant" else one.schema
            yield Parameter(one.name, "query", one.help, schema, required=one.required)


def _body(arguments: Collection[Argument], one_of: Collection[str]) -> Schema:
    """Return the schema of a body; with `one_of`, one alternative for each of these members."""
    if one_of:
        others = [one for one in arguments if one.name not in one_of]
        several = (replace(one, required=True) for one in arguments if one.name in one_of)
        return {"oneOf": [_body([one, *others], ()) for one in several]}
    members: dict[str, Schema] = {}
    for one in arguments:
        if one.form == "scope":
            members |= {part: schemas.nullable(schemas.ANY_NAME) for part in PARTS}
        elif not (one.word and one.form == "participant"):
            told = {"description": one.help} if one.help else {}
            members[one.name] = {**one.schema, **told}
    needed = {one.name for one in arguments if one.required}
    made = schemas.record(members, members.keys() - needed)
    if "tenant" in members:  # at least one of the two must be a name
        made["anyOf"] = [
            {"required": [part], "properties": {part: schemas.ANY_NAME}} for part in PARTS
        ]
    return made


def _errors(verb: Verb) -> tuple[AdminError, ...]:
    """Return the errors that the call of a verb may end with, beside those of every call."""
    own = (
        problem.BY_CODE[one] if isinstance(one, str) else problem.OF_CLASS[one]
        for one in verb.raises
    )
    shared = (problem.NO_COMMON_STORE,) if verb.shared else ()
    return (problem.MALFORMED, *own, *shared, problem.KEY_UNAVAILABLE)


if __name__ == "__main__":
    child_process.answer(lambda _: api())
