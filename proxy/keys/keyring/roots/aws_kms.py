"""Root provider `aws-kms`: a symmetric key of AWS KMS wraps the root key.

https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
"""

from __future__ import annotations

import base64
import binascii
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from ....core.errors import KeyringError
from .aws_credentials import CredentialChain, domain
from .aws_signature import CredentialScope, signed
from .key_service import call
from .provider import PURPOSE, Members

_CONTENT: Final = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class AwsKmsOptions:
    """A key (ARN or `alias/NAME`) in a region.

    `endpoint`, `sts` and `ca` replace AWS' own addresses and the CAs of the system.
    """

    key: str
    region: str
    endpoint: str = ""
    sts: str = ""
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class AwsKmsRoot:
    """Asks AWS KMS to encrypt and decrypt, under the keyring's id as encryption context.

    The key that a wrapping names is only compared with the configured one: what is called comes
    from the configuration alone.
    """

    kind: ClassVar[str] = "aws-kms"

    options: AwsKmsOptions
    environ: Mapping[str, str] = field(repr=False)
    now: Callable[[], datetime] = field(repr=False, default=lambda: datetime.now(UTC))

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        """Return the ciphertext and the name of the key."""
        asked = {"KeyId": self.options.key, "Plaintext": base64.b64encode(plaintext).decode()}
        found = self._ask("Encrypt", asked, keyring_id)
        return {"key": self.options.key, "ct": _text(found, "CiphertextBlob")}

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the plaintext."""
        if set(members) != {"key", "ct"}:
            raise KeyringError("a wrapping has missing or unknown members")
        if members["key"] != self.options.key:
            raise KeyringError("the wrapping was made with another key of AWS KMS")
        asked = {"KeyId": self.options.key, "CiphertextBlob": str(members["ct"])}
        found = self._ask("Decrypt", asked, keyring_id)
        try:
            return base64.b64decode(_text(found, "Plaintext"), validate=True)
        except binascii.Error:
            raise KeyringError("AWS KMS: the answer is not base64") from None

    def _ask(self, action: str, asked: dict[str, Any], keyring_id: str) -> dict[str, Any]:
        options = self.options
        url = options.endpoint or f"https://kms.{options.region}.{domain(options.region)}/"
        tls = _trust(options.ca)
        context = {"sealyard:keyring": keyring_id, "sealyard:purpose": PURPOSE}
        body = json.dumps({**asked, "EncryptionContext": context}).encode()
        credentials = CredentialChain(self.environ, options.region, options.sts, tls=tls).find()
        headers = {"Content-Type": _CONTENT, "X-Amz-Target": f"TrentService.{action}"}
        scope = CredentialScope(options.region, "kms", self.now())
        made = signed(urlsplit(url).netloc, headers, body, credentials, scope)
        answer = call("POST", url, made, body, tls=tls)
        found = answer.json()
        if not answer.ok:
            code = str(found.get("__type", "")).rpartition("#")[2]
            reason = code if code.isalnum() else f"status {answer.status}"
            raise KeyringError(f"AWS KMS: {action}: {reason}")
        return found


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise KeyringError(f"AWS KMS: the answer has no {name}")
    return value


def _trust(authority: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ValueError):
        raise KeyringError(f"{authority}: not a CA that can be used") from None
