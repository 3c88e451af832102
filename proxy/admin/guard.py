"""Who may call: Host, rate, token; and one line in the log for each call before it is answered."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ..config.settings import Address
from ..telemetry import places
from ..telemetry.naming import METHODS, OTHER_METHOD
from ..telemetry.tally import Reporter
from . import hosts, problem
from .limit import RateLimit
from .problem import AdminError
from .token import BearerToken

_FAILURES_PER_SECOND: Final = 1.0
_FAILURES_AT_ONCE: Final = 10
_CALLS_PER_SECOND: Final = 50.0
_CALLS_AT_ONCE: Final = 100


class Guard:
    """Stands before every route of one admin or health listener.

    `token` may be exchanged at any time; None asks nobody for one. `name` is `admin` or `health`:
    calls of the latter are not written to the log, since probes come every second.
    """

    def __init__(
        self,
        name: str,
        listen: Address,
        reporter: Reporter,
        *,
        token: BearerToken | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token = token
        self._name = name
        self._listen = listen
        self._reporter = reporter
        self._calls = RateLimit(_CALLS_PER_SECOND, _CALLS_AT_ONCE, clock)
        self._failures = RateLimit(_FAILURES_PER_SECOND, _FAILURES_AT_ONCE, clock)
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def middleware(self) -> Middleware:
        """Return what aiohttp calls around every handler, also where no route fits."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await self._answer(request, handler)
            request_id = f"{self._prefix}-{next(self._numbers):x}"
            response.headers["Server"] = "sealyard"  # aiohttp would name itself and its version
            response.headers["Cache-Control"] = "no-store"
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Sealyard-Request-Id"] = request_id
            if self._name == "admin":
                self._report(request, response, request_id)
            return response

        return guarded

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as error:
            allow = ", ".join(sorted(error.allowed_methods))
            return problem.answer(problem.METHOD_NOT_ALLOWED, headers={"Allow": allow})
        except web.HTTPRequestEntityTooLarge:
            return problem.answer(problem.TOO_LARGE)
        except web.HTTPException:
            return problem.answer(problem.NOT_FOUND)
        except Exception as error:  # noqa: BLE001 - aiohttp would answer with a page of its own
            self._reporter.report(
                "exception.unhandled",
                source="admin",
                exception=places.name(error),
                raised_at=places.raised_at(error.__traceback__),
            )
            return problem.answer(problem.INTERNAL)

    def _refusal(self, request: web.Request) -> web.Response | None:
        hosts_sent = request.headers.getall(hdrs.HOST, [])
        if len(hosts_sent) != 1 or not hosts.allowed(hosts_sent[0], self._listen):
            return problem.answer(problem.FORBIDDEN_HOST)
        if not self._calls.take():
            return _wait(problem.TOO_MANY)
        if self.token is None:
            return None
        if self._failures.spent():
            # Also with the right token: else an answer would tell that a guess was right.
            return _wait(problem.TOO_MANY)
        shown = request.headers.getall(hdrs.AUTHORIZATION, [])
        if len(shown) == 1 and self.token.admits(shown[0].encode(errors="surrogateescape")):
            return None
        self._failures.take()
        return problem.answer(problem.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})

    def _report(self, request: web.Request, response: web.StreamResponse, request_id: str) -> None:
        resource = request.match_info.route.resource
        self._reporter.report(
            "admin.called",
            listener=self._name,
            request_id=request_id,
            method=request.method if request.method in METHODS else OTHER_METHOD,
            # What was asked for may hold anything; a route is one of our own.
            route=resource.canonical if resource is not None else None,
            status=response.status,
            error=response.headers.get("Sealyard-Error"),
            peer=request.remote,
        )


def _wait(error: AdminError) -> web.Response:
    return problem.answer(error, headers={"Retry-After": "1"})
