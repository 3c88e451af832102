"""AWS Signature Version 4 of a POST to the root of a service, as AWS KMS is called.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class AwsCredentials(NamedTuple):
    """What signs requests; `token` is empty for credentials that do not expire."""

    key_id: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        """Show which key it is, and nothing of the secret and the token."""
        return f"<AwsCredentials {self.key_id}>"


class CredentialScope(NamedTuple):
    """For what a signature is valid, besides its request: a region, a service and a day."""

    region: str
    service: str
    at: datetime
    """In UTC."""


def signed(
    host: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: AwsCredentials,
    scope: CredentialScope,
) -> dict[str, str]:
    """Return the headers of a POST to `/` with its date, token and signature.

    `host` is as in the header Host. All headers that are given are signed.
    """
    stamp = f"{scope.at:%Y%m%dT%H%M%SZ}"
    made = {**headers, "X-Amz-Date": stamp}
    if credentials.token:
        made["X-Amz-Security-Token"] = credentials.token
    named = {"host": host} | {name.lower(): value for name, value in made.items()}
    lines = [f"{name}:{' '.join(named[name].split())}" for name in sorted(named)]
    listed = ";".join(sorted(named))
    canonical = "\n".join(("POST", "/", "", *lines, "", listed, hashlib.sha256(body).hexdigest()))
    valid = f"{scope.at:%Y%m%d}/{scope.region}/{scope.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = _hmac(_key(credentials, valid), f"{_ALGORITHM}\n{stamp}\n{valid}\n{digest}").hex()
    made["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.key_id}/{valid}, "
        f"SignedHeaders={listed}, Signature={signature}"
    )
    return made


def _key(credentials: AwsCredentials, valid: str) -> bytes:
    key = f"AWS4{credentials.secret}".encode()
    for part in valid.split("/"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
