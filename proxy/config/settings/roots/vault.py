"""The options of the root `vault`: a key of Vault's or OpenBao's transit engine, and the login."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...declared.addresses import SecretReference, SecretSource
from ...declared.kinds import File, PlainText
from ...declared.section import Key, Section, one_of, setting
from .service import ServiceUrl, ca, unwatched

_NAME: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_WORD: Final = PlainText(
    "name", re.compile(_NAME), "is not such a name", "letters, digits, `_`, `.` and `-`"
)
_PATH: Final = PlainText(
    "path",
    re.compile(f"/*{_NAME}(?:/{_NAME})*/*"),
    "is not such a name",
    "letters, digits, `_`, `.` and `-`, parts with `/`",
    parse=lambda written: written.strip("/"),
)
_ROLE: Final = "The role in Vault."


def _mount(default: str) -> Any:  # noqa: ANN401 - as `setting`
    return setting(_PATH, "Where the auth method is mounted.", default=default)


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A token of Vault, which somebody else renews in its file."""

    token: SecretReference


@dataclass(frozen=True, slots=True)
class JwtLogin:
    """A JWT in a file that the platform writes and rotates; the file is not watched."""

    role: str = setting(PlainText("name"), _ROLE)
    token: str = unwatched("The file with the JWT, which the platform rotates.")
    mount: str = _mount("jwt")


@dataclass(frozen=True, slots=True)
class KubernetesLogin(JwtLogin):
    """The token of a service account, as a JWT."""

    token: str = unwatched(
        "The file with the token of the service account.",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    )
    mount: str = _mount("kubernetes")


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """The id of a role, and a secret id in a file."""

    role_id: str = setting(PlainText(), "The id of the role.")
    secret_id: SecretReference = setting(SecretSource(in_file=True), "The file with the secret id.")
    mount: str = _mount("approle")


@dataclass(frozen=True, slots=True)
class CertificateLogin:
    """A client certificate with its private key; without a role Vault looks for one that fits."""

    cert: Path = setting(File(), "The certificate with its chain (PEM).")
    key: Path = setting(File(), "Its private key (PEM).")
    role: str = setting(PlainText("name"), _ROLE, default="", absent="any that accepts it")
    mount: str = _mount("cert")


VaultLogin = TokenLogin | JwtLogin | AppRoleLogin | CertificateLogin

KUBERNETES: Final = Section(
    KubernetesLogin,
    "vault_kubernetes",
    "`vault.kubernetes`: log in with the token of a service account",
)
JWT: Final = Section(
    JwtLogin,
    "vault_jwt",
    "`vault.jwt`: log in with a JWT of another issuer, such as SPIFFE or a cloud",
)
APPROLE: Final = Section(
    AppRoleLogin, "vault_approle", "`vault.approle`: log in with a role id and a secret id"
)
CERT: Final = Section(
    CertificateLogin, "vault_cert", "`vault.cert`: log in with a client certificate"
)


def _login(name: str, value: Any) -> VaultLogin:  # noqa: ANN401 - a login, or a reference
    return TokenLogin(value) if name == "token" else value


@dataclass(frozen=True, slots=True)
class VaultOptions:
    """A key of the transit engine at `mount` of the server at `address`, and who asks for it."""

    address: str = setting(ServiceUrl(), "The server: `https`, or `http` on this machine.")
    key: str = setting(_WORD, "The key, made with `derived=true`.")
    login: VaultLogin = one_of(
        Key("token", SecretSource(in_file=True), "The file with a token."),
        Key("kubernetes", KUBERNETES, "Log in as a service account."),
        Key("approle", APPROLE, "Log in as an AppRole."),
        Key("jwt", JWT, "Log in with a JWT."),
        Key("cert", CERT, "Log in with a certificate."),
        make=_login,
    )
    mount: str = setting(_PATH, "Where the transit engine is mounted.", default="transit")
    namespace: str = setting(
        _PATH, "The namespace of engine and login.", default="", absent="the root"
    )
    ca: Path | None = ca("the server")


OPTIONS: Final = Section(
    VaultOptions,
    "vault",
    "`vault`: a key of the transit engine of Vault or OpenBao; log in with one of `token`,"
    " `kubernetes`, `approle`, `jwt` and `cert`",
)
