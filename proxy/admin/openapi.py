"""The admin API as an OpenAPI 3.1 document, made from the operations that are served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from . import problem, schemas
from .operation import Answered, Operation
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
)
_WITH_BODY: Final = (problem.MALFORMED, problem.TOO_LARGE)
_PROBLEM: Final = {
    "type": "object",
    "description": "RFC 9457; some problems have further members.",
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
    "Sealyard-Request-Id": "The id of the call in the log and in the audit log.",
    "Cache-Control": "`no-store`, unless it says for how long the answer may be kept.",
}


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Return the document; `version` is Sealyard's."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Sealyard's admin API",
            "version": version,
            "description": "On a port or a Unix socket of its own, never on the port of the"
            " traffic. A caller may do what the scopes of their credential say.",
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
                    "description": "A token of `admin.tokens`, or of a service account.",
                },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "A certificate of `admin.clients`.",
                },
            },
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    errors = [*_ALWAYS, *one.errors]
    told: dict[str, Any] = {"operationId": one.name, "summary": one.summary}
    if one.scope is None:
        told |= {"description": "Open to all.", "security": []}
    else:
        told["description"] = f"Needs the scope `{one.scope}`."
        told["x-sealyard-scope"] = one.scope
        errors += _WITH_CREDENTIALS
    if one.parameters:
        told["parameters"] = [parameter.document for parameter in one.parameters]
    if one.body is not None:
        errors += _WITH_BODY
        content = {"application/json": {"schema": dict(one.body)}}
        told["requestBody"] = {"required": True, "content": content}
    told["responses"] = _responses(one.answers, errors)
    return told


def _responses(answers: Iterable[Answered], errors: Iterable[AdminError]) -> dict[str, Any]:
    found: dict[int, dict[str, Any]] = {}
    for answer in answers:
        headers = {**_HEADERS, **answer.headers}
        told: dict[str, Any] = {
            "description": answer.meaning,
            "headers": {name: _header(meaning) for name, meaning in headers.items()},
        }
        if answer.schema is not None:
            told["content"] = {
                media_type: {"schema": dict(answer.schema)}
                for media_type in (answer.media_type, *answer.other_types)
            }
        found[answer.status] = told
    for error in dict.fromkeys(errors):
        told = found.setdefault(error.status, {"description": "", "headers": {}})
        told["description"] = f"{told['description']} `{error.code}`: {error.title}".strip()
        told["headers"] |= {name: _header(meaning) for name, meaning in _HEADERS.items()}
        told["headers"]["Sealyard-Error"] = {
            "description": "The code of the error.",
            "required": not told.get("content"),
            "schema": {"type": "string"},
        }
        content = told.setdefault("content", {})
        content["application/problem+json"] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {str(status): found[status] for status in sorted(found)}


def _header(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "required": True, "schema": {"type": "string"}}
