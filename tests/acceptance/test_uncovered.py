"""`observe` and `explain` find every write of each backend that no rule of its example takes."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.config.load import load
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.explain.explanation import Explanation, Wanted
from proxy.demo.screen import search
from proxy.explaining import trial
from tests.servers import serving

from .compared import NODE_FOLDER, files_of, needs_node
from .conftest import KINTO, PASSPHRASE, ROOT, sidecar
from .llm_scene import metrics_of
from .node_chat import Chat
from .records import BACKENDS
from .write_routes import Route, isso, listed, of_kinto, of_node, openai, synapse

pytestmark = pytest.mark.acceptance

COMMAND = (sys.executable, "-P", "-m", "proxy")
ENVIRON = {"SEALYARD_PASSPHRASE": PASSPHRASE}
COLLECTION = "/api/collections/messages/records"
ROUTES: dict[str, Callable[[Path], set[Route]]] = {
    "apollo": listed("POST /graphql\nPOST /files/x1y2"),
    "directus": listed(
        """
        POST,PATCH,DELETE /items/messages
        PATCH,DELETE /items/messages/x1y2
        POST,PATCH,DELETE /items/other
        POST,PATCH,DELETE /files
        PATCH,DELETE /files/x1y2
        POST /files/import
        POST /utils/import/messages
        POST /utils/export/messages
        POST /utils/sort/messages
        POST /utils/revert/x1y2
        POST /versions
        POST /versions/x1y2/save
        POST /versions/x1y2/promote
        POST,PATCH,DELETE /comments
        POST,PATCH,DELETE /collections
        POST,PATCH /fields/messages
        POST /schema/apply
        POST /schema/diff
        POST,PATCH,DELETE /users
        POST,PATCH,DELETE /flows
        POST /flows/trigger/x1y2
        POST,PATCH,DELETE /operations
        POST,PATCH,DELETE /presets
        POST,PATCH,DELETE /permissions
        POST,PATCH,DELETE /roles
        PATCH /settings
        POST /graphql
        POST /graphql/system
        POST /auth/login
        POST /auth/refresh
        POST /auth/logout
        POST /auth/password/request
        """
    ),
    "django": listed(
        """
        POST /api/messages/
        PUT,PATCH,DELETE /api/messages/x1y2/
        POST /api/token/
        POST /api/token/refresh/
        POST /admin/login/
        POST /admin/logout/
        POST /admin/clinic/message/
        POST /admin/clinic/message/add/
        POST /admin/clinic/message/x1y2/change/
        POST /admin/clinic/message/x1y2/delete/
        """
    ),
    "fastapi": listed(
        """
        POST /api/v1/messages
        POST /api/v1/enhanced-messages/group
        PUT /api/v1/enhanced-messages/x1y2
        POST /api/v1/enhanced-messages/upload
        """
    ),
    "feathers": listed(
        """
        POST,PATCH,DELETE /messages
        PUT,PATCH,DELETE /messages/x1y2
        POST /socket.io/
        """
    ),
    "graphql": listed("POST /graphql"),
    "isso": isso,
    "json-server": listed(
        """
        POST /messages
        PUT,PATCH,DELETE /messages/x1y2
        POST /rooms/x1y2/messages
        """
    ),
    "kinto": of_kinto,
    "matrix": synapse,
    "ntfy": listed(
        """
        POST,PUT /
        POST,PUT /topic
        POST,PUT,DELETE /v1/account
        POST /v1/account/token
        PATCH,DELETE /v1/account/token
        POST /v1/account/password
        PATCH /v1/account/settings
        POST,DELETE /v1/account/subscription
        PATCH /v1/account/subscription
        POST /v1/account/reservation
        DELETE /v1/account/reservation/x1y2
        POST /v1/account/billing/subscription
        PUT,DELETE /v1/account/billing/subscription
        POST /v1/account/billing/portal
        POST /v1/account/billing/webhook
        PUT,DELETE /v1/account/phone
        PUT /v1/account/phone/verify
        POST,PUT,DELETE /v1/users
        POST,PUT,DELETE /v1/users/access
        POST,DELETE /v1/webpush
        POST /_matrix/push/v1/notify
        POST,PUT,DELETE /topic/x1y2
        PUT /topic/x1y2/clear
        PUT /topic/x1y2/read
        """
    ),
    "openai": openai,
    "parse": of_node("parse", "/parse", className="Message"),
    "pocketbase": listed(
        f"""
        POST {COLLECTION}
        PATCH,DELETE {COLLECTION}/x1y2
        POST,PATCH,DELETE /api/collections/other/records
        POST /api/batch
        POST /api/realtime
        POST /api/collections
        PUT /api/collections/import
        PATCH,DELETE /api/collections/messages
        DELETE /api/collections/messages/truncate
        POST /api/collections/users/records
        PATCH,DELETE /api/collections/users/records/x1y2
        POST /api/collections/users/auth-with-password
        POST /api/collections/users/auth-with-oauth2
        POST /api/collections/users/auth-with-otp
        POST /api/collections/users/auth-refresh
        POST /api/collections/users/request-otp
        POST /api/collections/users/request-verification
        POST /api/collections/users/confirm-verification
        POST /api/collections/users/request-password-reset
        POST /api/collections/users/confirm-password-reset
        POST /api/collections/users/request-email-change
        POST /api/collections/users/confirm-email-change
        POST /api/collections/users/impersonate/x1y2
        POST /api/oauth2-redirect
        PATCH /api/settings
        POST /api/settings/test/s3
        POST /api/settings/test/email
        POST /api/settings/apple/generate-client-secret
        POST /api/files/token
        POST /api/backups
        DELETE /api/backups/x1y2
        POST /api/backups/upload
        POST /api/sql
        POST /api/backups/x1y2/restore
        DELETE /api/logs
        POST /api/crons/x1y2
        """
    ),
    "pouchdb": of_node("pouchdb", "", db="clinic"),
    "socketio": listed("POST /socket.io/"),
    "wordpress": listed(
        """
        POST /wp-json/wp/v2/comments
        POST,PUT,PATCH,DELETE /wp-json/wp/v2/comments/x1y2
        POST /wp-json/wp/v2/posts
        POST,PUT,PATCH,DELETE /wp-json/wp/v2/posts/x1y2
        POST /wp-json/wp/v2/media
        POST,PUT,PATCH,DELETE /wp-json/wp/v2/users/x1y2
        POST,PUT,PATCH /wp-json/wp/v2/settings
        POST /wp-json/batch/v1
        POST /wp-comments-post.php
        POST /wp-login.php
        POST /wp-admin/admin-ajax.php
        POST /xmlrpc.php
        """
    ),
}
NEEDED = {
    "isso": ROOT / ".venv-isso",
    "kinto": KINTO,
    "matrix": ROOT / ".venv-synapse",
    "openai": ROOT / ".venv-openai",
    "parse": NODE_FOLDER / "node_modules",
    "pouchdb": NODE_FOLDER / "node_modules",
}
"""What must be installed to read the routes of a backend."""


OBSERVING = {
    "unmatched: reject": "unmatched: pass",
    "defaults: {": "defaults: {mode: observe, ",
    "    defaults:\n": "    defaults:\n      mode: observe\n",
    "      mode: permissive until 2027-03-31\n": "",  # clinic.yaml has a mode of its own
    "redis://redis:6379/0": "memory",
}
"""What makes an example observe."""


class Sink:
    """A backend that takes anything."""

    async def answer(self, request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({})

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_route("*", "/{tail:.*}", self.answer)
        return made


def fits(route: Route, row: dict[str, str]) -> bool:
    """Return whether a report of `observed` is of a route."""
    method, path = route
    shown, given = row["shape"].split("/"), path.split("/")
    if shown[-1] == "**":
        shown = shown[:-1]
        given = given[: len(shown)]
    alike = len(shown) == len(given) and all(
        one in {"*", other} for one, other in zip(shown, given, strict=True)
    )
    return alike and row["method"] == method


async def explained(folder: Path, messages: Iterable[Wanted]) -> list[Explanation]:
    """Return what `sealyard explain` tells of each request."""
    (listener,) = load(folder / "sealyard.yaml", ENVIRON).settings.listeners
    table = RuleTable(listener.rules, pass_unmatched=listener.pass_unmatched)
    return [(await trial.explain(listener, one, table=table)).request for one in messages]


async def uncovered(folder: Path, routes: set[Route]) -> set[Route]:
    """Return the routes that no rule takes, as `sealyard explain` tells."""
    writes, body = sorted(routes), b"{}"
    told = await explained(
        folder, [Wanted(*one, trial.with_json_type((), body), body) for one in writes]
    )
    return {route for route, one in zip(writes, told, strict=True) if one.rule is None}


def observed(folder: Path) -> list[dict[str, Any]]:
    """Return what `sealyard status --leaks` reports of messages that no rule covers."""
    ended = subprocess.run(
        [*COMMAND, "status", "--leaks", "--json", "--config", "sealyard.yaml"],
        env={**os.environ, **ENVIRON, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert ended.returncode in {0, 1}, ended.stderr.decode()
    rows: list[dict[str, Any]] = json.loads(ended.stdout)["uncovered"]
    return rows


def test_each_backend_has_its_routes() -> None:
    assert ROUTES.keys() == BACKENDS.keys()


@needs_node
@pytest.mark.parametrize("name", BACKENDS)
async def test_writes_that_no_rule_takes_are_found(name: str, tmp_path: Path) -> None:
    if name in NEEDED and not NEEDED[name].exists():
        pytest.skip(f"{name} is not installed: `./dev test tests/acceptance` does it")
    for folder in ("routes", "sealyard"):
        (tmp_path / folder).mkdir()
    routes, place = ROUTES[name](tmp_path / "routes"), tmp_path / "sealyard"
    canary = f"canary{secrets.token_hex(8)}"
    example = f"{BACKENDS[name].example or name}.yaml"
    async with serving(Sink().app()) as backend:
        with sidecar(place, example, backend, changes=OBSERVING) as front:
            by_explain = await uncovered(place, routes)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{front.port}") as session:
                for method, path in sorted(routes):
                    async with session.request(method, path, json={"text": canary}) as answer:
                        assert answer.status == 200, (method, path, await answer.text())
            rows = observed(place)
            metrics = await metrics_of(place)

    assert [one for one in by_explain if not any(fits(one, row) for row in rows)] == []
    assert sum(row["number"] for row in rows) == len(by_explain)
    assert routes - by_explain, "no rule takes any of them"
    assert search(canary, {**files_of(place), "metrics": metrics}) == []
    if "unmatched: pass" in (ROOT / "config" / "examples" / example).read_text():
        assert [one for one in by_explain if not may_pass(name, *one)] == []


def may_pass(name: str, method: str, path: str) -> bool:
    """Return whether the page of a backend says that this write passes by its example."""
    other = path != "/v1/batch" and not path.startswith("/v1/buckets/clinic/collections/messages/")
    return method == "DELETE" or (name == "kinto" and other)


YOGA = Chat(Path(__file__).parent / "graphql_node", "graphql-operations.yaml")
_MUTATIONS = "{__schema{mutationType{fields{name args{name type{ofType{inputFields{name}}}}}}}}"


async def mutations(folder: Path, canary: str) -> dict[str, str]:
    """Return a request for each mutation that a server of GraphQL Yoga says it has."""
    text = json.dumps(canary)

    def argument(one: dict[str, Any]) -> str:
        members = one["type"]["ofType"]["inputFields"]
        if members is None:
            return f"{one['name']}: {text}"
        within = ", ".join(f"{each['name']}: {text}" for each in members)
        return f"{one['name']}: {{{within}}}"

    def request(one: dict[str, Any]) -> str:
        arguments = ", ".join(map(argument, one["args"]))
        return json.dumps({"query": f"mutation {{{one['name']}({arguments}) {{id}}}}"})

    with YOGA.server(folder) as server:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"http://127.0.0.1:{server.port}/graphql", json={"query": _MUTATIONS}
            ) as answer,
        ):
            fields = (await answer.json())["data"]["__schema"]["mutationType"]["fields"]
    return {f"mutation {one['name']}": request(one) for one in fields}


async def events(_: Path, canary: str) -> dict[str, str]:
    """Return packets of Socket.IO with a text under the name that the example has, and another."""
    names = {"message:send": "content", "message:edit": "content", "note": "text"}
    return {
        f"event {name}": f"42{json.dumps([name, {'conversationId': 'c1', member: canary}])}"
        for name, member in names.items()
    }


OPERATIONS: dict[str, tuple[str, str, Callable[[Path, str], Awaitable[dict[str, str]]]]] = {
    "graphql": ("/graphql", "application/json", mutations),
    "socketio": ("/socket.io/?EIO=4&transport=polling", "text/plain;charset=UTF-8", events),
}
"""Backends with one route for all writes: its path, the type of bodies, and each write by name."""
_OUTCOME = ("operations", "would_be_sealed", "would_fail")


@YOGA.needed
@pytest.mark.parametrize("name", OPERATIONS)
async def test_operations_of_one_route_that_no_block_seals_are_found(
    name: str, tmp_path: Path
) -> None:
    path, kind, writes_of = OPERATIONS[name]
    for folder in ("server", "sealyard"):
        (tmp_path / folder).mkdir()
    canary, place = f"canary{secrets.token_hex(8)}", tmp_path / "sealyard"
    writes = await writes_of(tmp_path / "server", canary)
    assert len(writes) == 3
    headers = {"Content-Type": kind}
    messages = [
        Wanted("POST", path, ((b"Content-Type", kind.encode()),), body.encode())
        for body in writes.values()
    ]
    example = f"{BACKENDS[name].example}.yaml"
    async with serving(Sink().app()) as backend:
        with sidecar(place, example, backend, changes=OBSERVING) as front:
            told = await explained(place, messages)
            url = f"http://127.0.0.1:{front.port}{path}"
            async with aiohttp.ClientSession(headers=headers) as session:
                for body in writes.values():
                    async with session.post(url, data=body) as answer:
                        assert answer.status == 200
            metrics = await metrics_of(place)
    lines = [json.loads(line) for line in front.log.read_text().splitlines()]
    handled = [outcome(one) for one in lines if one["event"] == "message.handled"]

    assert [one["operations"] for one in handled] == list(writes)
    assert handled == [outcome(one.observed) for one in told]
    open_ones = [one["operations"] for one in handled if not one.get("would_be_sealed")]
    assert open_ones == [next(one for one in writes if one.endswith(" note"))]
    assert search(canary, {**files_of(place), "metrics": metrics}) == []


def outcome(observed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request contains and what would become of it."""
    return {name: observed[name] for name in _OUTCOME if name in observed}
