"""Root provider `gcp-kms`: a symmetric key of Google Cloud KMS wraps the root key.

https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/decrypt
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from ....config.settings.roots.gcp_kms import GcpKmsOptions
from ....core.errors import KeyringError
from ....process.fitness import Finding
from ...policy import METADATA_SECONDS
from .key_service import Answer, call, read_token, trusting
from .provider import PURPOSE, Members

_SCOPE: Final = "https://www.googleapis.com/auth/cloudkms"
_EVERY_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_METADATA: Final = "http://169.254.169.254"
_TOKEN_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - a path
_STATUS: Final = re.compile(r"[A-Z_]{1,64}")
_CRC_POLYNOMIAL: Final = 0x82F63B78
_CRC_ALL: Final = 0xFFFF_FFFF
_REASONS: Final = {
    "INVALID_ARGUMENT": "it does not open: another keyring or key, or the wrapping was changed",
    "FAILED_PRECONDITION": "the key's version is disabled or destroyed",
    "NOT_FOUND": "there is no such key, or its version is gone",
    "PERMISSION_DENIED": "denied: the account lacks the right to use the key",
    "UNAUTHENTICATED": "the token is not accepted",
}


@dataclass(frozen=True, slots=True)
class GcpKmsRoot:
    """Asks Cloud KMS to encrypt and decrypt; the keyring's id and PURPOSE are authenticated.

    Both ways, what is sent and what comes back has its CRC-32C, and each is verified.
    """

    kind: ClassVar[str] = "gcp-kms"

    options: GcpKmsOptions
    environ: Mapping[str, str] = field(repr=False)
    metadata: str = _METADATA

    @property
    def key(self) -> str:
        """The resource name of the key."""
        return self.options.key

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        """Return the ciphertext."""
        found = self._ask(
            ":encrypt",
            {**_checked("plaintext", plaintext), **_bound(keyring_id)},
        )
        for name in ("verifiedPlaintextCrc32c", "verifiedAdditionalAuthenticatedDataCrc32c"):
            if found.get(name) is not True:
                raise KeyringError("Cloud KMS: it did not verify what it was sent")
        return {"ct": base64.b64encode(_intact(found, "ciphertext")).decode()}

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the plaintext."""
        if set(members) != {"ct"}:
            raise KeyringError("a wrapping has missing or unknown members")
        try:
            wrapped = base64.b64decode(str(members["ct"]), validate=True)
        except binascii.Error:
            raise KeyringError("the wrapping has no ciphertext of Cloud KMS") from None
        asked = {**_checked("ciphertext", wrapped), **_bound(keyring_id)}
        return _intact(self._ask(":decrypt", asked), "plaintext")

    def examine(self) -> list[Finding]:
        """Say whether the key is rotated, if the rights suffice to ask."""
        check = f"root {self.kind}"
        try:
            found = self._ask("", None)
        except KeyringError as error:
            text = f"whether {self.key} is rotated cannot be asked: {error.reason}"
            return [Finding(check, "unknown", text)]
        if found.get("rotationPeriod"):
            return [Finding(check, "ok", f"{self.key} is rotated by itself")]
        text = f"{self.key} is never rotated: give it a rotation period"
        return [Finding(check, "warning", text)]

    def _ask(self, action: str, asked: dict[str, str] | None) -> dict[str, Any]:
        url = f"{self.options.endpoint}/v1/{self.options.key}{action}"
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        body = None if asked is None else json.dumps(asked).encode()
        tls = trusting(self.options.ca)
        answer = call("GET" if body is None else "POST", url, headers, body, tls=tls)
        if not answer.ok:
            raise KeyringError(f"Cloud KMS{action and f': {action[1:]}'}: {_reason(answer)}")
        return answer.json()

    def _token(self) -> str:
        federation = self.options.federation
        if federation is None:
            url = f"{self.metadata}{_TOKEN_PATH}?{urlencode({'scopes': _SCOPE})}"
            headers = {"Metadata-Flavor": "Google"}
            answer = call("GET", url, headers, seconds=METADATA_SECONDS)
            return answer.token("Google Cloud: the metadata server")
        tls, account = trusting(self.options.ca), federation.service_account
        asked = {
            "audience": federation.audience,
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "scope": _EVERY_SCOPE if account else _SCOPE,
            "subject_token": read_token(federation.token),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        exchanged = call(
            "POST", f"{self.options.sts}/v1/token", form, urlencode(asked).encode(), tls=tls
        )
        token = exchanged.token("Google Cloud: the exchange of the token")
        if not account:
            return token
        url = f"{self.options.iam}/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps({"scope": [_SCOPE], "lifetime": "300s"}).encode()
        answer = call("POST", url, headers, body, tls=tls)
        return answer.token("Google Cloud: acting as the account", "accessToken")


def _bound(keyring_id: str) -> dict[str, str]:
    return _checked("additionalAuthenticatedData", f"{keyring_id} {PURPOSE}".encode())


def _checked(name: str, data: bytes) -> dict[str, str]:
    """Return a member of the API, in base64, with its checksum; an int64 is a text in JSON."""
    return {name: base64.b64encode(data).decode(), f"{name}Crc32c": str(crc32c(data))}


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli; RFC 3720, appendix B.4, has vectors).

    It goes bit by bit: the data is a root key, so no index depends on a byte.
    """
    found = _CRC_ALL
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ _CRC_POLYNOMIAL & -(found & 1)
    return found ^ _CRC_ALL


def _intact(found: dict[str, Any], name: str) -> bytes:
    """Return a member of an answer; raise KeyringError unless its checksum is right."""
    try:
        data = base64.b64decode(found[name], validate=True)
    except (KeyError, TypeError, ValueError):
        raise KeyringError(f"Cloud KMS: the answer has no {name}") from None
    if str(found.get(f"{name}Crc32c")) != str(crc32c(data)):
        raise KeyringError(f"Cloud KMS: the checksum of the {name} is wrong")
    return data


def _reason(answer: Answer) -> str:
    error = answer.json().get("error")
    status = error.get("status") if isinstance(error, dict) else None
    if not isinstance(status, str) or not _STATUS.fullmatch(status):
        return f"status {answer.status}"
    return f"{_REASONS[status]} ({status})" if status in _REASONS else status
