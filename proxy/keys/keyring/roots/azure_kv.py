"""Root provider `azure-kv`: a key of Azure Key Vault or of a Managed HSM wraps the root key.

https://learn.microsoft.com/rest/api/keyvault/keys/unwrap-key/unwrap-key
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from ....config.settings.roots.azure_kv import AzureKvOptions
from ....core.crypto import base64url
from ....core.crypto.aead import IV_BYTES, TAG_BYTES
from ....core.errors import KeyringError
from ....process.fitness import Finding
from ...policy import METADATA_SECONDS
from ..jwk_set import decoded
from .key_service import Answer, call, read_token, trusting
from .provider import PURPOSE, Members

_API: Final = "?api-version=7.4"
_VERSION: Final = re.compile(r"[0-9a-f]{32}")
_CODE: Final = re.compile(r"[A-Za-z]{1,64}")
_METADATA: Final = "http://169.254.169.254"
_AUTHORITY: Final = "https://login.microsoftonline.com"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_OPENS_NOT: Final = "it does not open: another keyring or key, or the wrapping was changed"
_REASONS: Final = {
    "BadParameter": _OPENS_NOT,
    "Forbidden": "denied: the identity lacks the right to use the key",
    "KeyDisabled": "the key is disabled",
    "KeyExpired": "the key has expired",
    "KeyNotFound": "there is no such key, or its version is gone",
    "Unauthorized": "the token is not accepted",
}


@dataclass(frozen=True, slots=True)
class AzureKvRoot:
    """Asks the vault to wrap and unwrap, or a Managed HSM to encrypt and decrypt.

    A256GCM authenticates the keyring's id and PURPOSE; with RSA their digest is before what is
    wrapped. The vault and the name of the key are from the configuration. The version is from the
    wrapping, in its one form: each version of a key has key material of its own.
    """

    kind: ClassVar[str] = "azure-kv"

    options: AzureKvOptions
    environ: Mapping[str, str] = field(repr=False)
    metadata: str = _METADATA

    @property
    def key(self) -> str:
        """The vault and the name of the key."""
        return f"{self.options.vault}/keys/{self.options.key}"

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        """Return the ciphertext under the latest version, after the vault has opened it again."""
        token = self._token()
        version = self._latest(token)
        bound = _bound(keyring_id)
        asked: dict[str, str] = {"alg": self.options.mechanism}
        if self._symmetric:
            asked |= {"value": _encoded(plaintext), "aad": _encoded(bound)}
            found = self._ask("encrypt", version, asked, token)
            wrapped = _member(found, "iv") + _member(found, "value") + _member(found, "tag")
        else:
            asked["value"] = _encoded(hashlib.sha256(bound).digest() + plaintext)
            wrapped = _member(self._ask("wrapkey", version, asked, token), "value")
        members = {
            "mechanism": self.options.mechanism,
            "version": version,
            "ct": _encoded(wrapped),
        }
        if self.unwrap(members, keyring_id) != plaintext:
            raise KeyringError("Azure Key Vault: what it wraps it opens as another")
        return members

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the plaintext."""
        if set(members) != {"mechanism", "version", "ct"}:
            raise KeyringError("a wrapping has missing or unknown members")
        if members["mechanism"] != self.options.mechanism:
            raise KeyringError("the wrapping was made by another mechanism than the configured one")
        version, wrapped = str(members["version"]), decoded(members["ct"])
        if not _VERSION.fullmatch(version) or wrapped is None:
            raise KeyringError("the wrapping has no ciphertext of Azure Key Vault")
        bound = _bound(keyring_id)
        asked = {"alg": self.options.mechanism}
        if self._symmetric:
            if len(wrapped) <= IV_BYTES + TAG_BYTES:
                raise KeyringError(f"Azure Key Vault: {_OPENS_NOT}")
            iv, value = wrapped[:IV_BYTES], wrapped[IV_BYTES:-TAG_BYTES]
            asked |= {"value": _encoded(value), "iv": _encoded(iv)}
            asked |= {"tag": _encoded(wrapped[-TAG_BYTES:]), "aad": _encoded(bound)}
            return _member(self._ask("decrypt", version, asked, self._token()), "value")
        asked["value"] = _encoded(wrapped)
        opened = _member(self._ask("unwrapkey", version, asked, self._token()), "value")
        digest = hashlib.sha256(bound).digest()
        if not hmac.compare_digest(opened[: len(digest)], digest):
            raise KeyringError(f"Azure Key Vault: {_OPENS_NOT}")
        return opened[len(digest) :]

    def examine(self) -> list[Finding]:
        """Say whether the key is rotated, if the rights suffice to ask."""
        check, path = f"root {self.kind}", f"keys/{self.options.key}/rotationpolicy"
        try:
            actions = self._read(path, self._token()).get("lifetimeActions")
        except KeyringError as error:
            text = f"whether {self.key} is rotated cannot be asked: {error.reason}"
            return [Finding(check, "unknown", text)]
        if "rotate" in json.dumps(actions).lower():
            return [Finding(check, "ok", f"{self.key} is rotated by itself")]
        text = f"{self.key} is never rotated: give it a rotation policy"
        return [Finding(check, "warning", text)]

    @property
    def _symmetric(self) -> bool:
        return self.options.mechanism == "A256GCM"

    def _latest(self, token: str) -> str:
        """Return the latest version of the key, which the id of the key ends with."""
        key = self._read(f"keys/{self.options.key}", token).get("key")
        version = str(key.get("kid") if isinstance(key, dict) else "").rpartition("/")[2]
        if not _VERSION.fullmatch(version):
            raise KeyringError("Azure Key Vault: the answer has no version of the key")
        return version

    def _read(self, path: str, token: str) -> dict[str, Any]:
        return self._called("GET", path, None, token)

    def _ask(
        self, action: str, version: str, asked: Mapping[str, str], token: str
    ) -> dict[str, Any]:
        path = f"keys/{self.options.key}/{version}/{action}"
        return self._called("POST", path, json.dumps(asked).encode(), token)

    def _called(self, method: str, path: str, body: bytes | None, token: str) -> dict[str, Any]:
        url = f"{self.options.vault}/{path}{_API}"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = call(method, url, headers, body, tls=trusting(self.options.ca))
        if not answer.ok:
            action = path.rpartition("/")[2]
            raise KeyringError(f"Azure Key Vault: {action}: {_reason(answer)}")
        return answer.json()

    def _token(self) -> str:
        """Return a token of workload identity, or of the machine's managed identity."""
        names = ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID")
        file, tenant, client = (self.environ.get(name, "") for name in names)
        if file and tenant and client:
            return self._workload(file, tenant, client)
        query = {"api-version": "2018-02-01", "resource": self.options.audience}
        query |= {"client_id": self.options.client} if self.options.client else {}
        url = f"{self.metadata}/metadata/identity/oauth2/token?{urlencode(query)}"
        answer = call("GET", url, {"Metadata": "true"}, seconds=METADATA_SECONDS)
        return answer.token("Azure: the managed identity")

    def _workload(self, file: str, tenant: str, client: str) -> str:
        authority = self.options.authority or self.environ.get("AZURE_AUTHORITY_HOST", _AUTHORITY)
        if not self.options.authority and not authority.startswith("https://"):
            raise KeyringError("AZURE_AUTHORITY_HOST is not encrypted: it begins with https://")
        asked = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_assertion_type": _ASSERTION,
            "client_assertion": read_token(file),
            "scope": f"{self.options.audience}/.default",
        }
        url = f"{authority.rstrip('/')}/{urlencode({'': tenant})[1:]}/oauth2/v2.0/token"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        tls = trusting(self.options.ca)
        answer = call("POST", url, form, urlencode(asked).encode(), tls=tls)
        return answer.token("Azure: workload identity")


def _bound(keyring_id: str) -> bytes:
    return f"{keyring_id} {PURPOSE}".encode()


def _encoded(data: bytes) -> str:
    return base64url.encode(data).decode()


def _member(found: dict[str, Any], name: str) -> bytes:
    data = decoded(found.get(name))
    if data is None:
        raise KeyringError(f"Azure Key Vault: the answer has no {name}")
    return data


def _reason(answer: Answer) -> str:
    """Return what the innermost known code of an error means."""
    error = answer.json().get("error")
    codes: list[str] = []
    while isinstance(error, dict) and len(codes) < 4:  # noqa: PLR2004 - it is one or two deep
        code = error.get("code")
        codes += [code] if isinstance(code, str) and _CODE.fullmatch(code) else []
        error = error.get("innererror")
    known = [code for code in codes if code in _REASONS]
    if known:
        return f"{_REASONS[known[-1]]} ({known[-1]})"
    return codes[-1] if codes else f"status {answer.status}"
