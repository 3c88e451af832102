"""The section `admin`: where it listens, who is admitted, and with which scopes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final, Literal, get_args

from ..declared.addresses import Listen, SecretReference, SecretSource, Upstream
from ..declared.composed import ListOf
from ..declared.kinds import Choice, File, PlainText, Switch
from ..declared.section import Fields, Key, Section, one_of, setting
from ..values import Address, TcpAddress
from ..yaml.nodes import Place, Problems, Scalar, show
from .listeners import TLS, ListenerTls

AdminScope = Literal["read", "keys", "accept", "reload", "seal", "open"]
ADMIN_SCOPES: Final[tuple[AdminScope, ...]] = get_args(AdminScope)
"""The scopes of callers of the admin API."""

_SIMPLE_SCOPES: Final[frozenset[AdminScope]] = frozenset({"read", "keys", "reload"})
_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_NAME: Final = PlainText(
    form=re.compile(r"[A-Za-z0-9._-]{1,64}"),
    refused="is not a name: 1 to 64 of the characters A-Z a-z 0-9 . _ -",
)


def _scopes() -> Any:  # noqa: ANN401 - as `setting`
    syntax = f"list of {Choice(*ADMIN_SCOPES).syntax}"
    kind = ListOf(Choice(*ADMIN_SCOPES), syntax, make=frozenset)
    return setting(kind, "What the caller may do.")


@dataclass(frozen=True, slots=True)
class _Moment:
    """A day in UTC, or a time with its offset, as seconds since 1970."""

    syntax = "`2027-06-01`, `2027-06-01T12:00:00Z`"
    pattern = (
        r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"
        r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?"
    )

    def read(self, place: Place, problems: Problems) -> int | None:
        """Return the seconds; 0 is never, so the first second is the second."""
        written = place.node.text if isinstance(place.node, Scalar) else ""
        said = _parsed(written) if re.fullmatch(self.pattern, written) else None
        if said is None:
            hint = "write `2027-06-01` or `2027-06-01T12:00:00Z`"
            problems.add(place, f"{show(written)} is not a time", hint)
            return None
        return max(int(said.timestamp()), 1)


def _parsed(written: str) -> datetime | None:
    try:
        if "-" not in written[8:] and ":" not in written:
            return datetime.combine(date.fromisoformat(written), time(), UTC)
        return datetime.fromisoformat(written.upper())
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A bearer token, its scopes, and when it expires (seconds since 1970; 0: never)."""

    name: str = setting(_NAME, "Its name in logs; unique in the file.")
    secret: SecretReference = setting(SecretSource(), "The bearer token.", name="token")
    scopes: frozenset[AdminScope] = _scopes()
    expires: int = setting(
        _Moment(),
        "When it expires: a day in UTC, or a time with its offset.",
        default=0,
        absent="never",
    )


TOKEN: Final = Section(AdminToken, "admin_token", "An element of `admin.tokens`")


@dataclass(frozen=True, slots=True)
class AdminClient:
    """A client certificate, by its `subject` (RFC 4514) or a `dns` or `uri` name."""

    name: str = setting(_NAME, "Its name in logs; unique in the file.")
    subject: tuple[str, str] = one_of(
        Key(
            "subject",
            PlainText("such as `CN=ops,O=Clinic`"),
            "The subject of the client certificate, as an RFC 4514 string.",
        ),
        Key("dns", PlainText("name"), "A DNS name in its subjectAltName."),
        Key("uri", PlainText("such as `spiffe://clinic/ops`"), "A URI in its subjectAltName."),
        make=lambda name, value: (name, value),
    )
    scopes: frozenset[AdminScope] = _scopes()

    @property
    def kind(self) -> str:
        """By what the certificate is known: `subject`, `dns` or `uri`."""
        return self.subject[0]

    @property
    def value(self) -> str:
        """The subject or name."""
        return self.subject[1]


CLIENT: Final = Section(
    AdminClient, "admin_client", "An element of `admin.clients`; one of `subject`, `dns` and `uri`"
)


@dataclass(frozen=True, slots=True)
class AdminAccount:
    """A Kubernetes service account, as `namespace/name`, and its scopes."""

    account: str = setting(
        PlainText(
            "`namespace/name`",
            re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?"),
            "is not a service account",
            "write `namespace/name`",
        ),
        "The service account.",
    )
    scopes: frozenset[AdminScope] = _scopes()


ACCOUNT: Final = Section(AdminAccount, "admin_account", "An element of `admin.kubernetes.accounts`")


@dataclass(frozen=True, slots=True)
class _Https:
    """The address of a server that is called over HTTPS."""

    syntax = "`https://host:port`"
    pattern = Upstream.secure

    def read(self, place: Place, problems: Problems) -> TcpAddress | None:
        """Return the address."""
        found = Upstream().read(place, problems)
        if found is None:
            return None
        if not found.tls or not isinstance(found.address, TcpAddress):
            problems.add(place, "must be an `https` address", "write `https://host:port`")
            return None
        return found.address


@dataclass(frozen=True, slots=True)
class AdminKubernetes:
    """The service accounts that are admitted, and the API server that reviews their tokens.

    `api` is called over HTTPS and verified by `ca`; `token_file` has the token for it.
    """

    accounts: tuple[AdminAccount, ...] = setting(
        ListOf(ACCOUNT), "The service accounts that are admitted, each with its scopes."
    )
    audience: str = setting(PlainText(), "The audience that tokens must be issued for.")
    api: TcpAddress = setting(
        _Https(),
        "The API server.",
        default=TcpAddress("kubernetes.default.svc", 443),
        absent="`https://kubernetes.default.svc`",
    )
    ca: Path = setting(
        File(),
        "The CA certificate that verifies the API server (PEM).",
        default=_POD / "ca.crt",
        absent="the pod's",
    )
    token_file: Path = setting(
        File(),
        "The token that Sealyard authenticates with; read for each review.",
        default=_POD / "token",
        absent="the pod's",
    )


KUBERNETES: Final = Section(
    AdminKubernetes,
    "admin_kubernetes",
    "`admin.kubernetes`: service account tokens, checked with the TokenReview API",
)


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """Where the admin API listens, whom it admits, and whether it has a status page and a tap.

    `ladder_file` keeps what the ladder has counted over restarts; None: since the start alone.
    """

    listen: Address = setting(Listen(), "Where the admin API listens.", restart=True)
    tokens: tuple[AdminToken, ...] = setting(
        ListOf(TOKEN), "Bearer tokens, each with its scopes.", default=()
    )
    tls: ListenerTls | None = setting(
        TLS,
        "TLS for callers. With `client_ca`, a client certificate is required, or, if there are"
        " `clients`, accepted in place of a token.",
        default=None,
    )
    clients: tuple[AdminClient, ...] = setting(
        ListOf(CLIENT),
        "Client certificates of callers, each with its scopes; needs `tls` with `client_ca`.",
        default=(),
    )
    kubernetes: AdminKubernetes | None = setting(
        KUBERNETES, "Kubernetes service accounts as callers.", default=None
    )
    status_page: bool = setting(
        Switch(), "Whether `/` serves the status page.", default=False, restart=True
    )
    tap: bool = setting(
        Switch(),
        "Whether `GET /v1/status/follow` shows live messages: shapes and sizes, no values.",
        default=False,
        restart=True,
    )
    ladder_file: Path | None = setting(
        File(),
        "The file that keeps what `GET /v1/status/steps` has counted, so that it outlives the"
        " process. Without it, the ladder knows what was counted since the start.",
        default=None,
        restart=True,
    )

    @property
    def by_hand(self) -> bool:
        """Whether anybody may seal or open values."""
        holders: list[AdminToken | AdminClient | AdminAccount] = [*self.tokens, *self.clients]
        holders += () if self.kubernetes is None else self.kubernetes.accounts
        return any({"seal", "open"} & one.scopes for one in holders)


@dataclass(frozen=True, slots=True)
class _Admin(AdminSettings):
    """The section, with the token that needs no name."""

    token: SecretReference | None = setting(
        SecretSource(), "A bearer token with the scopes `read`, `keys` and `reload`.", default=None
    )


def _admin(values: dict[str, Any], fields: Fields, problems: Problems) -> AdminSettings | None:
    simple = values.pop("token", None)
    tokens = () if simple is None else (AdminToken("token", simple, _SIMPLE_SCOPES),)
    tokens, clients = (*tokens, *values.pop("tokens", ())), values.get("clients", ())
    certified, tls = fields.get("clients"), values.get("tls")
    if certified is not None and (tls is None or tls.client_ca is None):
        problems.add(certified, "needs `tls` in `admin`", "write `tls: {…, client_ca: path}`")
    _report_duplicates(fields.place, (one.name for one in (*tokens, *clients)), problems)
    return AdminSettings(tokens=tokens, **values) if "listen" in values else None


def _report_duplicates(place: Place, names: Iterable[str], problems: Problems) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            problems.add(place, f"the name {show(name)} is given twice", "give each its own")
        seen.add(name)


ADMIN: Final = Section(
    _Admin,
    "admin",
    "`admin`; at least one of `token`, `tokens`, `clients` and `kubernetes`",
    any_of=("token", "tokens", "clients", "kubernetes"),
    make=_admin,
)
