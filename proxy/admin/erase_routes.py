"""The operation that destroys the session keys of one scope, and answers with a signed receipt."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from aiohttp import web

from ..core.errors import KeyUnavailable, NotErasable
from ..keys.operations.session_operations import Call, latest_not_before
from . import problem, reading, schemas
from .operation import Answered, Endpoint, Operation
from .session_routes import IN_QUERY, REACH, SCOPE_PARAMETERS, named_scope
from .subject import Subject

_TEXT: Final = {"type": "string"}

ERASE: Final = Operation(
    "eraseSessions",
    "DELETE",
    "/v1/sessions",
    "keys",
    "Destroy the ephemeral session keys of a scope, and refuse them for good.",
    (
        Answered(
            "They are gone; `receipt` is a compact JWS that `key` verifies.",
            schemas.record(
                {
                    "scope": _TEXT,
                    "not_before": {"type": "integer", "minimum": 0},
                    "sessions": schemas.many(schemas.anything()),
                    "store": {"type": "boolean"},
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
    errors=(problem.MALFORMED, problem.NOT_ERASABLE, problem.KEY_UNAVAILABLE),
)


class EraseRoutes:
    """Answers for one subject. `clock` returns seconds since 1970."""

    def __init__(self, subject: Subject, clock: Callable[[], float]) -> None:
        self._subject = subject
        self._clock = clock

    def all(self) -> list[Endpoint]:
        """Return the operation."""
        return [Endpoint(ERASE, self._erase)]

    async def _erase(self, request: web.Request) -> web.Response:
        scope = named_scope(reading.query(request, IN_QUERY))
        call = Call("erase", scope, latest_not_before(self._clock()))
        try:
            answer = await self._subject.operate(call)
        except NotErasable:
            return problem.answer(problem.NOT_ERASABLE)
        except KeyUnavailable:
            return problem.answer(problem.KEY_UNAVAILABLE)
        body = json.dumps(answer.to_json()).encode()
        return web.Response(body=body, content_type="application/json")
