"""Google Cloud KMS: a double that does what the published API says. The real one was not tried."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.config.settings.roots.gcp_kms import GcpFederation, GcpKmsOptions
from proxy.core.errors import KeyringError
from proxy.keys.keyring.roots.gcp_kms import GcpKmsRoot, crc32c
from tests.contracts import root_service
from tests.keys.keyring.roots.json_service import Asked, Refused, served
from tests.servers import free_port

ID = "A" * 22
CANARY = b"canary of a root key"
RING = "projects/p/locations/europe-west3/keyRings/r/cryptoKeys"
AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b"
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        # RFC 3720, appendix B.4; the last is the check value of the catalogue of parametrised CRCs.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_the_checksum_is_that_of_the_rfc(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class CloudKms:
    """Keys by their resource names, and the tokens that may use them."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.keys = {f"{RING}/{name}": AESGCM(os.urandom(32)) for name in ("one", "other")}
        self.token = "canary-of-a-token"
        self.changes: dict[str, object] = {}
        self.refusal: Refused | None = None
        self.period = "7776000s"

    def answer(self, asked: Asked) -> object:
        """Answer as cloudkms, sts, iamcredentials and the metadata server."""
        if asked.path == TOKEN:
            assert asked.headers["metadata-flavor"] == "Google"
            assert asked.query == {"scopes": ["https://www.googleapis.com/auth/cloudkms"]}
            return {"access_token": self.token, "expires_in": 3599, "token_type": "Bearer"}
        if asked.path == "/v1/token":
            return self._exchange(asked.form())
        if asked.path.endswith(":generateAccessToken"):
            assert asked.headers["authorization"] == "Bearer federated"
            assert asked.json()["scope"] == ["https://www.googleapis.com/auth/cloudkms"]
            return {"accessToken": self.token, "expireTime": "2026-11-27T20:00:00Z"}
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            raise Refused(401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}})
        if self.refusal is not None:
            raise self.refusal
        name, _, action = asked.path.removeprefix("/v1/").partition(":")
        if name not in self.keys:
            raise Refused(404, {"error": {"code": 404, "status": "NOT_FOUND"}})
        if not action:
            return {"name": name, **({"rotationPeriod": self.period} if self.period else {})}
        return {**self._done(self.keys[name], action, asked.json()), **self.changes}

    def _exchange(self, form: dict[str, str]) -> object:
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
        assert form["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
        assert form["audience"] == AUDIENCE
        if form["subject_token"] != "a.b.c":
            raise Refused(400, {"error": "invalid_grant"})
        alone = form["scope"] == "https://www.googleapis.com/auth/cloudkms"
        return {"access_token": self.token if alone else "federated", "token_type": "Bearer"}

    def _done(self, key: AESGCM, action: str, body: dict[str, Any]) -> dict[str, object]:
        given = "plaintext" if action == "encrypt" else "ciphertext"
        assert set(body) == {
            *(given, f"{given}Crc32c"),
            *("additionalAuthenticatedData", "additionalAuthenticatedDataCrc32c"),
        }
        data, aad = (base64.b64decode(body[one]) for one in (given, "additionalAuthenticatedData"))
        for name, content in ((given, data), ("additionalAuthenticatedData", aad)):
            if body[f"{name}Crc32c"] != str(crc32c(content)):
                raise Refused(400, {"error": {"status": "INVALID_ARGUMENT"}})
        if action == "encrypt":
            iv = os.urandom(12)
            made = iv + key.encrypt(iv, data, aad)
            return {
                "name": "a/version",
                "ciphertext": b64(made),
                "ciphertextCrc32c": str(crc32c(made)),
                "verifiedPlaintextCrc32c": True,
                "verifiedAdditionalAuthenticatedDataCrc32c": True,
                "protectionLevel": "HSM",
            }
        try:
            opened = key.decrypt(data[:12], data[12:], aad)
        except (InvalidTag, ValueError):
            raise Refused(400, {"error": {"status": "INVALID_ARGUMENT"}}) from None
        return {"plaintext": b64(opened), "plaintextCrc32c": str(crc32c(opened))}

    def root(self, key: str = "one", **changes: Any) -> GcpKmsRoot:  # noqa: ANN401 - as `replace`
        """Return a root with a token of the metadata server."""
        options = GcpKmsOptions(f"{RING}/{key}", None, self.url, self.url, self.url)
        return GcpKmsRoot(replace(options, **changes), {}, self.url)


@pytest.fixture
def kms() -> Iterator[CloudKms]:
    made = CloudKms()
    with served(made.answer) as (made.url, made.asked):
        yield made


def test_it_holds_the_contract_of_roots(kms: CloudKms, tmp_path: Path) -> None:
    root_service.holds_the_contract(kms.root(), kms.root("other"), tmp_path)


@pytest.mark.parametrize("account", ["", "sealyard@p.iam.gserviceaccount.com"])
def test_a_token_of_another_platform_is_exchanged(
    kms: CloudKms, tmp_path: Path, account: str
) -> None:
    token = tmp_path / "token"
    root = kms.root(federation=GcpFederation(AUDIENCE, str(token), account))
    with pytest.raises(KeyringError, match="No such file"):
        root.wrap(CANARY, ID)
    token.write_text("x.y.z")
    with pytest.raises(KeyringError, match="the exchange of the token: status 400, no token"):
        root.wrap(CANARY, ID)
    token.write_text("a.b.c\n")  # a rotated token is used at once

    assert root.unwrap(root.wrap(CANARY, ID), ID) == CANARY
    acted = [one.path for one in kms.asked if one.path.endswith(":generateAccessToken")]
    assert acted == [f"/v1/projects/-/serviceAccounts/{account}:generateAccessToken"] * (
        2 if account else 0
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"plaintextCrc32c": "1"}, "the checksum of the plaintext is wrong"),
        ({"plaintextCrc32c": None}, "the checksum of the plaintext is wrong"),
        ({"plaintext": b64(b"other")}, "the checksum of the plaintext is wrong"),
        ({"plaintext": "canary!"}, "the answer has no plaintext"),
        ({"plaintext": None}, "the answer has no plaintext"),
    ],
)
def test_what_was_changed_on_its_way_is_refused(
    kms: CloudKms, changes: dict[str, object], reason: str
) -> None:
    members = kms.root().wrap(CANARY, ID)
    kms.changes = changes
    with pytest.raises(KeyringError, match=reason):
        kms.root().unwrap(members, ID)


@pytest.mark.parametrize(
    "changes",
    [
        {"verifiedPlaintextCrc32c": False},
        {"verifiedAdditionalAuthenticatedDataCrc32c": False},
        {"ciphertextCrc32c": "1"},
    ],
)
def test_a_wrapping_that_was_not_verified_is_not_made(
    kms: CloudKms, changes: dict[str, object]
) -> None:
    kms.changes = changes
    with pytest.raises(KeyringError, match="Cloud KMS"):
        kms.root().wrap(CANARY, ID)


@pytest.mark.parametrize(
    ("status", "found", "reason"),
    [
        (403, {"error": {"status": "PERMISSION_DENIED", "message": "canary"}}, "denied"),
        (400, {"error": {"status": "FAILED_PRECONDITION"}}, "disabled or destroyed"),
        (503, {"error": {"status": "UNAVAILABLE"}}, "decrypt: UNAVAILABLE"),
        (429, {"error": {"status": "canary \n"}}, "decrypt: status 429"),
        (500, b"canary", "decrypt: status 500"),
        (302, {}, "decrypt: status 302"),
        (200, [], "no plaintext"),
        (200, b"x" * 70_000, "more than"),
    ],
)
def test_answers_that_open_nothing_have_a_reason_and_show_nothing(
    kms: CloudKms, status: int, found: object, reason: str
) -> None:
    members = kms.root().wrap(CANARY, ID)
    kms.refusal = Refused(status, found)
    with pytest.raises(KeyringError) as refused:
        kms.root().unwrap(members, ID)
    assert reason in str(refused.value)
    assert "canary" not in str(refused.value)
    assert kms.token not in str(refused.value) + repr(kms.root())
    assert "/elsewhere" not in [one.path for one in kms.asked]


def test_a_token_that_would_make_a_header_of_its_own_is_not_sent(kms: CloudKms) -> None:
    kms.token = "a\r\nX: y"
    with pytest.raises(KeyringError, match="the metadata server: status 200, no token"):
        kms.root().wrap(CANARY, ID)


def test_a_service_that_is_gone_has_a_reason() -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    root = GcpKmsRoot(GcpKmsOptions(f"{RING}/one", endpoint=gone), {}, gone)
    with pytest.raises(KeyringError, match="refuses connections"):
        root.wrap(CANARY, ID)


def test_doctor_says_whether_the_key_is_rotated(kms: CloudKms) -> None:
    assert [one.verdict for one in kms.root().examine()] == ["ok"]
    kms.period = ""
    assert [one.verdict for one in kms.root().examine()] == ["warning"]
    kms.refusal = Refused(403, {"error": {"status": "PERMISSION_DENIED"}})
    (found,) = kms.root().examine()
    assert (found.verdict, "denied" in found.text) == ("unknown", True)
