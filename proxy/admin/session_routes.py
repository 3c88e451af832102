"""The routes of the admin API for the sessions of one scope: look, begin, rotate, revoke."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from ..core.context import Scope
from ..core.errors import KeyUnavailable, OperatorError
from ..keys.desk import Action, Call, latest_not_before
from ..keys.jwk_set import parse_object
from . import problem
from .subject import Subject

_PARTS: Final = ("tenant", "conversation")
_LATEST: Final = (1 << 62) - 1


class _Malformed(Exception):
    """The call does not say what it must, or says more; `str` is a sentence for the caller."""


class SessionRoutes:
    """Answers for one subject. `clock` returns seconds since 1970."""

    def __init__(self, subject: Subject, clock: Callable[[], float]) -> None:
        self._subject = subject
        self._clock = clock

    def all(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v1/sessions", self._show),
            web.post("/v1/sessions", self._create),
            web.post("/v1/sessions/rotate", self._rotate),
            web.post("/v1/sessions/revoke", self._revoke),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        if len(request.query) != len(set(request.query)):
            return _malformed("A parameter is given twice.")
        return await self._answer("show", request.query)

    async def _create(self, request: web.Request) -> web.Response:
        return await self._answer("create", await _body(request))

    async def _rotate(self, request: web.Request) -> web.Response:
        return await self._answer("rotate", await _body(request))

    async def _revoke(self, request: web.Request) -> web.Response:
        return await self._answer("revoke", await _body(request))

    async def _answer(self, action: Action, said: Mapping[str, Any] | None) -> web.Response:
        try:
            call = self._call(action, said)
            answer = await self._subject.operate(call)
        except _Malformed as malformed:
            return _malformed(str(malformed))
        except OperatorError as error:
            return problem.answer(problem.MALFORMED, code=error.reason)
        except KeyUnavailable:
            return problem.answer(problem.KEY_UNAVAILABLE)
        if action == "revoke" and not answer.reaches_others:
            return problem.answer(problem.NOT_KEPT, members=answer.to_json())
        body = json.dumps(answer.to_json()).encode()
        return web.Response(body=body, content_type="application/json")

    def _call(self, action: Action, said: Mapping[str, Any] | None) -> Call:
        if said is None:
            raise _Malformed("The body is not a JSON object with unique members.")
        known = {*_PARTS, "not_before"} if action == "revoke" else set(_PARTS)
        if set(said) - known:
            raise _Malformed(f"The call takes {', '.join(sorted(known))} and nothing else.")
        scope = Scope(*(_text(said, name) for name in _PARTS))
        if scope == Scope():
            raise _Malformed("The call names neither a tenant nor a conversation.")
        if action != "revoke":
            return Call(action, scope)
        return Call(action, scope, _time(said) or latest_not_before(self._clock()))


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    if value is not None and not isinstance(value, str):
        raise _Malformed(f"`{name}` is not a string.")
    if value is not None and any("\ud800" <= char <= "\udfff" for char in value):
        raise _Malformed(f"`{name}` is not Unicode text.")
    return value


def _time(said: Mapping[str, Any]) -> int | None:
    value = said.get("not_before")
    if value is not None and (type(value) is not int or not 0 < value < _LATEST):
        raise _Malformed("`not_before` is not a whole number of seconds since 1970.")
    return value


def _malformed(sentence: str) -> web.Response:
    return problem.answer(problem.MALFORMED, members={"detail": sentence})


async def _body(request: web.Request) -> Mapping[str, Any] | None:
    return parse_object(await request.read())
