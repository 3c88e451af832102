"""The operations of the admin API and of the health listener; all that there is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import hdrs, web

from ... import __version__
from ...telemetry.metrics import prometheus_text
from ...telemetry.metrics.samples import Check
from .. import problem, schemas
from ..openapi import document
from ..operation import Answered, Endpoint, Operation, Parameter
from ..redacted_settings import masked
from ..service import AdminService
from .explain import ExplainRoutes
from .packages import PackageRoutes
from .page import page
from .participants import ParticipantRoutes
from .sessions import EraseRoutes, SessionRoutes
from .tap import TAP
from .values import ValueRoutes

_TEXT: Final = {"type": "string"}

LIVEZ: Final = Operation(
    "livez",
    "GET",
    "/livez",
    "read",
    "Whether the process runs.",
    (Answered("It runs.", _TEXT, media_type="text/plain"),),
)
READYZ: Final = Operation(
    "readyz",
    "GET",
    "/readyz",
    "read",
    "Whether messages are carried.",
    (
        Answered("They are.", _TEXT, media_type="text/plain"),
        Answered("They are not.", _TEXT, status=503, media_type="text/plain"),
    ),
    parameters=(
        Parameter("verbose", "query", "Name each check, whatever it says.", _TEXT, required=False),
    ),
)
METRICS: Final = Operation(
    "metrics",
    "GET",
    "/metrics",
    "read",
    "All metrics, in the format that the Accept header prefers.",
    (
        Answered(
            "Prometheus' text format, or OpenMetrics.",
            _TEXT,
            media_type=prometheus_text.TEXT,
            other_types=(prometheus_text.OPENMETRICS,),
        ),
    ),
)
RELOAD: Final = Operation(
    "reload",
    "POST",
    "/-/reload",
    "reload",
    "Take what the configuration file says now.",
    (
        Answered(
            "It is in force.",
            schemas.record(
                {
                    "reloaded": {"const": True},
                    "sha256": {"type": "string"},
                    "swap_ms": {"type": "number"},
                },
                ("reloaded", "sha256", "swap_ms"),
            ),
        ),
    ),
    errors=(problem.CONFIGURATION,),
)
STATUS: Final = Operation(
    "status",
    "GET",
    "/v1/status",
    "read",
    "Names and numbers for an operator.",
    (Answered("How Sealyard stands.", schemas.anything()),),
)
CONFIG: Final = Operation(
    "config",
    "GET",
    "/v1/config",
    "read",
    "The configuration in force, secrets as references.",
    (Answered("The configuration.", schemas.anything()),),
)


OPENAPI: Final = Operation(
    "openapi",
    "GET",
    "/openapi.json",
    "read",
    "This document.",
    (Answered("OpenAPI 3.1.", schemas.anything()),),
)


class Routes:
    """Answers for one subject. A family of operations is one file and one line in `admin`."""

    def __init__(self, subject: AdminService, *, clock: Callable[[], float] = time.time) -> None:
        self._subject = subject
        self._sessions = SessionRoutes(subject, clock)
        self._erasing = EraseRoutes(subject, clock)
        self._explaining = ExplainRoutes(subject)
        self._participants = ParticipantRoutes(subject, clock)
        self._packages = PackageRoutes(subject)
        self._values = ValueRoutes(subject)

    def health(self) -> list[Endpoint]:
        """Return what probes and scrapers ask for."""
        return [
            Endpoint(LIVEZ, self._livez),
            Endpoint(READYZ, self._readyz),
            Endpoint(METRICS, self._metrics),
        ]

    def admin(self) -> list[Endpoint]:
        """Return all that there is."""
        return [
            *self.health(),
            Endpoint(RELOAD, self._reload),
            Endpoint(STATUS, self._status),
            Endpoint(CONFIG, self._config),
            Endpoint(OPENAPI, self._openapi),
            *self._sessions.all(),
            *self._erasing.all(),
            *self._explaining.all(),
            *self._participants.all(),
            *self._packages.all(),
            *self._values.all(),
        ]

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        checks = await self._subject.checks()
        ready = all(check.ok for check in checks)
        lines = [_line(check) for check in checks] if "verbose" in request.query else []
        lines.append("ready" if ready else "not ready")
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return web.Response(status=status, text="\n".join(lines) + "\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        samples = await self._subject.samples()
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
        # In a thread: thousands of series take a tenth of a second and more.
        shown = await asyncio.to_thread(prometheus_text.exposed, samples, accept)
        return web.Response(body=shown.body, headers={hdrs.CONTENT_TYPE: shown.content_type})

    async def _reload(self, _: web.Request) -> web.Response:
        outcome = await self._subject.reload()
        if not outcome.accepted:
            return problem.answer(
                problem.CONFIGURATION,
                code=outcome.code,
                members={"problems": list(outcome.problems)},
            )
        return _json({"reloaded": True, "sha256": outcome.sha256, "swap_ms": outcome.swap_ms})

    async def _status(self, _: web.Request) -> web.Response:
        return _json(await self._subject.status())

    async def _config(self, _: web.Request) -> web.Response:
        return _json(masked(self._subject.settings))

    async def _openapi(self, _: web.Request) -> web.Response:
        return _json(api())


@cache
def api() -> dict[str, Any]:
    """Return the OpenAPI document of all that can be served; nothing of it needs a subject."""
    always = [one.operation for one in Routes(cast("AdminService", None)).admin()]
    # Whether these are served says the configuration.
    some = [TAP, *(one.operation for one in page())]
    told = [replace(one, errors=(*one.errors, problem.NOT_FOUND)) for one in some]
    return document([*always, *told], __version__)


def _line(check: Check) -> str:
    mark = "-" if not check.ok else "!" if check.degraded else "+"
    detail = f": {check.detail}" if check.detail else ""
    return f"[{mark}] {check.name}{detail}"


def _json(value: Mapping[str, Any]) -> web.Response:
    return web.Response(body=json.dumps(value).encode(), content_type="application/json")
