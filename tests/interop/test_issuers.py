"""Tokens of real issuers, verified by a real Sealyard that fetches their keys over TLS."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import trustme

from tests.scenarios.rig import Served, backend, served

from .conftest import HERE, NODE

pytestmark = pytest.mark.skipif(
    NODE is None or not (HERE / "node_modules" / "oidc-provider").is_dir(),
    reason="node or npm's oidc-provider is not installed: run `./dev setup`",
)
PER_SECOND: Final = 500
AT_ONCE: Final = 64
"""More would only wait in the client for each other, on a machine that is too busy for the rate."""
RULES: Final = """\
      - name: send
        match: POST /api/messages
        tenant: caller:org
        conversation: $.conversationId
        request: {encrypt: [$.content, $.note]}
"""
SENT: Final = {"conversationId": "c1", "content": "canary-content", "note": "canary-note"}


@dataclass
class Issuers:
    """Running issuers: what each has issued, and its process."""

    told: dict[str, Any]
    process: subprocess.Popen[str]
    authority: Path

    @property
    def callers(self) -> str:
        """The lines of a listener that verifies both."""
        return "    callers:\n" + "".join(
            f"      - name: {name}\n"
            "        jwt:\n"
            f"          issuer: {one['issuer']}\n"
            "          audience: messages\n"
            f"          jwks: {{url: '{one['jwks']}', ca: {self.authority}}}\n"
            f"          algorithms: [{', '.join(one['tokens'])}]\n"
            "          claims: {roles: doctor}\n"
            f"          tenants: {{claim: org, allow: [{tenant}]}}\n"
            for name, tenant in (("oidc", "clinic"), ("mock", "lab"))
            for one in (self.told[name],)
        )


@contextmanager
def issuers(folder: Path) -> Iterator[Issuers]:
    """Run both issuers under a certificate of their own."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    paths = [folder / one for one in ("issuer.pem", "issuer.key", "ca.pem")]
    paths[0].write_bytes(b"".join(one.bytes() for one in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(paths[1])
    authority.cert_pem.write_to_path(paths[2])
    process = subprocess.Popen(  # noqa: S603 - our own script, by the machine's node
        [str(NODE), "issuers.mjs", *map(str, paths)],
        cwd=HERE,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(paths[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Issuers(json.loads(process.stdout.readline()), process, paths[2])
    finally:
        process.kill()
        process.communicate()


async def send(session: aiohttp.ClientSession, one: Served, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{one.port}/api/messages"
    async with session.post(url, json=SENT, headers=headers) as answer:
        await answer.read()
        return answer.status


async def test_tokens_of_real_issuers_name_their_callers_and_tenants(tmp_path: Path) -> None:
    async with backend() as behind, aiohttp.ClientSession() as session:
        with (
            issuers(tmp_path) as known,
            served(tmp_path, behind.port, rules=RULES, listener_more=known.callers) as one,
        ):
            await one.event("server.ready")
            for name in ("oidc", "mock"):
                for alg, token in known.told[name]["tokens"].items():
                    assert await send(session, one, token) == 200, alg
                    head, _, signature = token.split(".")
                    other = known.told["mock" if name == "oidc" else "oidc"]["tokens"]["ES256"]
                    forged = f"{head}.{other.split('.')[1]}.{signature}"
                    assert await send(session, one, forged) == 401, alg
            lines = [event for event in one.events if event["event"] == "message.handled"]

    taken = [line.get("caller") for line in lines]
    assert taken == [*["oidc"] * 4, "mock"]
    assert len(behind.bodies) == 5
    assert not any(b"canary" in body for body in behind.bodies)


@pytest.mark.parametrize("away", [4.0, pytest.param(600.0, marks=pytest.mark.slow)])
async def test_an_issuer_that_is_away_fails_no_request_with_known_keys(
    away: float, tmp_path: Path
) -> None:
    statuses: list[int] = []
    async with backend() as behind, aiohttp.ClientSession() as session:
        with (
            issuers(tmp_path) as known,
            served(tmp_path, behind.port, rules=RULES, listener_more=known.callers) as one,
        ):
            await one.event("server.ready")
            tokens = list(known.told["oidc"]["tokens"].values())
            assert await send(session, one, tokens[0]) == 200
            os.kill(known.process.pid, signal.SIGSTOP)
            began, sent = time.monotonic(), 0
            under_way: set[asyncio.Task[None]] = set()

            async def once(token: str) -> None:
                statuses.append(await send(session, one, token))

            while (passed := time.monotonic() - began) < away:
                while sent < passed * PER_SECOND and len(under_way) < AT_ONCE:
                    task = asyncio.get_running_loop().create_task(once(tokens[sent % 4]))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                    sent += 1
                await asyncio.sleep(0.01)
            await asyncio.gather(*under_way)
            os.kill(known.process.pid, signal.SIGCONT)

    print(sent, "requests,", round(sent / passed), "a second")  # noqa: T201 - `-rP` measures
    assert len(statuses) == sent
    # The rate is for a machine without other work: beside much of it, 16 a second were reached.
    assert sent >= AT_ONCE
    assert [status for status in statuses if status not in {200, 503}] == []
    # 503 is only what a machine that is too busy for so many refuses, of whomever.
    assert statuses.count(503) < len(statuses) / 100
