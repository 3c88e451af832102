"""Every operation of the admin API by every kind of credential: only the right ones do anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.admin.openapi import api
from proxy.config.settings import AdminScope
from proxy.config.settings.admin import ADMIN_SCOPES

from .rig import ALL, EXPIRED, TOKENS, Running, admin

NOBODY: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {"Authorization": ""},
    "wrong": {"Authorization": "Bearer wrong-token-0123456789"},
    "cut": {"Authorization": f"Bearer {ALL[:-1]}"},
    "expired": {"Authorization": f"Bearer {EXPIRED}"},
    "basic": {"Authorization": f"Basic {ALL}"},
    "query": {"X-Token": ALL},
    "jwt": {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."},
}


@dataclass(frozen=True)
class Asked:
    """One operation as it is called here."""

    method: str
    path: str
    scope: AdminScope

    @property
    def url(self) -> str:
        return self.path.replace("{id}", "alice")


def guarded() -> list[Asked]:
    found = []
    for path, methods in api()["paths"].items():
        for method, one in methods.items():
            if one.get("security") != []:
                found.append(Asked(method.upper(), path, one["x-sealyard-scope"]))
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with admin(tmp_path_factory.mktemp("matrix")) as ours:
        yield ours


async def call(running: Running, asked: Asked, headers: dict[str, str]) -> tuple[int, str]:
    """Return the status and the code of the error."""
    url = f"{running.url}{asked.url}"
    async with aiohttp.ClientSession() as session:
        body: Any = b"{}" if asked.method == "POST" else None
        async with session.request(asked.method, url, headers=headers, data=body) as response:
            return response.status, response.headers.get("Sealyard-Error", "")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_nobody_does_anything_without_the_right_credentials(running: Running) -> None:
    await running.served.event("server.ready")
    got = {
        (asked, kind): await call(running, asked, headers)
        for asked in guarded()
        for kind, headers in NOBODY.items()
    }

    assert len(got) > 150
    assert set(got.values()) == {(401, "unauthorized"), (429, "too-many-requests")}


async def test_another_scope_than_its_own_does_nothing(running: Running) -> None:
    await running.served.event("server.ready")
    successes = []
    for asked in guarded():
        for scope in ADMIN_SCOPES:
            if scope != asked.scope:
                got = await call(running, asked, bearer(TOKENS[scope]))
                successes += [] if got == (403, "forbidden-scope") else [(asked, scope, got)]

    assert successes == []


async def test_the_own_scope_is_let_through(running: Running) -> None:
    """The calls say too little and are told so; who is let through gets no 401 and no 403."""
    await running.served.event("server.ready")
    refused = {}
    for asked in guarded():
        if asked.path == "/v1/status/follow":
            continue  # it does not end
        got = await call(running, asked, bearer(TOKENS[asked.scope]))
        if got[0] in {401, 403} or got[0] >= 500:
            refused[asked] = got

    assert refused == {}


async def test_the_port_of_the_traffic_knows_none_of_it(running: Running) -> None:
    await running.served.event("server.ready")
    async with aiohttp.ClientSession() as session:
        for asked in guarded():
            url = f"http://127.0.0.1:{running.served.port}{asked.url}"
            async with session.request(asked.method, url, headers=bearer(ALL)) as response:
                error = response.headers["Sealyard-Error"]
                # Nothing listens there: after some failures the upstream is left alone.
                assert error in {"upstream-failed", "upstream-resting"}


async def test_calls_stand_in_the_audit_log_and_credentials_do_not(running: Running) -> None:
    await running.served.event("server.ready")
    await call(running, Asked("POST", "/-/reload", "reload"), bearer(TOKENS["reload"]))
    text = running.audit + running.served.log.read_text()

    assert '"admin.called"' in running.audit
    assert '"caller": "reload"' in running.audit or '"caller":"reload"' in running.audit
    assert not any(token in text for token in (ALL, EXPIRED, *TOKENS.values()))


async def test_a_new_token_counts_without_a_restart(tmp_path: Path) -> None:
    with admin(tmp_path) as ours:
        await ours.served.event("server.ready")
        asked = Asked("GET", "/v1/config", "read")
        before = await call(ours, asked, bearer("another-token-of-read-01"))
        (tmp_path / "read.token").write_text("another-token-of-read-01\n")
        await ours.served.event("config.loaded", 2)
        after = await call(ours, asked, bearer("another-token-of-read-01"))
        old = await call(ours, asked, bearer(TOKENS["read"]))

    assert (before[0], after[0], old[0]) == (401, 200, 401)
