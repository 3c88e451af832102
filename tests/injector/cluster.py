"""A small API server: objects with resourceVersions, JSON patches, and the rights of one account.

It answers what the documentation of Kubernetes says an API server answers; it is not one.
"""

from __future__ import annotations

import asyncio
import copy
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from aiohttp import web

from proxy.injector.pod_reader import Json

TOKEN = "token-of-the-injector"
_KINDS = {
    "events": "",
    "secrets": "",
    "mutatingwebhookconfigurations": "admissionregistration.k8s.io",
}


@dataclass
class Cluster:
    """The objects by their paths, and which `(verb, resource, name)` the account may use."""

    objects: dict[str, Json] = field(default_factory=dict)
    rights: set[tuple[str, str, str]] = field(default_factory=set)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    made: asyncio.Queue[Json] = field(default_factory=asyncio.Queue)
    conflicts: int = 0
    """How many of the next updates meet a change of somebody else's."""

    def put(self, path: str, made: Json) -> None:
        """Store an object, whoever does it."""
        old = self.objects.get(path, {}).get("metadata", {}).get("resourceVersion", "0")
        metadata = {**made["metadata"], "resourceVersion": str(int(old) + 1)}
        self.objects[path] = {**made, "metadata": metadata}

    def allow(self, rules: Sequence[Json]) -> None:
        """Grant the rules of a Role or ClusterRole."""
        for rule in rules:
            for resource in rule["resources"]:
                assert rule["apiGroups"] == [_KINDS[resource]]
                for verb in rule["verbs"]:
                    names = rule.get("resourceNames", [""])
                    self.rights |= {(verb, resource, name) for name in names}

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call."""
        response = await self._answer(request)
        self.asked.append((request.method, request.path, response.status))
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        verb = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}[request.method]
        *_, resource, name = [*request.path.split("/"), *([""] if verb == "create" else [])]
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _failed(401)
        if (verb, resource, name) not in self.rights:
            return _failed(403)
        if verb == "create":
            made = await request.json()
            self.made.put_nowait(made)
            return web.json_response(made, status=201)
        found = self.objects.get(request.path)
        if found is None:
            return _failed(404)
        return _failed(code) if (code := await self._change(request, found)) else self._now(request)

    def _now(self, request: web.Request) -> web.Response:
        return web.json_response(self.objects[request.path])

    async def _change(self, request: web.Request, found: Json) -> int:
        """Do what is asked; return the status of a failure, or 0."""
        if request.method == "PUT":
            given = await request.json()
            if self.conflicts:
                self.conflicts -= 1
                self.put(request.path, found)
            there = self.objects[request.path]["metadata"]["resourceVersion"]
            if given["metadata"]["resourceVersion"] != there:
                return 409
            self.put(request.path, given)
        elif request.method == "PATCH":
            if request.content_type != "application/json-patch+json":
                return 415
            operations = await request.json()
            try:
                self.put(request.path, _patched(self.objects[request.path], operations))
            except LookupError:
                return 422
        return 0


def serve(cluster: Cluster, folder: Path) -> tuple[web.Application, ssl.SSLContext]:
    """Return the server of a cluster; write what a pod of its finds in `folder`."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(folder / "ca.crt")
    (folder / "token").write_text(TOKEN)
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", cluster.answer)
    return app, tls


def _failed(code: int) -> web.Response:
    return web.json_response({"kind": "Status", "status": "Failure", "code": code}, status=code)


def _patched(found: Json, operations: list[Json]) -> Json:
    """Apply `test` and `add` of RFC 6902; raise LookupError where one does not hold."""
    made: Any = copy.deepcopy(found)
    for one in operations:
        *way, last = one["path"].split("/")[1:]
        at = made
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        if one["op"] == "test" and at[last] != one["value"]:
            raise LookupError
        at[last] = one["value"]
    result: Json = made
    return result
