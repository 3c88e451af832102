"""The webhook: AdmissionReviews over TLS, with a certificate that can change at runtime."""

from __future__ import annotations

import asyncio
import json
import platform
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from .. import __version__
from ..core import leaves
from ..telemetry.logs import code_location
from ..telemetry.metrics.prometheus_text import exposed
from ..telemetry.metrics.samples import Samples
from ..telemetry.metrics.table import BUILD, INJECTOR_REFUSALS, INJECTOR_REVIEWS
from ..telemetry.reporter import Reporter
from .admission_review import MalformedReview, review
from .annotations import InjectorSettings, MeshKind
from .owner_events import OwnerEvents
from .permissions import Policy, with_exceptions
from .pod_reader import CannotInject
from .policy import (
    BACKLOG,
    MOST_NAMESPACES,
    READ_BYTES,
    READ_SECONDS,
    REVIEW_BYTES,
    SHUTDOWN_SECONDS,
)

_MESHES: Final[dict[str, tuple[MeshKind, ...]]] = {
    "/mutate": (),
    "/mutate/mesh": ("sidecar",),
    "/mutate/ambient": ("ambient",),
}
"""Paths, and the meshes that the namespaces whose pods are sent there are in."""

_NAMESPACE: Final = re.compile("[a-z0-9-]{1,63}")
_REFUSED: Final = ("busy", "content-type", "internal-error", "malformed", "too-large", "too-slow")
"""Reasons, counted from 0: an alert asks for an increase."""


class _NotRead(Exception):
    """A body that is not taken; its arguments are the status and the reason."""


class Webhook:
    """Serves `POST /mutate`, `/livez`, `/readyz` and `/metrics`, over TLS only.

    `exceptions` is a folder of more permissions, which is read for each review. `events` tells the
    owners of pods.

    `/mutate/mesh` and `/mutate/ambient` are for pods of namespaces that are in a mesh: only the
    selector of the webhook configuration knows the labels of a namespace.
    """

    def __init__(
        self,
        settings: InjectorSettings,
        reporter: Reporter,
        exceptions: Path | None = None,
        events: OwnerEvents | None = None,
    ) -> None:
        self._settings = settings
        self.events = events
        self._reporter = reporter
        self._exceptions = exceptions
        self._mistaken: tuple[str, ...] = ()
        self._samples = Samples()
        self._samples.add(BUILD, 1, labels=(__version__, platform.python_version(), leaves.NATIVE))
        for reason in _REFUSED:
            self._samples.add(INJECTOR_REFUSALS, 0, labels=(reason,))
        self._namespaces: set[str] = set()
        self._reading = 0  # bytes of all reviews that have not arrived whole
        self.app = web.Application()
        self.app.add_routes(
            [
                *(web.post(path, self._mutate) for path in _MESHES),
                web.get("/livez", self._healthy),
                web.get("/readyz", self._healthy),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(
            self.app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_SECONDS,
            auto_decompress=False,  # no API server compresses a review
        )
        self._sites: list[web.SockSite] = []

    async def start(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext) -> None:
        """Serve on listening sockets, which the caller still owns."""
        if self._runner.server is None:
            await self._runner.setup()
        self._sites = [
            web.SockSite(self._runner, one.dup(), ssl_context=tls, backlog=BACKLOG)
            for one in sockets
        ]
        for site in self._sites:
            await site.start()

    async def renew(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext) -> None:
        """Use another certificate for new connections.

        The new acceptors start before the old ones stop, and the sockets stay open, so that no
        connection is refused.
        """
        old = self._sites
        await self.start(sockets, tls)
        for site in old:
            await site.stop()

    async def close(self) -> None:
        """Finish the requests in progress and stop."""
        await self._runner.cleanup()

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
        shown = exposed(self._samples, accept)
        return web.Response(body=shown.body, headers={hdrs.CONTENT_TYPE: shown.content_type})

    async def _mutate(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return self._refused(HTTPStatus.BAD_REQUEST, "content-type")
        try:
            policy = await self._policy()
            settings = replace(self._settings, meshes=_MESHES[request.path], policy=policy)
            reviewed = review(json.loads(await self._read(request)), settings)
        except _NotRead as error:
            return self._refused(*error.args)
        except (MalformedReview, CannotInject, ValueError, RecursionError):
            return self._refused(HTTPStatus.BAD_REQUEST, "malformed")
        except Exception as error:  # noqa: BLE001 - aiohttp would log it with its content
            self._reporter.report(
                "exception.unhandled",
                source="injector",
                exception=code_location.name(error),
                raised_at=code_location.raised_at(error.__traceback__),
            )
            return self._refused(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error")
        told = self._counted(reviewed.namespace)
        self._samples.add(INJECTOR_REVIEWS, 1, labels=(told, reviewed.outcome))
        self._reporter.report(
            "injector.reviewed",
            namespace=reviewed.namespace,
            outcome=reviewed.outcome,
            problems=len(reviewed.problems) or None,
        )
        if self.events is not None:
            self.events.tell(reviewed)
        return web.Response(
            body=json.dumps(reviewed.answer).encode(), content_type="application/json"
        )

    def _counted(self, namespace: str) -> str:
        """Return the label of a namespace."""
        if len(self._namespaces) < MOST_NAMESPACES and _NAMESPACE.fullmatch(namespace):
            self._namespaces.add(namespace)
        return namespace if namespace in self._namespaces else "other"

    async def _read(self, request: web.Request) -> bytearray:
        """Return the body, which must be parsed before anything is awaited.

        One that would hold more than is left for all others is refused: so whoever sends many large
        ones takes no small one's place. Raises _NotRead.
        """
        body = bytearray()
        try:
            async with asyncio.timeout(READ_SECONDS):
                async for part in request.content.iter_any():
                    body += part
                    self._reading += len(part)
                    if len(body) > REVIEW_BYTES:
                        raise _NotRead(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large")
                    if len(body) > READ_BYTES - self._reading:
                        raise _NotRead(HTTPStatus.SERVICE_UNAVAILABLE, "busy")
        except TimeoutError:
            raise _NotRead(HTTPStatus.REQUEST_TIMEOUT, "too-slow") from None
        finally:
            self._reading -= len(body)
        return body

    async def _policy(self) -> Policy:
        """Return the operator's policy as it is now: the kubelet changes mounted files."""
        policy = self._settings.policy
        if self._exceptions is None:
            return policy
        policy, mistaken = await asyncio.to_thread(with_exceptions, policy, self._exceptions)
        if mistaken != self._mistaken:
            for namespace in mistaken:
                self._reporter.report("injector.exception_unknown", namespace=namespace)
            self._mistaken = mistaken
        return policy

    def _refused(self, status: HTTPStatus, reason: str) -> web.Response:
        """Return an HTTP error: with `failurePolicy: Fail`, the pod is not created."""
        self._samples.add(INJECTOR_REFUSALS, 1, labels=(reason,))
        self._reporter.report("injector.refused", reason=reason, status=int(status))
        return web.Response(status=status, text=f"{reason}\n")
