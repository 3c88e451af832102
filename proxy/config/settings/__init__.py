"""The settings: the content of the configuration as immutable values.

Paths are absolute, durations are in seconds, sizes in bytes, and secrets are references, never the
secrets themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from ...core.rules.model import Rule
from ..declared.addresses import SecretReference
from ..ladder_settings import LadderSettings
from ..limits import Timeouts, TrafficLimits
from ..values import (
    Address,
    Network,
    OriginalPort,
    TcpAddress,
    UnixAddress,
    UpstreamSettings,
)
from .keys import (
    PIN_MODES,
    IdentitySettings,
    KeyringSettings,
    KeySettings,
    PinMode,
    PinSettings,
    SessionSettings,
)
from .root_kinds import RootSettings
from .store import RedisCluster, RedisSentinels, RedisSettings, StoreSettings

__all__ = [
    "ADMIN_SCOPES",
    "PIN_MODES",
    "STALLED_SECONDS",
    "Address",
    "AdminAccount",
    "AdminClient",
    "AdminKubernetes",
    "AdminScope",
    "AdminSettings",
    "AdminToken",
    "AuditSettings",
    "ClientClose",
    "HealthSettings",
    "IdentitySettings",
    "KeySettings",
    "KeyringSettings",
    "ListenerSettings",
    "ListenerTls",
    "Loaded",
    "Network",
    "OriginalPort",
    "PinMode",
    "PinSettings",
    "RedisCluster",
    "RedisSentinels",
    "RedisSettings",
    "RootSettings",
    "RuleLog",
    "SecretReference",
    "SessionSettings",
    "Settings",
    "StoreSettings",
    "TcpAddress",
    "UnixAddress",
    "UpstreamSettings",
    "UpstreamTls",
]

STALLED_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """The health listener: for probes and scrapers, without a token.

    `stalled_after` seconds without a heartbeat of the traffic's event loop, the process counts as
    stalled.
    """

    listen: Address
    stalled_after: float = STALLED_SECONDS


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The audit log, which running processes and commands append to.

    With `block`, an operation that cannot be recorded is refused; without it, it is done, and the
    failure is counted and logged.
    """

    file: Path
    block: bool = True


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """The certificate of a listener; with `client_ca`, clients must present one as well."""

    cert: Path
    key: Path
    client_ca: Path | None = None


AdminScope = Literal["read", "keys", "accept", "reload", "seal", "open"]
ADMIN_SCOPES: Final[tuple[AdminScope, ...]] = get_args(AdminScope)
"""The scopes of callers of the admin API."""


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A bearer token, its scopes, and when it expires (seconds since 1970; 0: never)."""

    name: str
    secret: SecretReference
    scopes: frozenset[AdminScope]
    expires: int = 0


@dataclass(frozen=True, slots=True)
class AdminClient:
    """A client certificate, by `subject` (RFC 4514) or a `dns` or `uri` of its subjectAltName."""

    name: str
    kind: str
    value: str
    scopes: frozenset[AdminScope]


@dataclass(frozen=True, slots=True)
class AdminAccount:
    """A Kubernetes service account, as `namespace/name`, and its scopes."""

    account: str
    scopes: frozenset[AdminScope]


@dataclass(frozen=True, slots=True)
class AdminKubernetes:
    """The service accounts that are admitted, and the API server that reviews their tokens.

    `api` is called over HTTPS and verified by `ca`; `token_file` has the token for it.
    """

    accounts: tuple[AdminAccount, ...]
    audience: str
    api: TcpAddress
    ca: Path
    token_file: Path


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """Where the admin API listens, whom it admits, and whether it has a status page and a tap.

    `ladder_file` keeps what the ladder has counted over restarts; None: since the start alone.
    """

    listen: Address
    tokens: tuple[AdminToken, ...] = ()
    tls: ListenerTls | None = None
    clients: tuple[AdminClient, ...] = ()
    kubernetes: AdminKubernetes | None = None
    status_page: bool = False
    tap: bool = False
    ladder_file: Path | None = None


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """How the upstream is verified (`ca` None: the system's CAs), and Sealyard's certificate."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class RuleLog:
    """Which successful messages of a rule are logged: a share of them, or none."""

    sample: float = 1.0
    errors_only: bool = False


ClientClose = Literal["probe", "abort", "finish"]
"""What a client is taken for that closes its sending half while its response is awaited.

`probe`: it is asked by an interim response; `abort`: it has left; `finish`: it is answered.
"""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One listener: its address, its upstream, and its rules in order.

    `upstream_names` are authorities in lower case that the backend gives itself.
    `on_client_close` says what a client is taken for that closes its sending half. `log` has the
    log settings of rules by name, for those that have any.
    """

    name: str
    listen: Address
    upstream: UpstreamSettings
    pass_unmatched: bool
    rules: tuple[Rule, ...] = ()
    tls: ListenerTls | None = None
    upstream_tls: UpstreamTls | None = None
    limits: TrafficLimits = field(default_factory=TrafficLimits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    trusted_names: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    upstream_names: tuple[str, ...] = ()
    on_client_close: ClientClose = "probe"
    proxy_protocol: bool = False
    add_request_id: bool = False
    log: Mapping[str, RuleLog] = field(default_factory=dict)
    ladder: LadderSettings = field(default_factory=LadderSettings)


@dataclass(frozen=True, slots=True)
class Settings:
    """The content of one configuration file."""

    keys: KeySettings
    listeners: tuple[ListenerSettings, ...]
    admin: AdminSettings | None = None
    health: HealthSettings | None = None
    audit: AuditSettings | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a file without mistakes, and warnings for its author.

    Each warning is one line: `file:line:column path message`.
    """

    settings: Settings
    warnings: tuple[str, ...] = ()
    file: Path = Path()
