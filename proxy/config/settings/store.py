"""The key `keys.store`: how it names each kind of store, and the options of Redis.

A new kind is one entry of STORE_KINDS beside its factory in STORES of keys/stores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ..declared.addresses import HOST, PORT, UNIX, SecretReference, SecretSource, connected, unix
from ..declared.composed import ListOf
from ..declared.kinds import File, PlainText, WholeNumber
from ..declared.section import Fields, Section, setting
from ..values import Address, TcpAddress
from ..yaml.nodes import Place, Problems
from ..yaml.scalars import text

_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_REDIS: Final = re.compile(rf"(?P<scheme>rediss?)://{HOST}(?::{PORT})?(?:/(?P<db>[0-9]{{1,5}})?)?")
_NODE_SYNTAX: Final = "list of `redis://host:port`, `rediss://host:port`"
_TLS_KEYS: Final = ("ca", "cert", "key")
_OF_SENTINELS: Final = ("service", "db", "sentinel_user", "sentinel_password")


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
    user: str | None = setting(PlainText("name"), "The ACL user in Redis.", absent="`default`")
    password: SecretReference | None = setting(SecretSource(), "Its password.", default=None)
    ca: Path | None = setting(
        File(), "The CA certificates that verify Redis (PEM).", absent="the system's CAs"
    )
    cert: Path | None = setting(
        File(), "Sealyard's client certificate (PEM); with `key`.", default=None
    )
    key: Path | None = setting(File(), "Its private key (PEM); with `cert`.", default=None)
    prefix: str = setting(
        PlainText(
            form=re.compile(r"[A-Za-z0-9_.-]{1,64}"),
            refused="is not a prefix: 1 to 64 of the characters A-Z a-z 0-9 _ . -",
            secret=True,
        ),
        "The prefix of all key names in Redis.",
        default="sealyard",
    )


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The store: `memory`, `sqlite:` with the absolute path of a file, or `redis`.

    `options` are those of its kind: of Redis, RedisSettings.
    """

    address: str = "memory"
    options: object | None = None


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The address of a Redis; never shown, since it may hold a password.

    A `node` is one of several, which has no database; the `url` of one may also be a Unix socket.
    """

    node: bool = False
    port: int = _REDIS_PORT

    @property
    def syntax(self) -> str:
        """How it is written."""
        one = "`redis://host:port`, `rediss://host:port`"
        return one if self.node else f"{one.replace('port`', 'port/db`')}, `unix:/path`"

    @property
    def pattern(self) -> str:
        """What it matches, for the JSON Schema."""
        return _REDIS.pattern if self.node else f"{UNIX}|{_REDIS.pattern}"

    def read(self, place: Place, problems: Problems) -> RedisSettings | None:
        """Return which Redis to connect to."""
        written = text(place, problems)
        if written is None:
            return None
        if written.startswith("unix:") and not self.node:
            socket = unix(written, place, problems)
            return None if socket is None else RedisSettings(socket)
        match = _REDIS.fullmatch(written)
        if match is None:
            _not_redis(written, place, problems)
            return None
        if self.node and match["db"] and int(match["db"]):
            problems.add(place, "a node has no database number", "write `redis://host:port`")
        address = connected(match, int(match["port"] or self.port), place, problems)
        if address is None:
            return None
        return RedisSettings(address, tls=match["scheme"] == "rediss", db=int(match["db"] or 0))


def _not_redis(written: str, place: Place, problems: Problems) -> None:
    if "@" in written:
        hint = "write a mapping with `url`, `user` and `password: {env: NAME}`"
        problems.add(place, "a Redis URL must not contain a user or password", hint)
    else:
        problems.add(place, "is not a Redis URL", "write `redis://host:6379/0`")


@dataclass(frozen=True, slots=True)
class _Redis(RedisSettings):
    """The mapping: where Redis is, and what else is said of it."""

    url: RedisSettings | None = setting(
        RedisUrl(), "The Redis server; `rediss` is TLS with verification.", default=None
    )
    cluster: tuple[RedisSettings, ...] = setting(
        ListOf(RedisUrl(node=True), _NODE_SYNTAX),
        "Nodes of a Redis Cluster; the others are discovered through them.",
        default=(),
    )
    sentinels: tuple[RedisSettings, ...] = setting(
        ListOf(RedisUrl(node=True, port=_SENTINEL_PORT), _NODE_SYNTAX),
        "Redis Sentinels; needs `service`.",
        default=(),
    )
    service: str | None = setting(
        PlainText("name"), "The name under which the Sentinels monitor the master.", default=None
    )
    db: int = setting(
        WholeNumber(0, 99_999),
        "The database on the Sentinels' master; a `url` has it at its end.",
        default=0,
    )
    sentinel_user: str | None = setting(
        PlainText("name"), "The ACL user on the Sentinels.", default=None
    )
    sentinel_password: SecretReference | None = setting(
        SecretSource(), "Its password.", default=None
    )


def _redis(values: dict[str, Any], fields: Fields, problems: Problems) -> StoreSettings | None:
    found = _place(values, fields, problems)
    if found is None:
        return None
    _check_tls(fields, found, problems)
    ours = ("user", "password", "prefix", *_TLS_KEYS)
    return StoreSettings(
        "redis", replace(found, **{name: values[name] for name in ours if name in values})
    )


def _place(values: dict[str, Any], fields: Fields, problems: Problems) -> RedisSettings | None:
    """Return which Redis to connect to, or None after reporting what is wrong."""
    if not fields.whole:
        return None
    if fields.get("sentinels") is not None:
        return _sentinels(values, fields, problems)
    for name in _OF_SENTINELS:
        other = fields.get(name)
        if other is not None:
            problems.add(other, "only applies to `sentinels`", "delete it")
    if fields.get("cluster") is None:
        one: RedisSettings | None = values.get("url")
        return one
    found = _nodes("cluster", values, fields, problems)
    return None if found is None else replace(found[0], address=RedisCluster(found[1]))


def _sentinels(values: dict[str, Any], fields: Fields, problems: Problems) -> RedisSettings | None:
    found = _nodes("sentinels", values, fields, problems)
    user, password = values.get("sentinel_user"), values.get("sentinel_password")
    if found is None or "service" not in values:
        return None
    master = RedisSentinels(values["service"], found[1], user, password)
    return replace(found[0], address=master, db=values.get("db", 0))


def _nodes(
    name: str, values: dict[str, Any], fields: Fields, problems: Problems
) -> tuple[RedisSettings, tuple[TcpAddress, ...]] | None:
    """Return how to connect to the nodes of a list, the same for all, and their addresses."""
    nodes: tuple[RedisSettings, ...] = values.get(name, ())
    if len({one.tls for one in nodes}) > 1:
        hint = "use one of them for all nodes"
        problems.add(fields[name], "mixes `redis://` and `rediss://`", hint)
    if not nodes:
        return None
    found = tuple(one.address for one in nodes if isinstance(one.address, TcpAddress))
    return RedisSettings(found[0], tls=nodes[0].tls), found


def _check_tls(fields: Fields, redis: RedisSettings, problems: Problems) -> None:
    for name in _TLS_KEYS:
        given = fields.get(name)
        if given is not None and not redis.tls:
            problems.add(given, "only applies to TLS", "write `rediss://`")


STORE: Final = Section(
    _Redis,
    "store",
    "`keys.store` as a mapping",
    one_of=("url", "cluster", "sentinels"),
    needs=(
        ("sentinels", "service"),
        ("sentinel_user", "sentinel_password"),
        ("user", "password"),
        ("cert", "key"),
        ("key", "cert"),
    ),
    make=_redis,
)


def _memory(_: str, __: Place, ___: Problems) -> StoreSettings:
    return StoreSettings("memory")


def _sqlite(written: str, place: Place, problems: Problems) -> StoreSettings | None:
    path = written.removeprefix("sqlite:")
    if not path.strip("/"):
        problems.add(place, "lacks the path of a file", "write `sqlite:keys.db`")
        return None
    return StoreSettings(f"sqlite:{problems.folder / path}")


def _url(_: str, place: Place, problems: Problems) -> StoreSettings | None:
    redis = RedisUrl().read(place, problems)
    return None if redis is None else StoreSettings("redis", redis)


@dataclass(frozen=True, slots=True)
class StoreSpelling:
    """How a text names a kind of store, and how that is read."""

    pattern: str
    syntax: str
    example: str
    read: Callable[[str, Place, Problems], StoreSettings | None]


STORE_KINDS: Final[Mapping[str, StoreSpelling]] = {
    "memory": StoreSpelling("memory", "`memory`", "`memory`", _memory),
    "sqlite": StoreSpelling(r"sqlite:/*[^/][\s\S]*", "`sqlite:PATH`", "`sqlite:keys.db`", _sqlite),
    "redis": StoreSpelling(
        _REDIS.pattern,
        "`redis://host:port/db`, `rediss://host:port/db`",
        "`redis://host:6379/0`",
        _url,
    ),
}
"""By the names that STORES uses."""

STORE_SYNTAX: Final = ", ".join(kind.syntax for kind in STORE_KINDS.values())


@dataclass(frozen=True, slots=True)
class StoreText:
    """The store as a text."""

    syntax = STORE_SYNTAX
    pattern = "|".join(kind.pattern for kind in STORE_KINDS.values())

    def read(self, place: Place, problems: Problems) -> StoreSettings | None:
        """Return the store."""
        written = text(place, problems)
        if written is None:
            return None
        scheme = written.partition(":")[0]
        kind = STORE_KINDS.get("redis" if scheme == "rediss" else scheme)
        if kind is not None and (scheme == "memory") == (":" not in written):
            return kind.read(written, place, problems)
        examples = ", ".join(kind.example for kind in STORE_KINDS.values())
        # Not shown: it may hold a password.
        problems.add(place, "is not a store", f"write one of {examples}, or a mapping")
        return None
