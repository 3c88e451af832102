"""The operations on participants, over real connections and a real registry in memory."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.errors import (
    KeyMakerBusy,
    OperatorError,
    ParticipantError,
    ParticipantsUnavailable,
    SealyardError,
)
from proxy.keys.operations.verb import At
from tests.keys.operations.test_participant_operations import Rig
from tests.keys.participants.builders import a_private_jwk, a_public_jwk, a_public_key

from ..conftest import Everything, Listening, Open

ALICE = a_public_key("alice-enc").kid
PASSPHRASE = "canary-passphrase-0123"


class Registered(Everything):
    """A subject whose participants are real."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig()

    @property
    def place(self) -> At:
        """Where the verbs act."""
        return replace(self.rig.place, clock=time.time)


@pytest.fixture
async def ours(listening: Listening) -> Open:
    return await listening(subject=Registered())


async def post(ours: Open, path: str, body: Any) -> tuple[int, dict[str, str], Any]:  # noqa: ANN401 - JSON
    sent = json.dumps(body).encode()
    status, headers, text = await ours.call("POST", f"/v1/participants/{path}", body=sent)
    return status, headers, json.loads(text)


async def get(ours: Open, path: str, etag: str = "") -> tuple[int, dict[str, str], str]:
    headers = {"If-None-Match": etag} if etag else {}
    return await ours.call("GET", f"/v1/participants/{path}", body=None, **headers)


async def test_a_public_key_is_taken_and_given_out(ours: Open) -> None:
    before = json.loads((await get(ours, "alice/has-valid-keys"))[2])
    status, _, added = await post(ours, "alice/keys", {"jwk": a_public_jwk("alice-enc")})
    after = json.loads((await get(ours, "alice/has-valid-keys"))[2])
    _, headers, text = await get(ours, "alice/keys")
    listed = json.loads((await get(ours, "alice"))[2])
    nobody = json.loads((await get(ours, "bob/keys"))[2])

    assert (status, added["kid"], added["private"]) == (201, ALICE, False)
    assert (before, after) == ({"has_valid_keys": False}, {"has_valid_keys": True})
    assert json.loads(text) == {"keys": [a_public_key("alice-enc").to_jwk()]}
    assert headers["Content-Type"].startswith("application/jwk-set+json")
    assert [one["kid"] for one in listed["keys"]] == [ALICE]
    assert nobody == {"keys": []}


async def test_an_x_wing_key_that_they_made_themselves_is_taken(ours: Open) -> None:
    status, _, _ = await post(ours, "alice/keys", {"jwk": a_public_jwk("bob-xw")})
    assert status == 201
    other = {**a_public_jwk("bob-xw"), "alg": "ML-KEM-768"}
    status, _, _ = await post(ours, "alice/keys", {"jwk": other})
    assert status == 400
    _, _, text = await get(ours, "alice/keys")
    assert json.loads(text) == {"keys": [a_public_key("bob-xw").to_jwk()]}


async def test_a_key_that_nobody_accepted_is_shown_and_accepted(ours: Open) -> None:
    await post(ours, "alice/keys", {"jwk": a_public_jwk("alice-enc")})
    first = await post(ours, "alice/accept", {"kid": ALICE})
    other = {"jwk": a_public_jwk("bob-enc"), "device": "new"}
    _, _, added = await post(ours, "alice/keys", other)
    _, _, accepted = await post(ours, "alice/accept", {"kid": added["kid"]})
    unknown = await post(ours, "alice/accept", {"kid": "x" * 43})
    listed = json.loads((await get(ours, "alice"))[2])

    assert (first[0], first[2]["accepted"]) == (200, True)
    assert (added["accepted"], accepted["accepted"]) == (False, True)
    assert (unknown[0], unknown[1]["Sealyard-Error"]) == (404, "unknown-participant-key")
    assert [one["accepted"] for one in listed["keys"]] == [True, True]


async def test_a_jwk_set_is_sent_again_only_when_it_has_changed(ours: Open) -> None:
    await post(ours, "alice/keys", {"jwk": a_public_jwk("alice-enc")})
    _, first, _ = await get(ours, "alice/keys")
    same = await get(ours, "alice/keys", f'"x", W/{first["Etag"]}')
    await post(ours, "alice/keys", {"jwk": a_public_jwk("alice-sig")})
    changed = await get(ours, "alice/keys", first["Etag"])

    assert (same[0], same[2], same[1]["Etag"]) == (304, "", first["Etag"])
    assert (changed[0], changed[1]["Etag"] != first["Etag"]) == (200, True)
    assert first["Cache-Control"] == "private, max-age=300"
    assert "Expires" in first


async def test_a_jwk_set_is_kept_no_longer_than_its_keys_live(ours: Open) -> None:
    now = int(time.time())
    body = {"jwk": a_public_jwk("alice-enc"), "expires": now + 60}
    await post(ours, "alice/keys", body)
    _, headers, _ = await get(ours, "alice/keys")

    assert 50 <= int(headers["Cache-Control"].rpartition("=")[2]) <= 60


async def test_a_pair_is_made_rotated_and_handed_out_as_it_is_stored(ours: Open) -> None:
    made = await post(ours, "alice/keys", {"passphrase": PASSPHRASE, "use": "sig"})
    rotated = await post(ours, "alice/rotate", {"passphrase": PASSPHRASE, "use": "sig", "grace": 0})
    kid = rotated[2]["kid"]
    status, headers, sealed = await get(ours, f"alice/private?kid={kid}")
    listed = json.loads((await get(ours, "alice"))[2])["keys"]

    assert (made[0], rotated[0], made[2]["private"]) == (201, 201, True)
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/jose")
    assert (sealed.count("."), headers["Cache-Control"]) == (4, "no-store")
    assert [one["status"] for one in listed] == ["expired", "active"]
    assert PASSPHRASE not in str(ours.heard) + str(made) + sealed


async def test_a_pair_under_the_keyring_needs_no_passphrase(ours: Open) -> None:
    status, _, made = await post(ours, "alice/keys", {"under": "keyring", "use": "sig"})

    assert (status, made["private"], made["use"]) == (201, True, "sig")


async def test_a_revoked_key_is_never_taken_again(ours: Open) -> None:
    await post(ours, "alice/keys", {"jwk": a_public_jwk("alice-enc")})
    revoked = await post(ours, "alice/revoke", {"kid": ALICE, "reason": "phone lost"})
    again = await post(ours, "alice/keys", {"jwk": a_public_jwk("alice-enc")})

    assert (revoked[0], revoked[2]["status"], revoked[2]["reason"]) == (
        200,
        "revoked",
        "phone lost",
    )
    assert (again[0], again[1]["Sealyard-Error"]) == (409, "participant-error")
    assert "already" in again[2]["detail"]


async def test_a_key_ends_when_it_is_told_to(ours: Open) -> None:
    await post(ours, "alice/keys", {"jwk": a_public_jwk("alice-enc")})
    ended = await post(ours, "alice/expire", {"kid": ALICE})
    unknown = await post(ours, "bob/expire", {"kid": ALICE})

    assert (ended[0], ended[2]["status"]) == (200, "expired")
    assert (unknown[0], unknown[1]["Sealyard-Error"]) == (404, "unknown-participant-key")


JWK = a_public_jwk("alice-enc")
MALFORMED: list[tuple[str, Any]] = [
    ("keys", {}),
    ("keys", {"jwk": JWK, "passphrase": PASSPHRASE}),
    ("keys", {"jwk": "text"}),
    ("keys", {"jwk": {**JWK, "e": "AQAD"}}),
    ("keys", {"jwk": {"kty": "OKP", "crv": {}, "x": "x"}}),
    ("keys", {"jwk": {"kty": {}, "crv": [], "x": []}}),
    ("keys", {"jwk": {**JWK, "use": {}, "alg": [], "kid": {}}}),
    ("keys", {"jwk": a_private_jwk("alice-enc")}),
    ("keys", {"jwk": {**JWK, "use": "enc"}, "use": "sig"}),
    ("keys", {"jwk": a_public_jwk("bob-x"), "use": "sig"}),
    ("keys", {"jwk": JWK, "use": "both"}),
    ("keys", {"jwk": JWK, "expires": "tomorrow"}),
    ("keys", {"jwk": JWK, "colour": "red"}),
    ("keys", {"passphrase": 5}),
    ("keys", {"passphrase": PASSPHRASE, "under": "keyring"}),
    ("keys", {"under": "passphrase"}),
    ("rotate", {"jwk": JWK, "grace": -1}),
    ("revoke", {"kid": ALICE}),
    ("revoke", {"kid": "short", "reason": "lost"}),
    ("expire", {"kid": ALICE, "at": 0}),
]


@pytest.mark.parametrize(("path", "body"), MALFORMED)
async def test_what_is_malformed_is_not_asked(listening: Listening, path: str, body: Any) -> None:  # noqa: ANN401 - JSON
    subject = Registered()
    ours = await listening(subject=subject)
    status, headers, told = await post(ours, f"alice/{path}", body)

    assert (status, headers["Sealyard-Error"]) == (400, "malformed-call")
    assert subject.calls == []
    assert a_private_jwk("alice-enc")["d"] not in json.dumps(told)


@pytest.mark.parametrize("who", ["a" * 257, "%00", "%0A", "a%E2%80%AE"])
async def test_an_id_that_nobody_has_is_refused(ours: Open, who: str) -> None:
    assert (await get(ours, f"{who}/keys"))[0] == 400


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ParticipantError("no"), 409, "participant-error"),
        (ParticipantsUnavailable("down"), 503, "participants-unavailable"),
        (KeyMakerBusy(), 503, "key-maker-busy"),
        (OperatorError("store-not-shared"), 409, "store-not-shared"),
        (OperatorError("anything"), 500, "internal-error"),
    ],
)
async def test_what_stops_a_call_is_told_by_its_code(
    listening: Listening, error: SealyardError, status: int, code: str
) -> None:
    subject = Registered()
    subject.raises = error
    ours = await listening(subject=subject)
    answer = await get(ours, "alice/keys")

    assert (answer[0], answer[1]["Sealyard-Error"]) == (status, code)
