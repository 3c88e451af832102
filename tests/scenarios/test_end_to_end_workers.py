"""End to end in two workers, over a store that tells nothing: what one is told counts in both."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from proxy.core.crypto import base64url
from tests.keys.participants.builders import a_public_key
from tests.scenarios.end_to_end import World, a_jwt, a_world
from tests.scenarios.rig import TOKEN

MANY: Final = 40
WORKERS: Final = ("--workers", "2")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, options=WORKERS) as world:
        yield world


async def on_its_own(world: World, path: str, who: str, body: Any) -> tuple[int, Any]:  # noqa: ANN401 - JSON
    """Send one message on a connection of its own, which either worker may take."""
    url = f"http://127.0.0.1:{world.ours.port}{path}"
    headers = {"Authorization": f"Bearer {a_jwt(who)}", "Connection": "close"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, json=body) as response,
    ):
        return response.status, await response.json(content_type=None)


async def by_admin(world: World, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    url = f"http://127.0.0.1:{world.ours.admin}{path}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with world.client.request(method, url, json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def sent(world: World, *to: str) -> list[str]:
    """Return the tokens of many messages, so that both workers have sealed some of them."""
    tokens = []
    for _ in range(MANY):
        message = {"to": list(to), "content": secrets.token_hex(8)}
        assert (await on_its_own(world, "/send/c1", "alice", message))[0] == 200
        tokens.append(json.loads(world.behind.bodies[-1])["content"])
    return tokens


def sids(tokens: list[str]) -> set[str]:
    heads = (base64url.decode(one.partition(".")[0].encode()) for one in tokens)
    return {json.loads(head)["kid"] for head in heads}


async def test_each_worker_has_a_key_and_each_opens_what_any_of_them_sealed(world: World) -> None:
    tokens = await sent(world, "bob")
    assert len(sids(tokens)) == 2
    for token in tokens:
        status, answer = await on_its_own(world, "/read/c1", "bob", {"content": token})
        assert (status, answer["content"] != token) == (200, True)
        assert (await on_its_own(world, "/read/c1", "eve", {"content": token}))[1] == {
            "content": token
        }


async def test_a_revoked_key_counts_in_both_at_once(world: World) -> None:
    before = sids(await sent(world, "bob", "eve"))
    told = {"kid": a_public_key("outsider-enc").kid, "reason": "lost"}
    await by_admin(world, "POST", "/v1/participants/eve/revoke", told)
    message = {"to": ["bob", "eve"], "content": "x"}
    got = [await on_its_own(world, "/send/c1", "alice", message) for _ in range(MANY)]
    assert Counter(status for status, _ in got) == {503: MANY}
    assert not sids(await sent(world, "bob")) & before


async def test_a_rotation_and_an_erasure_count_in_both_at_once(world: World) -> None:
    first = await sent(world, "bob")
    where = {"tenant": "alpha", "conversation": "c1"}
    await by_admin(world, "POST", "/v1/sessions/rotate", where)
    second = await sent(world, "bob")
    assert not sids(first) & sids(second)
    told = await by_admin(world, "DELETE", "/v1/sessions?tenant=alpha&conversation=c1")
    assert set(told["erased"]) == sids(first) | sids(second)
    for token in (first[0], second[0]) * 5:
        assert (await on_its_own(world, "/read/c1", "bob", {"content": token}))[1] == {
            "content": token
        }
    assert not sids(await sent(world, "bob")) & (sids(first) | sids(second))
