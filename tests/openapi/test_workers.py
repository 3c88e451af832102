"""Participants by the admin API of a supervisor, whose workers share a store."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.keys.participants.builders import a_public_key

from .rig import TOKENS, admin

KEY = a_public_key("alice-enc")
CANARY = "canary-passphrase-0123456789"


def everything(folder: Path) -> bytes:
    """Return all that was written: log, audit log and store."""
    return b"".join(one.read_bytes() for one in folder.iterdir() if one.is_file())


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_keys_are_taken_made_and_given_out_by_any_number_of_workers(
    tmp_path: Path, workers: str
) -> None:
    headers = {"Authorization": f"Bearer {TOKENS['keys']}"}
    with admin(tmp_path, "--workers", workers) as ours:
        await ours.served.event("server.ready")
        alice = f"{ours.url}/v1/participants/canary-alice"
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(f"{alice}/keys", json={"jwk": dict(KEY.required)}) as response:
                taken = response.status
            body = {"passphrase": CANARY, "use": "sig"}
            async with session.post(f"{alice}/keys", json=body) as response:
                made = response.status, (await response.json())["private"]
            body = {"kid": KEY.kid, "reason": "phone lost"}
            async with session.post(f"{alice}/revoke", json=body) as response:
                revoked = (await response.json())["status"]
            place = f"{ours.url}/v1/sessions/package?tenant=t&conversation=c&recipient=bob"
            async with session.get(place) as response:
                package = response.status
        reader = {"Authorization": f"Bearer {TOKENS['read']}"}
        async with (
            aiohttp.ClientSession(headers=reader) as session,
            session.get(f"{alice}/keys") as response,
        ):
            keys = await response.json(content_type="application/jwk-set+json")
        changed = await ours.served.event("participant.changed", 3)
        kept = everything(tmp_path)

    assert (taken, made, revoked, package) == (201, (201, True), "revoked", 404)
    assert [one["use"] for one in keys["keys"]] == ["sig"]
    assert (changed["action"], changed["kid"]) == ("revoke", KEY.kid)
    assert all(f'"participants.{one}"' in ours.audit for one in ("add", "revoke"))
    assert b"canary-" not in kept  # neither who it is nor the passphrase: log, audit log, store
