"""Root provider `aws-kms`: a symmetric key of AWS KMS wraps the root key.

https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from ....config.settings.roots.aws_kms import AwsKmsOptions
from ....core.errors import KeyringError
from ....process.fitness import Finding
from .aws_credentials import CredentialChain, domain
from .aws_signature import CredentialScope, signed
from .key_service import call, trusting
from .provider import PURPOSE, Members

_CONTENT: Final = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class AwsKmsRoot:
    """Asks AWS KMS to encrypt and decrypt, under the keyring's id as encryption context.

    Every call names the key, also where KMS would find it in the ciphertext.
    """

    kind: ClassVar[str] = "aws-kms"

    options: AwsKmsOptions
    environ: Mapping[str, str] = field(repr=False)
    now: Callable[[], datetime] = field(repr=False, default=lambda: datetime.now(UTC))

    @property
    def key(self) -> str:
        """The ARN of the key, or its alias or id with the region."""
        key, region = self.options.key, self.options.region
        return key if key.startswith("arn:") else f"{region}/{key}"

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        """Return the ciphertext."""
        asked = {"KeyId": self.options.key, "Plaintext": base64.b64encode(plaintext).decode()}
        found = self._ask("Encrypt", asked, _context(keyring_id))
        return {"ct": _text(found, "CiphertextBlob")}

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the plaintext."""
        if set(members) != {"ct"}:
            raise KeyringError("a wrapping has missing or unknown members")
        asked = {"KeyId": self.options.key, "CiphertextBlob": str(members["ct"])}
        found = self._ask("Decrypt", asked, _context(keyring_id))
        try:
            return base64.b64decode(_text(found, "Plaintext"), validate=True)
        except binascii.Error:
            raise KeyringError("AWS KMS: the answer is not base64") from None

    def examine(self) -> list[Finding]:
        """Say whether the key is rotated, if the rights suffice to ask."""
        check = f"root {self.kind}"
        asked = {"KeyId": self.options.key}
        try:
            if self.options.key.startswith("alias/") or ":alias/" in self.options.key:
                found = self._ask("DescribeKey", asked).get("KeyMetadata")
                asked = {"KeyId": _text(found if isinstance(found, dict) else {}, "KeyId")}
            rotated = self._ask("GetKeyRotationStatus", asked).get("KeyRotationEnabled")
        except KeyringError as error:
            text = f"whether {self.key} is rotated cannot be asked: {error.reason}"
            return [Finding(check, "unknown", text)]
        if rotated is True:
            return [Finding(check, "ok", f"{self.key} is rotated every year")]
        text = f"{self.key} is never rotated: enable its automatic rotation"
        return [Finding(check, "warning", text)]

    def _ask(self, action: str, *asked: dict[str, Any]) -> dict[str, Any]:
        options = self.options
        url = options.endpoint or f"https://kms.{options.region}.{domain(options.region)}/"
        tls = trusting(options.ca)
        body = json.dumps({name: one[name] for one in asked for name in one}).encode()
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


def _context(keyring_id: str) -> dict[str, Any]:
    return {"EncryptionContext": {"sealyard:keyring": keyring_id, "sealyard:purpose": PURPOSE}}


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise KeyringError(f"AWS KMS: the answer has no {name}")
    return value
