"""The options of the root `vault`: a key of Vault's or OpenBao's transit engine, and the login."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...settings import SecretReference
from ...yaml.nodes import Place, Problems, show
from ...yaml.scalars import text
from .. import tables
from ..addresses import Files
from ..tables import Fields, Key, Table
from .kind import RootOptions, ca_file, ca_key, secret_file, service_url

_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_PATH: Final = re.compile(rf"{_NAME.pattern}(?:/{_NAME.pattern})*")
_SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A token of Vault, which somebody else renews in its file."""

    token: SecretReference


@dataclass(frozen=True, slots=True)
class JwtLogin:
    """A JWT in a file that the platform writes and rotates; the file is not watched."""

    mount: str
    role: str
    token: str


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """The id of a role, and a secret id in a file."""

    mount: str
    role_id: str
    secret_id: SecretReference


@dataclass(frozen=True, slots=True)
class CertificateLogin:
    """A client certificate with its private key; without a role Vault looks for one that fits."""

    mount: str
    cert: Path
    key: Path
    role: str = ""


VaultLogin = TokenLogin | JwtLogin | AppRoleLogin | CertificateLogin


@dataclass(frozen=True, slots=True)
class VaultOptions:
    """A key of the transit engine at `mount` of the server at `address`, and who asks for it."""

    address: str
    key: str
    login: VaultLogin
    mount: str = "transit"
    namespace: str = ""
    ca: Path | None = None


def _mount(default: str) -> Key:
    return Key("mount", "path", "Where the auth method is mounted.", tables.TEXT, f"`{default}`")


_IN_A_FILE: Final = "`{file: path}`"

_KUBERNETES: Final = Table(
    "vault_kubernetes",
    "`vault.kubernetes`: log in with the token of a service account",
    (
        Key("role", "name", "The role in Vault.", tables.TEXT, required=True),
        Key(
            "token",
            "path",
            "The file with the token of the service account.",
            tables.TEXT,
            f"`{_SERVICE_ACCOUNT}`",
        ),
        _mount("kubernetes"),
    ),
)

_JWT: Final = Table(
    "vault_jwt",
    "`vault.jwt`: log in with a JWT of another issuer, such as SPIFFE or a cloud",
    (
        Key("role", "name", "The role in Vault.", tables.TEXT, required=True),
        Key(
            "token",
            "path",
            "The file with the JWT, which the platform rotates.",
            tables.TEXT,
            required=True,
        ),
        _mount("jwt"),
    ),
)

_APPROLE: Final = Table(
    "vault_approle",
    "`vault.approle`: log in with a role id and a secret id",
    (
        Key("role_id", "text", "The id of the role.", tables.TEXT, required=True),
        Key(
            "secret_id",
            _IN_A_FILE,
            "The file with the secret id.",
            tables.table("secret"),
            required=True,
        ),
        _mount("approle"),
    ),
)

_CERT: Final = Table(
    "vault_cert",
    "`vault.cert`: log in with a client certificate",
    (
        Key("cert", "path", "The certificate with its chain (PEM).", tables.TEXT, required=True),
        Key("key", "path", "Its private key (PEM).", tables.TEXT, required=True),
        Key("role", "name", "The role in Vault.", tables.TEXT, "any that accepts it"),
        _mount("cert"),
    ),
)

_TABLE: Final = Table(
    "vault",
    "`vault`: a key of the transit engine of Vault or OpenBao; log in with one of `token`,"
    " `kubernetes`, `approle`, `jwt` and `cert`",
    (
        Key(
            "address",
            "URL",
            "The server: `https`, or `http` on this machine.",
            tables.TEXT,
            required=True,
        ),
        Key("key", "name", "The key, made with `derived=true`.", tables.TEXT, required=True),
        Key("mount", "path", "Where the transit engine is mounted.", tables.TEXT, "`transit`"),
        Key("namespace", "path", "The namespace of engine and login.", tables.TEXT, "the root"),
        ca_key("the server"),
        Key("token", _IN_A_FILE, "The file with a token.", tables.table("secret")),
        Key(
            "kubernetes",
            "mapping",
            "Log in as a service account.",
            tables.table("vault_kubernetes"),
        ),
        Key("approle", "mapping", "Log in as an AppRole.", tables.table("vault_approle")),
        Key("jwt", "mapping", "Log in with a JWT.", tables.table("vault_jwt")),
        Key("cert", "mapping", "Log in with a certificate.", tables.table("vault_cert")),
    ),
    alternatives=(("token",), ("kubernetes",), ("approle",), ("jwt",), ("cert",)),
)


def _options(place: Place, files: Files, problems: Problems) -> VaultOptions | None:
    before = problems.count
    fields = Fields(place, _TABLE, problems)
    chosen = fields.alternative(problems)
    address = fields.read("address", service_url, problems)
    key = _word(fields, "key", _NAME, problems)
    login = _LOGINS[chosen](fields[chosen], files, problems) if chosen else None
    mount = _word(fields, "mount", _PATH, problems)
    namespace = _word(fields, "namespace", _PATH, problems)
    ca = ca_file(fields, files, problems)
    if problems.count > before or address is None or login is None:
        return None
    return VaultOptions(address.rstrip("/"), key, login, mount or "transit", namespace, ca)


def _token(place: Place, files: Files, problems: Problems) -> TokenLogin | None:
    secret = secret_file(place, files, problems)
    return None if secret is None else TokenLogin(secret)


def _kubernetes(place: Place, files: Files, problems: Problems) -> JwtLogin:
    fields = Fields(place, _KUBERNETES, problems)
    return _jwt_login(fields, files, problems, ("kubernetes", _SERVICE_ACCOUNT))


def _jwt(place: Place, files: Files, problems: Problems) -> JwtLogin:
    return _jwt_login(Fields(place, _JWT, problems), files, problems, ("jwt", ""))


def _jwt_login(
    fields: Fields, files: Files, problems: Problems, defaults: tuple[str, str]
) -> JwtLogin:
    mount, token = defaults
    path = fields.read("token", files.path, problems)
    return JwtLogin(
        _word(fields, "mount", _PATH, problems) or mount,
        _text(fields, "role", problems),
        str(path or token),
    )


def _approle(place: Place, files: Files, problems: Problems) -> AppRoleLogin | None:
    fields = Fields(place, _APPROLE, problems)
    mount = _word(fields, "mount", _PATH, problems) or "approle"
    role_id = _text(fields, "role_id", problems)
    secret_id = fields.read("secret_id", secret_file, files, problems)
    return None if secret_id is None else AppRoleLogin(mount, role_id, secret_id)


def _cert(place: Place, files: Files, problems: Problems) -> CertificateLogin | None:
    fields = Fields(place, _CERT, problems)
    mount = _word(fields, "mount", _PATH, problems) or "cert"
    cert, key = (fields.read(name, files.path, problems) for name in ("cert", "key"))
    role = _text(fields, "role", problems)
    return None if cert is None or key is None else CertificateLogin(mount, cert, key, role)


_LOGINS: Final = {
    "token": _token,
    "kubernetes": _kubernetes,
    "approle": _approle,
    "jwt": _jwt,
    "cert": _cert,
}


def _text(fields: Fields, name: str, problems: Problems) -> str:
    return fields.read(name, text, problems) or ""


def _word(fields: Fields, name: str, form: re.Pattern[str], problems: Problems) -> str:
    """Return a name or a path; empty if it is not given, or after reporting what is wrong."""
    written = _text(fields, name, problems).strip("/")
    if written and not form.fullmatch(written):
        hint = "letters, digits, `_`, `.` and `-`" + (", parts with `/`" if form is _PATH else "")
        problems.add(fields[name], f"{show(written)} is not such a name", hint)
    return written


OPTIONS: Final = RootOptions(_options, (_TABLE, _KUBERNETES, _JWT, _APPROLE, _CERT))
