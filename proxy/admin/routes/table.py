"""All operations of the admin API and of the health listener."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import hdrs
from aiohttp.web_request import Request
from aiohttp.web_response import Response

from ...keys.operations import schemas
from ...keys.operations.schemas import TEXT
from ...process import child_process
from ...telemetry.metrics import metric
from ...telemetry.metrics.prometheus_text import exposed
from ...telemetry.metrics.samples import Check
from .. import problem
from ..operation import Endpoint, Operation, Parameter, Success, json_answer
from ..policy import DOCUMENT_SECONDS
from ..redacted_settings import redacted
from ..service import AdminService, HealthService
from .status import status_endpoints
from .verbs import endpoints

LIVEZ: Final = Operation(
    "livez",
    "GET",
    "/livez",
    "read",
    "Liveness: the event loops that carry the traffic are running.",
    (
        Success("They are running.", TEXT, media_type="text/plain"),
        Success(
            "One has shown no sign of life for `health.stalled_after`.",
            TEXT,
            status=503,
            media_type="text/plain",
        ),
    ),
)
READYZ: Final = Operation(
    "readyz",
    "GET",
    "/readyz",
    "read",
    "Readiness: the process accepts traffic.",
    (
        Success("Ready.", TEXT, media_type="text/plain"),
        Success("Not ready.", TEXT, status=503, media_type="text/plain"),
    ),
    parameters=(
        Parameter(
            "verbose", "query", "List every check; the value is ignored.", TEXT, required=False
        ),
    ),
)
METRICS: Final = Operation(
    "metrics",
    "GET",
    "/metrics",
    "read",
    "All metrics, in the format preferred by the Accept header.",
    (
        Success(
            "The Prometheus text format, or OpenMetrics.",
            TEXT,
            media_type=metric.TEXT,
            other_types=(metric.OPENMETRICS,),
        ),
    ),
)
RELOAD: Final = Operation(
    "reload",
    "POST",
    "/-/reload",
    "reload",
    "Reload the configuration file and the files that it names.",
    (
        Success(
            "The configuration is in force; `swap_ms` is how long the change took.",
            schemas.record(
                {
                    "reloaded": {"const": True},
                    "sha256": {"type": "string"},
                    "swap_ms": {"type": "number"},
                }
            ),
        ),
    ),
    errors=(problem.CONFIGURATION,),
)
CONFIG: Final = Operation(
    "config",
    "GET",
    "/v1/config",
    "read",
    "The configuration in force; secrets appear only as references.",
    (Success("The configuration.", schemas.anything()),),
)


OPENAPI: Final = Operation(
    "openapi",
    "GET",
    "/openapi.json",
    "read",
    "This document.",
    (Success("The OpenAPI 3.1 document.", schemas.anything()),),
)


class HealthRoutes:
    """Answers probes and scrapers."""

    def __init__(self, service: HealthService) -> None:
        self._service = service

    def all(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint(LIVEZ, self._livez),
            Endpoint(READYZ, self._readyz),
            Endpoint(METRICS, self._metrics),
        ]

    async def _livez(self, _: Request) -> Response:
        if silent := self._service.stalled():
            text = f"stalled: no heartbeat for {silent:.0f} s\n"
            return Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=text)
        return Response(text="ok\n")

    async def _readyz(self, request: Request) -> Response:
        checks = await self._service.checks()
        ready = all(check.ok for check in checks)
        lines = [_line(check) for check in checks] if "verbose" in request.query else []
        lines.append("ready" if ready else "not ready")
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(status=status, text="\n".join(lines) + "\n")

    async def _metrics(self, request: Request) -> Response:
        samples = await self._service.samples()
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
        # In a thread: thousands of series take a tenth of a second and more.
        shown = await asyncio.to_thread(exposed, samples, accept)
        return Response(body=shown.body, headers={hdrs.CONTENT_TYPE: shown.content_type})


class Routes:
    """Serves one service."""

    def __init__(self, service: AdminService) -> None:
        self._service = service
        self._document: Mapping[str, Any] = {}
        """The OpenAPI document, once somebody has asked: it is made in a process of its own."""

    def admin(self) -> list[Endpoint]:
        """Return all endpoints that are always served."""
        return [
            *HealthRoutes(self._service).all(),
            Endpoint(RELOAD, self._reload),
            *status_endpoints(self._service),
            Endpoint(CONFIG, self._config),
            Endpoint(OPENAPI, self._openapi),
            *endpoints(self._service),
        ]

    async def _reload(self, _: Request) -> Response:
        outcome = await self._service.reload()
        if not outcome.accepted:
            return problem.answer(
                problem.CONFIGURATION,
                code=outcome.code,
                members={"problems": list(outcome.problems)},
            )
        return json_answer({"reloaded": True, "sha256": outcome.sha256, "swap_ms": outcome.swap_ms})

    async def _config(self, _: Request) -> Response:
        return json_answer(redacted(self._service.settings))

    async def _openapi(self, _: Request) -> Response:
        if not self._document:
            self._document = await asyncio.to_thread(_document)
        return json_answer(self._document)


def _document() -> Mapping[str, Any]:
    module = f"{__package__.rpartition('.')[0]}.openapi"
    passed = child_process.without_secrets(os.environ)
    return child_process.ask(module, {}, passed, seconds=DOCUMENT_SECONDS)


def _line(check: Check) -> str:
    mark = "-" if not check.ok else "!" if check.degraded else "+"
    detail = f": {check.detail}" if check.detail else ""
    return f"[{mark}] {check.name}{detail}"
