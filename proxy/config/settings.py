"""The settings: the content of the configuration as immutable values.

Paths are absolute, durations are in seconds, sizes in bytes, and secrets are references, never the
secrets themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, Literal, get_args

from ..core.rules.model import Rule
from .ladder_settings import LadderSettings
from .limits import Timeouts, TrafficLimits

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is: in the environment variable `env` or in `file`; one of the two."""

    env: str | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly one of the two is given."""
        if (self.env is None) == (self.file is None):
            message = "a secret reference has either env or file"
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
    """Where a listener forwards to, with or without TLS."""

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
    """A Redis Cluster, by the nodes that the others are discovered through."""

    nodes: tuple[TcpAddress, ...]


@dataclass(frozen=True, slots=True)
class RedisSentinels:
    """The master that the Sentinels monitor as `service`, and the credentials for Sentinels."""

    service: str
    nodes: tuple[TcpAddress, ...]
    user: str | None = None
    password: SecretReference | None = None


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Which Redis, how it is verified, and Sealyard's credentials.

    `tls` and its files apply to all nodes and Sentinels. `ca` None means the system's CAs; all key
    names in Redis begin with `prefix`.
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

    Without a `passphrase` it is the keyring. `file` is an encrypted private JWK that is not in the
    store.
    """

    participant: str
    passphrase: SecretReference | None = None
    file: Path | None = None


PinMode = Literal["off", "alert", "enforce"]
PIN_MODES: Final[tuple[PinMode, ...]] = get_args(PinMode)
"""What happens with a participant's key that has not been accepted."""


@dataclass(frozen=True, slots=True)
class PinSettings:
    """Which public keys of participants are trusted.

    `listed` has the thumbprints of keys by participant: no other keys of these participants are
    used, in any `mode`.
    """

    mode: PinMode = "alert"
    listed: Mapping[str, frozenset[str]] = field(default_factory=dict)


PACKAGE_MAX_AGE: Final = 366 * 86_400.0
"""The longest lifetime of a key package, in seconds, and the default."""


@dataclass(frozen=True, slots=True)
class KeySettings:
    """The keyring, the store, and how long session keys are used, in seconds.

    `store` is `memory`, `sqlite:` with the absolute path of a file, or `redis`; `store_options` are
    the options of its kind in `schema.store_kinds`.
    `roots` open the keyring, and are tried in their order. `keyring_id` None accepts the keyring in
    the file, whatever its id. After `lease` seconds without an answer of the first root, the keys
    are not used any more; None: without end.
    `identities` None means every participant whose private keys the keyring opens.
    With `accept_loss`, keys may exist in memory only.
    `verify_reports` are files with what `sealyard migrate verify` counted; they need not exist.
    """

    keyring: Path
    roots: tuple[RootSettings, ...]
    store: str = "memory"
    mode: Literal["durable", "ephemeral"] = "durable"
    ttl: float = 3600.0
    grace: float = 3600.0
    revocation_max_age: float = 30.0
    package_max_age: float = PACKAGE_MAX_AGE
    accept_loss: bool = False
    store_options: object | None = None
    identities: tuple[IdentitySettings, ...] | None = None
    pins: PinSettings = field(default_factory=PinSettings)
    keyring_id: str | None = None
    lease: float | None = None
    verify_reports: tuple[Path, ...] = ()


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
