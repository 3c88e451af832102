"""Calls of Vault's or OpenBao's HTTP API, and the login before them.

https://openbao.org/api-docs/
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ....config.settings.roots.vault import (
    AppRoleLogin,
    CertificateLogin,
    JwtLogin,
    TokenLogin,
    VaultOptions,
)
from ....core.errors import KeyringError
from ... import private_file
from ...policy import KEY_FILE_BYTES, KEY_SERVICE_SECONDS, VAULT_REVOKE_SECONDS, VAULT_TOKEN_BYTES
from .key_service import Answer, call, read_token, trusting


@dataclass(frozen=True, slots=True)
class VaultClient:
    """Who asks which server in which namespace; without a token before the login."""

    address: str
    namespace: str
    tls: ssl.SSLContext | None = field(repr=False)
    token: str = field(repr=False, default="")

    @property
    def host(self) -> str:
        """The server, for a sentence."""
        return urlsplit(self.address).netloc

    def ask(
        self, path: str, body: dict[str, Any] | None = None, *, seconds: float = KEY_SERVICE_SECONDS
    ) -> Answer:
        """Return the answer to a POST of `body`, or to a GET. Raises KeyringError for none."""
        headers = {"X-Vault-Request": "true"}
        if self.token:
            headers["X-Vault-Token"] = self.token
        if self.namespace:
            headers["X-Vault-Namespace"] = self.namespace
        content = None if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        url = f"{self.address}/v1/{path}"
        return call(method, url, headers, content, tls=self.tls, seconds=seconds)


@contextmanager
def logged_in(options: VaultOptions) -> Iterator[VaultClient]:
    """Yield a client with a token: that of the file, or one that a login gave for this time alone.

    The token of a login is revoked at the end, as far as Vault lets it: leases would pile up there.
    Raises KeyringError where a file cannot be read or the login is refused.
    """
    client = VaultClient(options.address, options.namespace, _tls(options))
    if isinstance(options.login, TokenLogin):
        yield replace(client, token=_secret(options.login.token.file))
        return
    client = replace(client, token=_token(client, options.login))
    try:
        yield client
    finally:
        with suppress(KeyringError):
            client.ask("auth/token/revoke-self", {}, seconds=VAULT_REVOKE_SECONDS)


def _token(client: VaultClient, login: JwtLogin | AppRoleLogin | CertificateLogin) -> str:
    """Return the token of a login."""
    match login:
        case JwtLogin():
            body = {"role": login.role, "jwt": read_token(login.token)}
            refused = f"the role `{login.role}` is missing, or does not accept the token"
        case AppRoleLogin():
            body = {"role_id": login.role_id, "secret_id": _secret(login.secret_id.file)}
            refused = "the role id or the secret id is wrong, has expired or is used up"
        case CertificateLogin():
            body = {"name": login.role} if login.role else {}
            refused = "no role accepts the certificate"
    answer = client.ask(f"auth/{login.mount}/login", body)
    auth = answer.json().get("auth")
    token = auth.get("client_token") if isinstance(auth, dict) else None
    reason = trouble(answer)
    if not reason and not answer.ok:
        # Vault denies a login at a path that is not there, as it denies a wrong token.
        reason = f"{refused}, or no such method is mounted there"
    if not reason and isinstance(token, str) and token and token.isprintable():
        return token
    reason = reason or "it gives no token, as where it asks for a second factor"
    raise KeyringError(f"Vault {client.host}: no login at auth/{login.mount}: {reason}")


_REDIRECTS: Final = range(300, 400)
_TROUBLES: Final = (
    (503, "sealed", "it is sealed: unseal it"),
    (0, "active cluster node not found", "it is a standby without an active server"),
    (404, "namespace not found", "there is no such namespace: check `namespace`"),
    (404, "no handler", "nothing is mounted there: check the mount and `namespace`"),
    (429, "", "its rate limit is used up"),
    (472, "", "it is a disaster recovery secondary: give the address of the primary"),
    (473, "", "it is a performance standby: give the address of the active server"),
)


def trouble(answer: Answer) -> str:
    """Return what is wrong with the server or the address, whatever was asked; empty if nothing."""
    if answer.status in _REDIRECTS:
        return (
            "it is a standby that redirects, which is not followed: is the active server gone?"
            " Otherwise give its address or a load balancer's, or let standbys forward requests"
        )
    found = errors(answer)
    for status, text, reason in _TROUBLES:
        if status in {0, answer.status} and not answer.ok and text in found:
            return reason
    if answer.status >= 500:  # noqa: PLR2004 - the class of the server's own errors
        return f"status {answer.status}"
    return ""


def errors(answer: Answer) -> str:
    """Return what Vault wrote about an error, for a comparison: it may not get into one of ours."""
    return str(answer.json().get("errors", ""))


def _secret(path: Path | None) -> str:
    line = b"" if path is None else private_file.read_line(path, VAULT_TOKEN_BYTES)
    text = line.decode("ascii", "replace").strip()
    if not text or not text.isascii() or not text.isprintable():
        raise KeyringError(f"{path}: no token of Vault")
    return text


def _tls(options: VaultOptions) -> ssl.SSLContext | None:
    if not options.address.startswith("https:"):
        return None
    login = options.login
    if not isinstance(login, CertificateLogin):
        return trusting(options.ca)
    private_file.read(login.key, KEY_FILE_BYTES)  # refuses one that others can read
    return trusting(options.ca, (login.cert, login.key))
