"""The admin API as an OpenAPI 3.1 document, made from the operations that are served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from . import problem, schemas
from .operation import Operation, Success
from .problem import AdminError

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
