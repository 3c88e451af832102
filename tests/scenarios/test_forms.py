"""Forms through a real `sealyard serve`: the backend never sees a selected value."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import parse_qsl

import aiohttp
import pytest

from tests.scenarios.pool import shared
from tests.scenarios.rig import backend

RULES = """\
      - name: form
        match: POST /api/messages/{id}
        conversation: path:id
        request: {encrypt: ["form:content", "optional form:note"]}
        response: {decrypt: "form:content", on_error: keep}
"""
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_form_is_sealed_on_its_way_in_and_opened_on_its_way_out(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with backend() as behind, aiohttp.ClientSession() as session:
        async with shared(tmp_path, behind.port, rules=RULES) as ours:
            url = f"http://127.0.0.1:{ours.port}/api/messages/c1"
            body = f"a=%7e+&content={canary}+%26+%C3%A9&b&note={canary}&"
            async with session.post(url, data=body, headers=FORM) as response:
                answer = await response.text()
                assert response.status == 200

            refused = {}
            for spelled in (
                f"content=x&content={canary}",
                f"content=x&content%5B%5D={canary}",
                f"content=x&Content={canary}",
                f"content=x&%2563ontent={canary}",
                f"content=x;content={canary}",
                f"note={canary}",
            ):
                async with session.post(url, data=spelled, headers=FORM) as response:
                    refused[spelled] = response.status, await response.text()
            async with session.post(
                f"{url}?content={canary}", data="content=x", headers=FORM
            ) as one:
                refused["query"] = one.status, await one.text()
        log = ours.log.read_text()

    assert len(behind.bodies) == 1
    sealed = behind.bodies[0].decode()
    assert sealed.startswith("a=%7e+&content=eyJ0eXAiOiJzeTEi")
    assert "&b&note=eyJ0eXAiOiJzeTEi" in sealed
    assert sealed.endswith("&")
    assert canary not in sealed
    assert canary not in log
    opened = dict(parse_qsl(answer, keep_blank_values=True))
    assert opened["content"] == f"{canary} & é"
    assert opened["note"].startswith("eyJ0eXAiOiJzeTEi")
    assert {status for status, _ in refused.values()} == {400}
    assert not any(canary in text for _, text in refused.values())


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data; boundary=x",
        "application/x-ndjson",
        "text/plain",
        "text/xml",
        "application/xml",
        "application/soap+xml",
        "application/protobuf",
        "application/x-protobuf",
        "application/grpc",
    ],
)
async def test_what_is_not_read_is_refused_before_it_is_sent(tmp_path: Path, kind: str) -> None:
    async with (
        backend() as behind,
        aiohttp.ClientSession() as session,
        shared(tmp_path, behind.port, rules=RULES) as ours,
    ):
        url = f"http://127.0.0.1:{ours.port}/api/messages/c1"
        async with session.post(
            url, data="content=secret", headers={"Content-Type": kind}
        ) as response:
            assert response.status == 415

    assert behind.bodies == []
