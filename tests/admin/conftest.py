"""The admin and health API over real connections, for a service that is made up."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from proxy.admin.auth.access import Access
from proxy.admin.auth.guard import Gate, Guard, Record
from proxy.admin.auth.tokens import BearerToken, Caller, Issued, Tokens
from proxy.admin.operation import scopes
from proxy.admin.routes.table import HealthRoutes, Routes
from proxy.admin.server import application
from proxy.admin.service import Reloaded, Viewer
from proxy.config.load import load
from proxy.config.settings import AdminScope, Settings, TcpAddress
from proxy.config.settings.admin import ADMIN_SCOPES
from proxy.core.crypto.context import Scope
from proxy.keys.operations.values import OnBehalf, ToOpen, ToSeal
from proxy.keys.operations.verb import At, Call, Done
from proxy.keys.operations.verbs import VERBS
from proxy.telemetry.metrics import table
from proxy.telemetry.metrics.samples import Check, Samples
from tests.factories import Ear
from tests.keys.desk import a_place

CONFIGURATION = Path(__file__).parents[2] / "config" / "sealyard.yaml"
TOKEN = "token-of-the-tests-0123456789"


@dataclass
class Everything:
    """A subject that answers what it was told to."""

    ready: bool = True
    silent: float = 0.0
    outcome: Reloaded = field(default_factory=lambda: Reloaded(accepted=True, sha256="ab"))
    broken: bool = False
    calls: list[Call] = field(default_factory=list)
    done: Done = field(
        default_factory=lambda: Done({"scope": "A" * 22, "not_before": 5, "sessions": []})
    )
    raises: Exception | None = None
    request_id: str = ""
    asked: list[ToSeal | ToOpen] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return load(CONFIGURATION, {"SEALYARD_PASSPHRASE": "x"}).settings

    def stalled(self) -> float:
        return self.silent

    async def checks(self) -> tuple[Check, ...]:
        return (Check("started", ok=True), Check("keyring", self.ready, "primary k1"))

    async def samples(self) -> Samples:
        samples = Samples()
        samples.add(table.READY, 1)
        return samples

    async def status(self) -> Mapping[str, Any]:
        if self.broken:
            raise RuntimeError("canary")
        return {"version": "0"}

    def viewer(self) -> Viewer:
        raise NotImplementedError

    async def run(self, call: Call) -> Done:
        """Answer calls about sessions as it was told to, and do the others."""
        self.calls.append(replace(call, request_id=""))
        self.request_id = call.request_id
        if self.raises is not None:
            raise self.raises
        if call.verb.startswith("sessions.") and call.verb != "sessions.package":
            return self.done
        return await VERBS[call.verb].does(self.place.of(call), **call.given)

    @property
    def place(self) -> At:
        """Where the verbs act."""
        packages = SimpleNamespace(packages=self.packages)
        return a_place(packages=packages, values=lambda: cast("Any", _Values(self.asked)))

    async def packages(self, scope: Scope, recipient: str) -> list[Any]:
        of_bob = (scope, recipient) == (Scope("clinic", "c1"), "bob")
        return [SimpleNamespace(facts=lambda one=one: one) for one in self.found if of_bob]

    async def steps(self) -> Mapping[str, Any]:
        return {"at": 5, "counted_since": 0, "kept": False, "overflown": False, "rules": []}

    async def leaks(self) -> Mapping[str, Any]:
        return {"messages": [], "values": [], "uncovered": [], "sensitive": None}

    async def reload(self) -> Reloaded:
        return self.outcome


@dataclass
class _Values:
    """Seals and opens by writing backwards."""

    asked: list[ToSeal | ToOpen]

    async def seal(self, asked: Sequence[ToSeal], _: OnBehalf) -> list[bytes]:
        self.asked += asked
        return [one.plaintext[::-1] for one in asked]

    async def open(self, asked: Sequence[ToOpen], _: str, __: OnBehalf) -> list[tuple[str, bool]]:
        self.asked += asked
        return [(one.text[::-1].decode(), False) for one in asked]


@dataclass
class Open:
    """A running listener, a way to call it, and the events that it reported."""

    client: TestClient[web.Request, web.Application]
    heard: list[tuple[str, dict[str, object]]]

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = TOKEN,
        body: bytes | io.BytesIO | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], str]:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self.client.request(method, path, headers=headers, data=body) as response:
            return response.status, dict(response.headers), await response.text()


def issued(token: str, *allowed: AdminScope, name: str = "", expires: int = 0) -> Issued:
    caller = Caller(name or token, frozenset(allowed or ADMIN_SCOPES))
    return Issued(BearerToken(token.encode()), caller, expires)


def an_access(*tokens: Issued) -> Access:
    return Access(Tokens(tokens or (issued(TOKEN, name="token"),)))


def a_guard(
    name: str,
    subject: Everything,
    ear: Ear,
    access: Access | None = None,
    record: Record | None = None,
) -> tuple[Guard, list[web.RouteDef]]:
    """Return the guard of a listener and the routes behind it."""
    routes = Routes(subject)
    endpoints = routes.admin() if name == "admin" else HealthRoutes(subject).all()
    gate = Gate(access or an_access(), scopes(endpoints), record) if name == "admin" else None
    # Its clock stands still: no limit refills while a test asks.
    guard = Guard(name, TcpAddress("127.0.0.1", 0), ear, gate=gate, clock=lambda: 0.0)
    return guard, [one.route() for one in endpoints]


Listening = Callable[..., Awaitable[Open]]


@pytest.fixture
def listening(aiohttp_client: AiohttpClient) -> Listening:
    """Run a listener by name, in front of a subject, until the test is over."""

    async def listen(
        name: str = "admin",
        subject: Everything | None = None,
        *,
        access: Access | None = None,
        record: Record | None = None,
    ) -> Open:
        ear = Ear()
        app = application(*a_guard(name, subject or Everything(), ear, access, record))
        return Open(await aiohttp_client(app), ear.heard)

    return listen


@pytest.fixture
async def ours(listening: Listening) -> Open:
    """Run the admin listener in front of a subject that answers everything."""
    return await listening()
