"""Operations on the sessions of one scope: show, create, rotate, revoke, erase."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp.web_request import Request
from aiohttp.web_response import Response

from ...core.crypto.context import Scope
from ...core.errors import KeyUnavailable, NotErasable, OperatorError
from ...keys.operations.session_calls import STILL_OPEN, Action, SessionCall
from .. import problem, schemas, strict_reader
from ..operation import Endpoint, Operation, Parameter, Success
from ..service import AdminService
from ..strict_reader import Malformed

_PARTS: Final = ("tenant", "conversation")
IN_QUERY: Final = (*_PARTS, *(f"{one}_json" for one in _PARTS))
_SCOPE: Final = {one: schemas.nullable(schemas.ANY_NAME) for one in _PARTS}
# At least one of the two must be a name.
_SOME: Final = {
    "anyOf": [{"required": [one], "properties": {one: schemas.ANY_NAME}} for one in _PARTS]
}
_TIME: Final = {"type": "integer", "minimum": 0}
_SESSION: Final = schemas.record(
    {
        "sid": {"type": "string"},
        "kek": schemas.nullable({"type": "string"}),
        "began": _TIME,
        "soft_end": _TIME,
        "sealed": _TIME,
    },
    ("sid", "kek", "began", "soft_end", "sealed"),
)
REACH: Final = {
    "open": schemas.many({"type": "string", "enum": list(STILL_OPEN)}),
    "others_within": {"type": "number", "minimum": 0},
    "unknown": {"type": "boolean"},
}
"""Where a revocation does not hold yet, and whether its scope is unknown here."""
RESULT: Final = schemas.record(
    {
        "scope": {"type": "string"},
        "not_before": _TIME,
        "sessions": schemas.many(_SESSION),
        "agreed": {"type": "boolean"},
        "store": {"type": "boolean"},
        "kept": {"type": "boolean"},
        "durable": {"type": "boolean"},
        "problem": {"type": "string"},
        **REACH,
    },
    ("scope", "not_before", "sessions"),
)
_SESSIONS: Final = (Success("The sessions of the scope, after this call.", RESULT),)
_NAMED: Final = {**schemas.record(_SCOPE), **_SOME}

SCOPE_PARAMETERS: Final = (
    *(
        Parameter(
            one,
            "query",
            f"The {one}. A tenant or a conversation is required.",
            schemas.NAME,
            required=False,
        )
        for one in _PARTS
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
        for one in _PARTS
    ),
)

SHOW: Final = Operation(
    "showSessions",
    "GET",
    "/v1/sessions",
    "read",
    "Show the sessions that this Sealyard holds for a scope.",
    _SESSIONS,
    parameters=SCOPE_PARAMETERS,
    errors=(problem.MALFORMED,),
)
CREATE: Final = Operation(
    "createSession",
    "POST",
    "/v1/sessions",
    "keys",
    "Create a session for a scope, unless it has one.",
    _SESSIONS,
    body=_NAMED,
    errors=(problem.KEY_UNAVAILABLE,),
)
ROTATE: Final = Operation(
    "rotateSession",
    "POST",
    "/v1/sessions/rotate",
    "keys",
    "Start a new session for a scope. Values sealed before still open.",
    _SESSIONS,
    body=_NAMED,
    errors=(problem.KEY_UNAVAILABLE,),
)
REVOKE: Final = Operation(
    "revokeSessions",
    "POST",
    "/v1/sessions/revoke",
    "keys",
    "Revoke, permanently, the sessions of a scope that began before `not_before` (default: now).",
    _SESSIONS,
    body={
        **schemas.record({**_SCOPE, "not_before": schemas.nullable(schemas.SECONDS)}),
        **_SOME,
    },
    errors=(problem.NOT_KEPT, problem.CLOCK_SKEW),
)


class SessionRoutes:
    """Serves one service."""

    def __init__(self, service: AdminService) -> None:
        self._service = service

    def all(self) -> list[Endpoint]:
        """Return the operations."""
        return [
            Endpoint(SHOW, self._show),
            Endpoint(CREATE, self._create),
            Endpoint(ROTATE, self._rotate),
            Endpoint(REVOKE, self._revoke),
        ]

    async def _show(self, request: Request) -> Response:
        return await self._do("show", strict_reader.query(request, IN_QUERY))

    async def _create(self, request: Request) -> Response:
        return await self._do("create", await strict_reader.body(request, _PARTS))

    async def _rotate(self, request: Request) -> Response:
        return await self._do("rotate", await strict_reader.body(request, _PARTS))

    async def _revoke(self, request: Request) -> Response:
        return await self._do("revoke", await strict_reader.body(request, (*_PARTS, "not_before")))

    async def _do(self, action: Action, members: Mapping[str, Any]) -> Response:
        call = self._call(action, members)
        try:
            result = await self._service.operate(call)
        except OperatorError as error:
            if error.reason == problem.CLOCK_SKEW.code:
                return problem.answer(problem.CLOCK_SKEW, members={"detail": error.detail})
            return problem.answer(problem.MALFORMED, code=error.reason)
        except KeyUnavailable:
            return problem.answer(problem.KEY_UNAVAILABLE)
        if action == "revoke" and not result.reaches_others:
            return problem.answer(problem.NOT_KEPT, members=result.to_json())
        body = json.dumps(result.to_json()).encode()
        return Response(body=body, content_type="application/json")

    def _call(self, action: Action, members: Mapping[str, Any]) -> SessionCall:
        scope = named_scope(members)
        if action != "revoke":
            return SessionCall(action, scope)
        not_before = strict_reader.integer(members, "not_before", nullable=True)
        return SessionCall(action, scope, not_before or 0)


def named_scope(members: Mapping[str, Any]) -> Scope:
    """Return the scope that a request names; raise Malformed where it names none."""
    scope = Scope(
        strict_reader.name(members, "tenant"), strict_reader.name(members, "conversation")
    )
    if scope == Scope():
        raise Malformed("The request names neither a tenant nor a conversation.")
    return scope


_TEXT: Final = {"type": "string"}

ERASE: Final = Operation(
    "eraseSessions",
    "DELETE",
    "/v1/sessions",
    "keys",
    "Erase the ephemeral session keys of a scope, and revoke them permanently.",
    (
        Success(
            "The keys are erased. `receipt` is a compact JWS (RFC 7515) that `key` verifies.",
            schemas.record(
                {
                    "scope": _TEXT,
                    "not_before": {"type": "integer", "minimum": 0},
                    "sessions": schemas.many(schemas.anything()),
                    "store": {"type": "boolean"},
                    "kept": {"type": "boolean"},
                    "durable": {"type": "boolean"},
                    "problem": _TEXT,
                    **REACH,
                    "erased": schemas.many(_TEXT),
                    "receipt": _TEXT,
                    "key": schemas.anything(),
                },
                ("scope", "not_before", "erased", "receipt", "key"),
            ),
        ),
    ),
    parameters=SCOPE_PARAMETERS,
    errors=(
        problem.MALFORMED,
        problem.NOT_ERASABLE,
        problem.KEY_UNAVAILABLE,
        problem.CLOCK_SKEW,
    ),
)


class EraseRoutes:
    """Serves one service."""

    def __init__(self, service: AdminService) -> None:
        self._service = service

    def all(self) -> list[Endpoint]:
        """Return the operation."""
        return [Endpoint(ERASE, self._erase)]

    async def _erase(self, request: Request) -> Response:
        scope = named_scope(strict_reader.query(request, IN_QUERY))
        call = SessionCall("erase", scope)
        try:
            result = await self._service.operate(call)
        except NotErasable:
            return problem.answer(problem.NOT_ERASABLE)
        except OperatorError as error:
            return problem.answer(problem.CLOCK_SKEW, members={"detail": error.detail})
        except KeyUnavailable:
            return problem.answer(problem.KEY_UNAVAILABLE)
        body = json.dumps(result.to_json()).encode()
        return Response(body=body, content_type="application/json")
