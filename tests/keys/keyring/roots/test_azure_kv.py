"""Azure Key Vault and Managed HSM: a double that does what the published API says.

The real ones were not tried.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.config.settings.roots.azure_kv import AzureKvOptions
from proxy.core.crypto import base64url
from proxy.core.errors import KeyringError
from proxy.keys.keyring.roots.azure_kv import AzureKvRoot
from tests.contracts import root_service
from tests.keys.keyring.roots.json_service import Asked, Refused, served
from tests.servers import free_port

ID = "A" * 22
CANARY = b"canary of a root key"
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
AUDIENCE = "https://vault.azure.net"


def b64(data: bytes) -> str:
    return base64url.encode(data).decode()


def unb64(text: str) -> bytes:
    return base64url.decode(text.encode())


class KeyVault:
    """Versions of keys, all RSA or all AES, and the tokens that may use them."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.versions: dict[str, list[str]] = {"one": [], "other": []}
        self.keys: dict[str, Any] = {}
        self.token = "canary-of-a-token"
        self.refusal: Refused | None = None
        self.changes: dict[str, object] = {}
        self.policy: dict[str, object] = {"lifetimeActions": [{"action": {"type": "Rotate"}}]}
        for name in self.versions:
            self.rotate(name)

    def rotate(self, name: str) -> str:
        """Give a key another version; an AES and an RSA key each."""
        version = os.urandom(16).hex()
        self.versions[name].append(version)
        self.keys[version] = (rsa.generate_private_key(65537, 2048), AESGCM(os.urandom(32)))
        return version

    def answer(self, asked: Asked) -> object:
        """Answer as the vault, as Microsoft Entra and as the instance metadata."""
        if asked.path == "/metadata/identity/oauth2/token":
            assert asked.headers["metadata"] == "true"
            assert asked.query["api-version"] == ["2018-02-01"]
            assert asked.query["resource"] == [AUDIENCE]
            return {"access_token": self.token, "token_type": "Bearer"}
        if asked.path == "/tenant/oauth2/v2.0/token":
            return self._assertion(asked.form())
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            raise Refused(401, {"error": {"code": "Unauthorized"}})
        assert asked.query == {"api-version": ["7.4"]}
        if self.refusal is not None:
            raise self.refusal
        _, _, name, *rest = asked.path.split("/")
        if rest == ["rotationpolicy"]:
            return self.policy
        if not rest and asked.method == "GET":
            return {"key": {"kid": f"{self.url}/keys/{name}/{self.versions[name][-1]}"}}
        version, action = rest
        if version not in self.versions.get(name, ()):
            raise Refused(404, {"error": {"code": "KeyNotFound"}})
        kid = f"{self.url}/keys/{name}/{version}"
        return {"kid": kid, **self._done(self.keys[version], action, asked.json()), **self.changes}

    def _assertion(self, form: dict[str, str]) -> object:
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"].endswith(":client-assertion-type:jwt-bearer")
        assert form["scope"] == f"{AUDIENCE}/.default"
        assert form["client_id"] == "client"
        if form["client_assertion"] != "a.b.c":
            raise Refused(400, {"error": "invalid_client"})
        return {"access_token": self.token, "token_type": "Bearer", "expires_in": 3599}

    def _done(self, key: Any, action: str, body: dict[str, str]) -> dict[str, object]:  # noqa: ANN401 - two keys
        private, aes = key
        value = unb64(body["value"])
        try:
            if action in {"wrapkey", "unwrapkey"}:
                assert (set(body), body["alg"]) == ({"alg", "value"}, "RSA-OAEP-256")
                if action == "wrapkey":
                    return {"value": b64(private.public_key().encrypt(value, OAEP))}
                return {"value": b64(private.decrypt(value, OAEP))}
            assert body["alg"] == "A256GCM"
            aad = unb64(body["aad"])
            if action == "encrypt":
                assert set(body) == {"alg", "value", "aad"}
                iv = os.urandom(12)
                made = aes.encrypt(iv, value, aad)
                tag = {"tag": b64(made[-16:]), "aad": body["aad"]}
                return {"value": b64(made[:-16]), "iv": b64(iv), **tag}
            assert (action, set(body)) == ("decrypt", {"alg", "value", "aad", "iv", "tag"})
            opened = aes.decrypt(unb64(body["iv"]), value + unb64(body["tag"]), aad)
            return {"value": b64(opened)}
        except (ValueError, InvalidTag):
            raise Refused(400, {"error": {"code": "BadParameter"}}) from None

    def root(self, key: str = "one", **changes: Any) -> AzureKvRoot:  # noqa: ANN401 - as `replace`
        """Return a root with the machine's managed identity."""
        options = AzureKvOptions(self.url, key, audience=AUDIENCE)
        return AzureKvRoot(replace(options, **changes), {}, self.url)


@pytest.fixture
def vault() -> Iterator[KeyVault]:
    made = KeyVault()
    with served(made.answer) as (made.url, made.asked):
        yield made


@pytest.mark.parametrize("mechanism", ["RSA-OAEP-256", "A256GCM"])
def test_it_holds_the_contract_of_roots(vault: KeyVault, tmp_path: Path, mechanism: str) -> None:
    root, other = (vault.root(name, mechanism=mechanism) for name in ("one", "other"))
    root_service.holds_the_contract(root, other, tmp_path)


@pytest.mark.parametrize("mechanism", ["RSA-OAEP-256", "A256GCM"])
def test_after_a_rotation_old_wrappings_open_and_new_ones_use_the_new_version(
    vault: KeyVault, mechanism: str
) -> None:
    root = vault.root(mechanism=mechanism)
    before = root.wrap(CANARY, ID)
    new = vault.rotate("one")
    after = root.wrap(CANARY, ID)

    assert (before["version"], after["version"]) == (vault.versions["one"][0], new)
    assert root.unwrap(before, ID) == root.unwrap(after, ID) == CANARY


def test_workload_identity_shows_the_token_of_the_service_account(
    vault: KeyVault, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("x.y.z")
    environ = {
        "AZURE_FEDERATED_TOKEN_FILE": str(token),
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": "client",
    }
    options = replace(vault.root().options, authority=vault.url)
    root = AzureKvRoot(options, environ, "http://127.0.0.1:1")
    with pytest.raises(KeyringError, match="workload identity: status 400, no token"):
        root.wrap(CANARY, ID)
    token.write_text("a.b.c\n")
    assert root.unwrap(root.wrap(CANARY, ID), ID) == CANARY

    environ["AZURE_AUTHORITY_HOST"] = vault.url
    with pytest.raises(KeyringError, match="not encrypted"):
        AzureKvRoot(replace(options, authority=""), environ).wrap(CANARY, ID)


def test_one_of_several_managed_identities_is_named(vault: KeyVault) -> None:
    client = "12345678-1234-1234-1234-123456789012"
    root = vault.root(client=client)
    assert root.unwrap(root.wrap(CANARY, ID), ID) == CANARY
    asked = [one for one in vault.asked if one.path.startswith("/metadata")]
    assert {one.query["client_id"][0] for one in asked} == {client}


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "../../secrets/other"},
        {"version": "A" * 32},
        {"version": ""},
        {"mechanism": "A256GCM"},
        {"ct": "AAAA="},
        {"vault": "https://evil.example"},
    ],
)
def test_a_wrapping_names_no_path_and_no_other_vault(
    vault: KeyVault, changes: dict[str, str]
) -> None:
    members = {**vault.root().wrap(CANARY, ID), **changes}
    before = len(vault.asked)
    with pytest.raises(KeyringError):
        vault.root().unwrap(members, ID)
    assert len(vault.asked) == before


@pytest.mark.parametrize(
    ("status", "found", "reason"),
    [
        (403, {"error": {"code": "Forbidden", "message": "canary"}}, "denied"),
        (
            403,
            {"error": {"code": "Forbidden", "innererror": {"code": "KeyDisabled"}}},
            "the key is disabled",
        ),
        (403, {"error": {"code": "Forbidden", "innererror": {"code": "Odd"}}}, "denied"),
        (429, {"error": {"code": "Throttled"}}, "unwrapkey: Throttled"),
        (500, {"error": {"code": "canary 1"}}, "unwrapkey: status 500"),
        (500, b"canary", "unwrapkey: status 500"),
        (302, {}, "unwrapkey: status 302"),
        (200, {}, "the answer has no value"),
        (200, {"value": "canary="}, "the answer has no value"),
        (200, {"value": "AAAA"}, "does not open"),
    ],
)
def test_answers_that_open_nothing_have_a_reason_and_show_nothing(
    vault: KeyVault, status: int, found: object, reason: str
) -> None:
    members = vault.root().wrap(CANARY, ID)
    vault.refusal = Refused(status, found)
    with pytest.raises(KeyringError) as refused:
        vault.root().unwrap(members, ID)
    assert reason in str(refused.value)
    assert "canary" not in str(refused.value)
    assert vault.token not in str(refused.value) + repr(vault.root())
    assert "/elsewhere" not in [one.path for one in vault.asked]


def test_a_wrapping_that_does_not_open_is_not_made(vault: KeyVault) -> None:
    vault.changes = {"value": b64(bytes(256))}
    with pytest.raises(KeyringError, match="does not open"):
        vault.root().wrap(CANARY, ID)


def test_a_key_without_a_version_is_not_used(vault: KeyVault) -> None:
    vault.versions["one"] = ["latest"]
    with pytest.raises(KeyringError, match="has no version"):
        vault.root().wrap(CANARY, ID)


def test_a_vault_that_is_gone_has_a_reason() -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(KeyringError, match="refuses connections"):
        AzureKvRoot(AzureKvOptions(gone, "one", audience=AUDIENCE), {}, gone).wrap(CANARY, ID)


def test_doctor_says_whether_the_key_is_rotated(vault: KeyVault) -> None:
    assert [one.verdict for one in vault.root().examine()] == ["ok"]
    vault.policy = {"lifetimeActions": [{"action": {"type": "Notify"}}]}
    assert [one.verdict for one in vault.root().examine()] == ["warning"]
    vault.refusal = Refused(403, {"error": {"code": "Forbidden"}})
    (found,) = vault.root().examine()
    assert (found.verdict, "denied" in found.text) == ("unknown", True)
