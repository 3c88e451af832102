"""The settings: what the configuration says, as values that nobody changes.

Paths are absolute, durations are seconds, sizes are bytes, and secrets are references: where a
secret stands, never the secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, Literal, get_args

from ..core.rules.model import Rule
from .limits import Timeouts, TrafficLimits

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret stands: in the environment variable `env` or in `file`; one of the two."""

    env: str | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly one place is named."""
        if (self.env is None) == (self.file is None):
            message = "a secret is named by one of env and file"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host name or address (IPv6 without brackets), and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return `host:port`, as the configuration spells it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a Unix socket."""

    path: Path

    def __str__(self) -> str:
        """Return `unix:/path`, as the configuration spells it."""
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


@dataclass(frozen=True, slots=True)
class OriginalPort:
    """127.0.0.1, at the port that the client of a redirected connection called."""

    def __str__(self) -> str:
        """Return `original-port`, as the configuration spells it."""
        return "original-port"


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """The one place where a listener forwards to, with or without TLS."""

    address: Address | OriginalPort
    tls: bool = False


@dataclass(frozen=True, slots=True)
class RootSettings:
    """What opens the keyring: the kind of root provider, and its options.

    The kinds and their options are those of `schema.root_kinds`.
    """

    kind: str
    options: object

    @property
    def secrets(self) -> tuple[SecretReference, ...]:
        """The references to secrets among the options."""
        return tuple(one for one in _parts(self.options) if isinstance(one, SecretReference))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the options name, those of secrets among them."""
        return tuple(one for one in _parts(self.options) if isinstance(one, Path))


def _parts(value: object) -> Iterator[object]:
    """Yield a value and, of a dataclass or a tuple, every value inside it."""
    yield value
    if isinstance(value, tuple):
        inner: Iterable[object] = value
    elif is_dataclass(value):
        inner = (getattr(value, one.name) for one in fields(value))
    else:
        return
    for one in inner:
        yield from _parts(one)


DEFAULT_PREFIX: Final = "sealyard"


@dataclass(frozen=True, slots=True)
class RedisCluster:
    """A Redis Cluster, by the nodes that are asked for all the others."""

    nodes: tuple[TcpAddress, ...]


@dataclass(frozen=True, slots=True)
class RedisSentinels:
    """The master of `service`, as the Sentinels know it, and who Sealyard is to them."""

    service: str
    nodes: tuple[TcpAddress, ...]
    user: str | None = None
    password: SecretReference | None = None


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Which Redis, how it is verified, and who Sealyard is there.

    `tls` and its files are for every node and every Sentinel. `ca` None means the system's
    authorities; all names in Redis begin with `prefix`.
    """

    address: Address | RedisCluster | RedisSentinels
    tls: bool = False
    db: int = 0
    user: str | None = None
    password: SecretReference | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    prefix: str = DEFAULT_PREFIX


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """A participant whose private keys Sealyard may use, and what opens them.

    Without a `passphrase` that is the keyring. `file` is an encrypted JWK that the store lacks.
    """

    participant: str
    passphrase: SecretReference | None = None
    file: Path | None = None


PinMode = Literal["off", "alert", "enforce"]
PIN_MODES: Final[tuple[PinMode, ...]] = get_args(PinMode)
"""What becomes of a participant's key that nobody accepted."""


@dataclass(frozen=True, slots=True)
class PinSettings:
    """Which keys of participants are believed to be theirs.

    `listed` are the thumbprints of those whom the configuration pins: no other key of theirs is
    used, whatever `mode` says.
    """

    mode: PinMode = "alert"
    listed: Mapping[str, frozenset[str]] = field(default_factory=dict)


PACKAGE_MAX_AGE: Final = 366 * 86_400.0
"""The longest that a key package may live, in seconds, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class KeySettings:
    """The keyring, the store and how long session keys are used.

    `store` is `memory`, `sqlite:` and the absolute path of its file, or `redis` with `redis`.
    `keyring_id` None takes the keyring of the file, whichever it is.
    `identities` None stands for every participant whose private keys the keyring opens.
    `accept_loss` says that keys which stand in memory alone may be lost.
    """

    keyring: Path
    root: RootSettings
    store: str = "memory"
    mode: Literal["durable", "ephemeral"] = "durable"
    ttl: float = 3600.0
    grace: float = 3600.0
    revocation_max_age: float = 30.0
    package_max_age: float = PACKAGE_MAX_AGE
    accept_loss: bool = False
    redis: RedisSettings | None = None
    identities: tuple[IdentitySettings, ...] | None = None
    pins: PinSettings = field(default_factory=PinSettings)
    keyring_id: str | None = None


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """Where probes and scrapers ask, without a token."""

    listen: Address


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where running processes and commands write what is done with keys.

    With `block`, what cannot be written down is refused; else it is done, counted and told.
    """

    file: Path
    block: bool = True


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """The certificate that a listener shows; with `client_ca`, clients must show one as well."""

    cert: Path
    key: Path
    client_ca: Path | None = None


AdminScope = Literal["read", "keys", "accept", "reload", "seal", "open"]
ADMIN_SCOPES: Final[tuple[AdminScope, ...]] = get_args(AdminScope)
"""What a caller of the admin API may be allowed to do."""


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A bearer token, what its holder may do, and when it ends (seconds since 1970; 0: never)."""

    name: str
    secret: SecretReference
    scopes: frozenset[AdminScope]
    expires: int = 0


@dataclass(frozen=True, slots=True)
class AdminClient:
    """A certificate, by its `subject` (RFC 4514) or a `dns` or `uri` of its subjectAltName."""

    name: str
    kind: str
    value: str
    scopes: frozenset[AdminScope]


@dataclass(frozen=True, slots=True)
class AdminAccount:
    """A service account of Kubernetes, as `namespace/name`, and what it may do."""

    account: str
    scopes: frozenset[AdminScope]


@dataclass(frozen=True, slots=True)
class AdminKubernetes:
    """Which service accounts are admitted, and the API server (HTTPS) that reviews their tokens.

    `ca` signs its certificate; `token_file` holds what Sealyard shows it.
    """

    accounts: tuple[AdminAccount, ...]
    audience: str
    api: TcpAddress
    ca: Path
    token_file: Path


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """Where the admin API listens, whom it admits, and what it shows to those who look on."""

    listen: Address
    tokens: tuple[AdminToken, ...] = ()
    tls: ListenerTls | None = None
    clients: tuple[AdminClient, ...] = ()
    kubernetes: AdminKubernetes | None = None
    status_page: bool = False
    tap: bool = False


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """How the upstream is verified (`ca`: None is the system's), and what Sealyard shows it."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class RuleLog:
    """How much the log says of a rule's messages: a share of those that went well, or none."""

    sample: float = 1.0
    errors_only: bool = False


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One listener: where it accepts, where it forwards to, and its rules in order.

    `log` has what the rules of some names say of the log.
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
    log: Mapping[str, RuleLog] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that one configuration file says."""

    version: int
    keys: KeySettings
    listeners: tuple[ListenerSettings, ...]
    admin: AdminSettings | None = None
    health: HealthSettings | None = None
    audit: AuditSettings | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a file without mistakes, and what its author should still look at.

    A warning is one line: `file:line:column path message`.
    """

    settings: Settings
    warnings: tuple[str, ...] = ()
    file: Path = Path()
