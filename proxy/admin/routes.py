"""The routes of the admin API and of the health listener."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from ..telemetry.exposition import CONTENT_TYPE_LATEST, exposed
from ..telemetry.facts import Check
from . import problem
from .masked import masked
from .session_routes import SessionRoutes
from .subject import Subject


class Routes:
    """Answers for one subject."""

    def __init__(self, subject: Subject, *, clock: Callable[[], float] = time.time) -> None:
        self._subject = subject
        self._sessions = SessionRoutes(subject, clock)

    def health(self) -> list[web.RouteDef]:
        """Return what probes and scrapers ask for."""
        return [
            web.get("/livez", self._livez),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._metrics),
        ]

    def admin(self) -> list[web.RouteDef]:
        """Return all that there is."""
        return [
            *self.health(),
            web.post("/-/reload", self._reload),
            web.get("/v1/status", self._status),
            web.get("/v1/config", self._config),
            *self._sessions.all(),
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

    async def _metrics(self, _: web.Request) -> web.Response:
        body = exposed(await self._subject.samples())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

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


def _line(check: Check) -> str:
    mark = "-" if not check.ok else "!" if check.degraded else "+"
    detail = f": {check.detail}" if check.detail else ""
    return f"[{mark}] {check.name}{detail}"


def _json(value: Mapping[str, Any]) -> web.Response:
    return web.Response(body=json.dumps(value).encode(), content_type="application/json")
