"""Checks of every request: Host, origin, credentials, scope and rate; and its audit record.

A call is in the log and in the audit log before its response is sent. Valid credentials are
accepted however many invalid ones come from the same address.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from aiohttp import hdrs
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_exceptions import HTTPException, HTTPMethodNotAllowed, HTTPRequestEntityTooLarge
from aiohttp.web_middlewares import middleware
from aiohttp.web_request import BaseRequest, Request
from aiohttp.web_response import Response, StreamResponse

from ...config.settings import Address, AdminScope, TcpAddress
from ...core.errors import SealyardError
from ...keys.lru_map import BoundedMap
from ...process.rate_limit import RateLimit
from ...telemetry.logs import code_location
from ...telemetry.logs.access_line import METHODS, OTHER_METHOD
from ...telemetry.reporter import Reporter
from .. import policy, problem
from ..problem import AdminError, RefusedCall
from ..strict_reader import Malformed, name_request
from .access import Access
from .tokens import Caller


class Limits:
    """One rate limit for each address or caller, so that none of them uses up those of others.

    Above `LIMITED_NAMES`, the least recently used is dropped; it starts again with a full burst.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        """Start empty; `clock` returns monotonic seconds."""
        self._bounds = per_second, burst, clock
        self._by_name: BoundedMap[str, RateLimit] = BoundedMap(policy.LIMITED_NAMES)

    def of(self, name: str) -> RateLimit:
        """Return the limit of a name."""
        limit = self._by_name.get(name)
        if limit is None:
            limit = RateLimit(*self._bounds)
            self._by_name.put(name, limit)
        return limit


def peer(remote: str | None) -> str:
    """Return the name under which an address is limited: its /64 for IPv6, `unix` for a socket."""
    try:
        address = ip_address((remote or "").partition("%")[0])
    except ValueError:
        return "unix"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(int(address) >> policy.SUBNET_BITS)
    return str(remote)


_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?")


def allowed(host: str | None, listen: Address) -> bool:
    """Return whether a request with this Host header is allowed at `listen` (DNS rebinding)."""
    match = _HOST.fullmatch(host or "")
    if match is None:
        return False
    name = (match[1] or match[2]).lower()
    configured = listen.host.lower() if isinstance(listen, TcpAddress) else "localhost"
    return name in {"localhost", configured} or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


_UNREAD: Final = (
    f"This is no HTTP/1.1, or more than {policy.HEAD_LINE_BYTES} bytes in a line of its head,"
    f" or than {policy.MOST_HEADERS} headers."
)


Record = Callable[[Mapping[str, str | int]], Awaitable[None]]
"""Writes a call to the audit log; returns once it is on disk, raises SealyardError otherwise."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Access control of the admin API: credentials, scopes, and where calls are recorded.

    `scopes` has each method of each route; None means no credentials, as for the status page.
    """

    access: Access
    scopes: Mapping[tuple[str, str], AdminScope | None]
    record: Record | None = None


class Guard:
    """The middleware of one admin or health listener.

    `access` may be replaced at any time. Without a `gate`, no credentials are needed and nothing is
    recorded: probes come every second. `name` is `admin` or `health`.
    """

    def __init__(
        self,
        name: str,
        listen: Address,
        reporter: Reporter,
        *,
        gate: Gate | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.access = gate.access if gate is not None else None
        self._gate = gate
        self._name = name
        self._listen = listen
        self._reporter = reporter
        self._calls = Limits(policy.CALLS_PER_SECOND, policy.CALLS_AT_ONCE, clock)
        self._failures = Limits(policy.FAILURES_PER_SECOND, policy.FAILURES_AT_ONCE, clock)
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def middleware(self) -> Middleware:
        """Return the middleware, which aiohttp also runs where no route matches."""

        @middleware
        async def guarded(request: Request, handler: Handler) -> StreamResponse:
            request_id = self._new_id()
            name_request(request, request_id)
            caller = await self._caller(request)
            if isinstance(caller, AdminError):
                response: StreamResponse = _refused(caller)
            else:
                response = await self._handled(request, handler)
            if self._gate is not None:
                name = caller.name if isinstance(caller, Caller) else ""
                response = await self._recorded(request, response, name, request_id)
            return _signed(response, request_id)

        return guarded

    def unread(self, request: BaseRequest, error: BaseException | None) -> StreamResponse:
        """Return the response to what the HTTP library could not read, or failed at.

        It is no call, so it is in the log alone: an audit log must not be filled by whoever can
        connect. `request` holds nothing but the connection.
        """
        request_id = self._new_id()
        if not isinstance(error, HttpProcessingError):
            response = self._failed(error)
        elif self._calls.of(peer(request.remote)).take():
            response = Malformed(_UNREAD).answer()
        else:
            response = _refused(problem.TOO_MANY)
        if self._gate is not None:
            self._reporter.report(
                "admin.called",
                listener=self._name,
                request_id=request_id,
                method=OTHER_METHOD,
                status=response.status,
                error=response.headers["Sealyard-Error"],
                peer=request.remote or "",
            )
        return _signed(response, request_id)

    def _new_id(self) -> str:
        return f"{self._prefix}-{next(self._numbers):x}"

    async def _caller(self, request: Request) -> Caller | AdminError | None:
        """Return the authorized caller, None where no credentials are needed, or the error."""
        sent = request.headers.getall(hdrs.HOST, [])
        if len(sent) != 1 or not allowed(sent[0], self._listen):
            return problem.FORBIDDEN_HOST
        if not _same_origin(request.headers.getall(hdrs.ORIGIN, []), sent[0]):
            return problem.FORBIDDEN_ORIGIN
        resource = request.match_info.route.resource
        operation = request.method, resource.canonical if resource is not None else ""
        if (
            self.access is None
            or self._gate is None
            or self._gate.scopes.get(operation, "") is None
        ):
            return None if self._calls.of(peer(request.remote)).take() else problem.TOO_MANY
        caller = await self._authenticated(request, self.access)
        if isinstance(caller, AdminError) or resource is None:
            return caller  # no such path or method: 404 or 405 follows
        return (
            caller if self._gate.scopes.get(operation) in caller.scopes else problem.FORBIDDEN_SCOPE
        )

    async def _authenticated(self, request: Request, access: Access) -> Caller | AdminError:
        failures = self._failures.of(peer(request.remote))
        caller = await access.caller(request, patient=not failures.spent())
        if isinstance(caller, AdminError):
            return caller if failures.take() else problem.TOO_MANY
        return caller if self._calls.of(caller.name).take() else problem.TOO_MANY

    async def _handled(self, request: Request, handler: Handler) -> StreamResponse:
        try:
            return await handler(request)
        except RefusedCall as refused:
            return refused.answer()
        except HTTPMethodNotAllowed as error:
            allow = ", ".join(sorted(error.allowed_methods))
            return problem.answer(problem.METHOD_NOT_ALLOWED, headers={"Allow": allow})
        except HTTPException as error:
            large = isinstance(error, HTTPRequestEntityTooLarge)
            return problem.answer(problem.TOO_LARGE if large else problem.NOT_FOUND)
        except Exception as error:  # noqa: BLE001 - it is answered as all else
            known = problem.refused(error)
            return self._failed(error) if known is None else known.answer()

    def _failed(self, error: BaseException | None) -> Response:
        self._reporter.report(
            "exception.unhandled",
            source="admin",
            exception=code_location.name(error or Exception),
            raised_at=code_location.raised_at(error.__traceback__ if error else None),
        )
        return problem.answer(problem.INTERNAL)

    async def _recorded(
        self, request: Request, response: StreamResponse, caller: str, request_id: str
    ) -> StreamResponse:
        """Record the call; return its response, or a refusal where that failed."""
        resource = request.match_info.route.resource
        entry: dict[str, str | int] = {
            "request_id": request_id,
            "method": request.method if request.method in METHODS else OTHER_METHOD,
            # The path of a request may hold anything; the pattern of a route does not.
            "route": resource.canonical if resource is not None else "",
            "status": response.status,
            "error": response.headers.get("Sealyard-Error", ""),
            "caller": caller,
            "peer": request.remote or "",
        }
        entry = {key: value for key, value in entry.items() if value != ""}
        # Requests refused for their rate must not fill the disk.
        record = self._gate.record if self._gate is not None else None
        if record is not None and response.status != problem.TOO_MANY.status:
            try:
                await record(entry)
            except SealyardError:
                response = problem.answer(problem.NOT_AUDITED)
                entry |= {"status": response.status, "error": problem.NOT_AUDITED.code}
        self._reporter.report("admin.called", listener=self._name, **entry)
        return response


def _signed(response: StreamResponse, request_id: str) -> StreamResponse:
    """Return a response with the headers that each has."""
    headers = response.headers
    headers["Server"] = "sealyard"  # instead of the name and version of aiohttp
    headers.setdefault("Cache-Control", "no-store")
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Sealyard-Request-Id"] = request_id
    return response


def _refused(error: AdminError) -> Response:
    if error is problem.UNAUTHORIZED:
        return problem.answer(error, headers={"WWW-Authenticate": "Bearer"})
    waits = error in {problem.TOO_MANY, problem.NOT_REVIEWED}
    return problem.answer(error, headers={"Retry-After": policy.RETRY_AFTER} if waits else None)


def _same_origin(origins: list[str], host: str) -> bool:
    """Return whether no page of another origin sent this; browsers send Origin with each POST."""
    ours = {f"http://{host}", f"https://{host}"}
    return not origins or (len(origins) == 1 and origins[0] in ours)
