"""Credentials for AWS, where its own libraries look for them and in their order.

Environment; web identity (IRSA); container (EKS Pod Identity, ECS); instance metadata (IMDSv2).
https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from ....core.errors import KeyringError
from ...policy import AWS_METADATA_SECONDS
from .aws_signature import AwsCredentials
from .key_service import call, read_token

_METADATA: Final = "http://169.254.169.254"
_CONTAINER: Final = "http://169.254.170.2"
_CONTAINER_HOSTS: Final = frozenset(
    {"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "127.0.0.1", "::1", "localhost"}
)
"""Where credentials may come from without TLS: ECS, EKS, and this machine."""
_MEMBERS: Final = tuple(
    re.compile(rf"<{name}>\s*([\w+/=-]+)\s*</{name}>".encode())
    for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
)
"""The members of STS' XML. A parser would be 0.4 MiB of memory, for three texts without escapes."""


@dataclass(frozen=True, slots=True)
class CredentialChain:
    """Finds credentials. `sts` replaces the address of the security token service.

    Nothing is kept: the keyring is opened at start and on reload, and roles expire.
    """

    environ: Mapping[str, str]
    region: str
    sts: str = ""
    metadata: str = _METADATA
    tls: ssl.SSLContext | None = None

    def find(self) -> AwsCredentials:
        """Return the first credentials that there are.

        Raises KeyringError where none are configured, and where the configured ones fail: then no
        other source is tried.
        """
        environ = self.environ
        if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
            names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
            return AwsCredentials(*(environ.get(name, "") for name in names))
        if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and environ.get("AWS_ROLE_ARN"):
            return self._web_identity()
        if full := environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            return self._container(full)
        if relative := environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            return self._container(_CONTAINER + relative)
        if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise KeyringError("AWS: no credentials in the environment, and no instance metadata")
        return self._instance()

    def _web_identity(self) -> AwsCredentials:
        """Exchange the token of a service account; the call is not signed."""
        query = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self.environ["AWS_ROLE_ARN"],
            "RoleSessionName": self.environ.get("AWS_ROLE_SESSION_NAME") or "sealyard",
            "WebIdentityToken": read_token(self.environ["AWS_WEB_IDENTITY_TOKEN_FILE"]),
        }
        url = self.sts or f"https://sts.{self.region}.{domain(self.region)}/"
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/xml"}
        answer = call("POST", url, headers, urlencode(query).encode(), tls=self.tls)
        if not answer.ok:
            raise KeyringError(f"AWS STS: AssumeRoleWithWebIdentity: status {answer.status}")
        found = [match[1].decode() for one in _MEMBERS if (match := one.search(answer.body))]
        if len(found) != len(_MEMBERS):
            raise KeyringError("AWS STS: the answer has no credentials")
        return AwsCredentials(*found)

    def _container(self, url: str) -> AwsCredentials:
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _CONTAINER_HOSTS:
            raise KeyringError(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI names a host that is not allowed"
            )
        headers = {"Accept": "application/json"}
        if file := self.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            headers["Authorization"] = read_token(file)
        elif token := self.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"):
            headers["Authorization"] = token
        return self._json("container credentials", url, headers)

    def _instance(self) -> AwsCredentials:
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
        path = f"{self.metadata}/latest"
        token = call("PUT", f"{path}/api/token", lifetime, seconds=AWS_METADATA_SECONDS)
        if not token.ok:
            raise KeyringError("AWS: no credentials: the instance metadata gives no token")
        headers = {"X-aws-ec2-metadata-token": token.body.decode("latin-1").strip()}
        roles = f"{path}/meta-data/iam/security-credentials/"
        role = call("GET", roles, headers, seconds=AWS_METADATA_SECONDS)
        name = role.body.decode("latin-1").strip()
        if not role.ok or not name or not name.isprintable() or set(name) & set("/?# "):
            raise KeyringError("AWS: no credentials: the instance has no role")
        return self._json("instance metadata", f"{roles}{name}", headers)

    def _json(self, what: str, url: str, headers: Mapping[str, str]) -> AwsCredentials:
        answer = call("GET", url, headers, tls=self.tls)
        found = answer.json()
        names = ("AccessKeyId", "SecretAccessKey", "Token")
        if not answer.ok or not all(isinstance(found.get(name), str) for name in names):
            raise KeyringError(f"AWS {what}: status {answer.status}, no credentials")
        return AwsCredentials(*(found[name] for name in names))


def domain(region: str) -> str:
    """Return the domain of a region's services."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
