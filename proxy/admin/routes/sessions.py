"""Operations on the sessions of one scope: show, create, rotate, revoke, erase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp.web_request import Request
from aiohttp.web_response import Response

from ...core.crypto.context import Scope
from ...core.errors import NotErasable, OperatorError
from ...keys.operations.session_calls import STILL_OPEN, Action, SessionCall
from .. import problem, schemas, strict_reader
from ..operation import Endpoint, Operation, Parameter, Success, json_answer
from ..problem import RefusedCall
from ..service import AdminService
from ..strict_reader import Malformed

_PARTS: Final = ("tenant", "conversation")
IN_QUERY: Final = (*_PARTS, *(f"{one}_json" for one in _PARTS))
_SCOPE: Final = {one: schemas.nullable(schemas.ANY_NAME) for one in _PARTS}
# At least one of the two must be a name.
_SOME: Final = {
    "anyOf": [{"required": [one], "properties": {one: schemas.ANY_NAME}} for one in _PARTS]
}
_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "integer", "minimum": 0}
_SESSION: Final = schemas.record(
    {
        "sid": _TEXT,
        "kek": schemas.nullable(_TEXT),
        "began": _TIME,
        "soft_end": _TIME,
        "sealed": _TIME,
    },
    ("sid", "kek", "began", "soft_end", "sealed"),
)
KEPT: Final = {
    "store": {"type": "boolean"},
    "kept": {"type": "boolean"},
    "durable": {"type": "boolean"},
    "problem": _TEXT,
    "open": schemas.many({"type": "string", "enum": list(STILL_OPEN)}),
    "others_within": {"type": "number", "minimum": 0},
    "unknown": {"type": "boolean"},
}
"""What keeps a revocation, where it does not hold yet, and if its scope is unknown here."""
RESULT: Final = schemas.record(
    {
        "scope": _TEXT,
        "not_before": _TIME,
        "sessions": schemas.many(_SESSION),
        "agreed": {"type": "boolean"},
        **KEPT,
    },
    ("scope", "not_before", "sessions"),
)
_SESSIONS: Final = (Success("The sessions of the scope, after this call.", RESULT),)
_NAMED: Final = {**schemas.record(_SCOPE), **_SOME}

_REQUIRED: Final = "A tenant or a conversation is required."
SCOPE_PARAMETERS: Final = (
    *(
        Parameter(one, "query", f"The {one}. {_REQUIRED}", schemas.NAME, required=False)
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
                    "not_before": _TIME,
                    "sessions": schemas.many(schemas.anything()),
                    **KEPT,
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
            Endpoint(ERASE, self._erase),
        ]

    async def _show(self, request: Request) -> Response:
        return await self._do("show", strict_reader.query(request, IN_QUERY))

    async def _create(self, request: Request) -> Response:
        return await self._do("create", await strict_reader.body(request, _PARTS))

    async def _rotate(self, request: Request) -> Response:
        return await self._do("rotate", await strict_reader.body(request, _PARTS))

    async def _revoke(self, request: Request) -> Response:
        members = await strict_reader.body(request, (*_PARTS, "not_before"))
        not_before = strict_reader.integer(members, "not_before", nullable=True)
        return await self._do("revoke", members, not_before or 0)

    async def _erase(self, request: Request) -> Response:
        return await self._do("erase", strict_reader.query(request, IN_QUERY))

    async def _do(
        self, action: Action, members: Mapping[str, Any], not_before: int = 0
    ) -> Response:
        call = SessionCall(action, named_scope(members), not_before)
        try:
            result = await self._service.operate(call)
        except NotErasable:
            raise RefusedCall(problem.NOT_ERASABLE) from None
        except OperatorError as error:
            if error.reason == problem.CLOCK_SKEW.code:
                raise RefusedCall(problem.CLOCK_SKEW, detail=error.detail) from None
            return problem.answer(problem.MALFORMED, code=error.reason)
        if action == "revoke" and not result.reaches_others:
            return problem.answer(problem.NOT_KEPT, members=result.to_json())
        return json_answer(result.to_json())


def named_scope(members: Mapping[str, Any]) -> Scope:
    """Return the scope that a request names; raise Malformed where it names none."""
    scope = Scope(
        strict_reader.name(members, "tenant"), strict_reader.name(members, "conversation")
    )
    if scope == Scope():
        raise Malformed("The request names nothing; send `tenant`, `conversation` or both.")
    return scope
