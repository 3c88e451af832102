"""Values sealed and opened by the admin API, by the rules and by hand: one and the same tokens."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.scenarios import rig
from tests.scenarios.rig import backend

from .rig import TOKENS, Running, admin
from .test_workers import everything

CANARY = "canary-value-0123456789 é"
WHERE = {"conversation": "c1", "field": "text"}
_OWN = ("Date", "Sealyard-Request-Id")


async def call(ours: Running, action: str, **said: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: ANN401 - JSON
    """Return status, headers and body of what `action` answers."""
    headers = {"Authorization": f"Bearer {TOKENS[action]}"}  # type: ignore[index]  # a scope
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{ours.url}/v1/{action}", json=said) as response,
    ):
        return response.status, dict(response.headers), await response.read()


async def sealed(ours: Running, *values: Any) -> list[str]:  # noqa: ANN401 - JSON
    status, _, body = await call(ours, "seal", values=list(values))
    assert status == 200, body
    return list(json.loads(body)["tokens"])


async def opened(ours: Running, **one: Any) -> str:  # noqa: ANN401 - JSON
    status, _, body = await call(ours, "open", tokens=[one])
    assert status == 200, body
    return str(json.loads(body)["values"][0]["value"])


async def by_hand(ours: Running, *arguments: str) -> str:
    """Return what a command of `sealyard` prints."""
    command = rig.command(ours.folder)
    command[command.index("serve") :] = [arguments[0], "--config", "sealyard.yaml"]
    command += ["--conversation", "c1", "--field", "text", "--", arguments[1]]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        capture_output=True,
        cwd=ours.folder,
        env=rig.environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


async def refusals(ours: Running, many: int) -> set[str]:
    """Return of which calls the audit log says that a token did not open, once it says so many."""
    async with asyncio.timeout(rig.PATIENCE_SECONDS):
        while True:
            whole = ours.audit.rpartition("\n")[0]  # the last may be half
            lines = [json.loads(line) for line in whole.splitlines()]
            found = {one["request_id"] for one in lines if one["event"] == "open.refused"}
            if len(found) >= many:
                return found
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_by_each_way_sealed_by_each_way_opened(tmp_path: Path, workers: str) -> None:
    async with backend() as behind, aiohttp.ClientSession() as session:
        with admin(tmp_path, "--workers", workers, upstream=behind.port) as ours:
            await ours.served.event("server.ready")
            url = f"http://127.0.0.1:{ours.served.port}"
            async with session.post(f"{url}/a", json={"c": "c1", "text": CANARY}) as response:
                assert response.status == 200
            by_rule = json.loads(behind.bodies.pop())["text"]
            by_api, by_api_short = await sealed(
                ours,
                {**WHERE, "value": CANARY},
                {**WHERE, "value": CANARY, "form": "short"},
            )
            by_command = await by_hand(ours, "encrypt", CANARY)
            for token in (by_rule, by_api, by_api_short, by_command):
                assert await opened(ours, **WHERE, token=token) == CANARY
                assert await by_hand(ours, "decrypt", token) == CANARY
                body = {"c": "c1", "text": token}
                async with session.post(f"{url}/b", json=body) as response:
                    assert response.status == 200
                assert json.loads(behind.bodies.pop())["text"] == CANARY
            async with session.get(
                f"{ours.url}/metrics", headers={"Authorization": f"Bearer {TOKENS['read']}"}
            ) as response:
                metrics = await response.text()
            kept = everything(tmp_path)

    assert "canary" not in metrics
    assert b"canary-" not in kept
    assert ours.audit.count('"route":"/v1/open"') == 4


async def test_json_comes_back_byte_for_byte(tmp_path: Path) -> None:
    text = '{"a": 1.10, "b": 123456789012345678901234567890, "a2": "\\u00e9"}'
    with admin(tmp_path) as ours:
        await ours.served.event("server.ready")
        (token,) = await sealed(ours, {**WHERE, "value": text, "json": True})
        _, _, body = await call(ours, "open", tokens=[{**WHERE, "token": token}])

    assert json.loads(body) == {"values": [{"value": text, "json": True}]}


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_whatever_does_not_open_is_answered_alike_byte_for_byte(
    tmp_path: Path, workers: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with admin(tmp_path / "b") as other:
        await other.served.event("server.ready")
        (unknown,) = await sealed(other, {**WHERE, "value": CANARY})
    with admin(tmp_path / "a", "--workers", workers) as ours:
        await ours.served.event("server.ready")
        good, revoked = await sealed(
            ours, {**WHERE, "value": CANARY}, {**WHERE, "conversation": "c2", "value": CANARY}
        )
        headers = {"Authorization": f"Bearer {TOKENS['keys']}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{ours.url}/v1/sessions/revoke", json={"conversation": "c2"}) as response,
        ):
            assert response.status == 200
        plant = rig.command(ours.folder)
        plant[plant.index("serve") :] = ["audit", "plant", "--config", "sealyard.yaml"]
        planted = await asyncio.to_thread(
            subprocess.run, plant, capture_output=True, cwd=ours.folder, env=rig.environment()
        )
        poison = planted.stdout.decode().strip()
        asked = {
            "wrong field": {**WHERE, "field": "other", "token": good},
            "wrong conversation": {**WHERE, "conversation": "c9", "token": good},
            "wrong tenant": {**WHERE, "tenant": "clinic", "token": good},
            "tampered": {**WHERE, "token": good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB")},
            "cut": {**WHERE, "token": good[:-1]},
            "unknown key": {**WHERE, "token": unknown},
            "revoked": {**WHERE, "conversation": "c2", "token": revoked},
            "poison": {**WHERE, "token": poison},
            "no token": {**WHERE, "token": CANARY},
            "empty": {**WHERE, "token": ""},
        }
        answers, ids = {}, {}
        for name, one in asked.items():
            status, told, body = await call(
                ours, "open", tokens=[{**WHERE, "token": good}, one, {**WHERE, "token": good}]
            )
            ids[name] = told["Sealyard-Request-Id"]
            rest = {key: value for key, value in told.items() if key not in _OWN}
            answers[name] = status, rest, body
        alarm = await ours.served.event("poison.opened")
        still = await opened(ours, **WHERE, token=good)
        refused = await refusals(ours, len(asked))
    kept = everything(ours.folder)

    first = answers["tampered"]
    assert (first[0], first[1]["Sealyard-Error"]) == (400, "open-failed")
    assert answers == dict.fromkeys(asked, first)
    assert still == CANARY
    assert (alarm["listener"], alarm["request_id"]) == ("admin", ids["poison"])
    assert refused == set(ids.values())
    assert b"canary-" not in kept


@pytest.mark.parametrize(
    ("mode", "store", "workers", "status"),
    [
        ("ephemeral", "sqlite:keys.db", "2", 200),
        ("ephemeral", "memory", "1", 200),
        ("ephemeral", "memory", "2", 409),
        ("durable", "memory", "2", 200),
    ],
)
async def test_tokens_are_made_only_where_every_worker_opens_them(
    tmp_path: Path, mode: str, store: str, workers: str, status: int
) -> None:
    with admin(tmp_path, "--workers", workers, mode=mode, store=store) as ours:
        await ours.served.event("server.ready")
        answer, _, body = await call(ours, "seal", values=[{**WHERE, "value": CANARY}])
        assert answer == status
        if status == 200:
            (token,) = json.loads(body)["tokens"]
            assert await opened(ours, **WHERE, token=token) == CANARY
