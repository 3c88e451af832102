"""The kinds of store: how `keys.store` names each, and how that is read.

A new kind is one entry of STORE_KINDS beside its factory in STORES of keys/stores. The loader, the
JSON Schema and the reference read this table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..settings import (
    DEFAULT_PREFIX,
    RedisCluster,
    RedisSentinels,
    RedisSettings,
    SecretReference,
    TcpAddress,
)
from ..yaml.nodes import Mapping as MappingNode
from ..yaml.nodes import Place, Problems
from ..yaml.scalars import elements, text, whole
from . import tables
from .addresses import Files, redis_place
from .tables import Fields, Key, Table

_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
MOST_DATABASE: Final = 99_999
_OF_SENTINELS: Final = ("service", "db", "sentinel_user", "sentinel_password")

STORE: Final = Table(
    "store",
    "`keys.store` as a mapping",
    (
        Key(
            "url",
            "`redis://host:port/db`, `rediss://host:port/db`, `unix:/path`",
            "The Redis server; `rediss` is TLS with verification.",
            tables.TEXT,
        ),
        Key(
            "cluster",
            "list of `redis://host:port`, `rediss://host:port`",
            "Nodes of a Redis Cluster; the others are discovered through them.",
            tables.many(tables.TEXT),
        ),
        Key(
            "sentinels",
            "list of `redis://host:port`, `rediss://host:port`",
            "Redis Sentinels; needs `service`.",
            tables.many(tables.TEXT),
        ),
        Key(
            "service", "name", "The name under which the Sentinels monitor the master.", tables.TEXT
        ),
        Key(
            "db",
            "whole number",
            "The database on the Sentinels' master; a `url` has it at its end.",
            tables.number(0, MOST_DATABASE),
            "0",
        ),
        Key("sentinel_user", "name", "The ACL user on the Sentinels.", tables.TEXT),
        Key("sentinel_password", "secret", "Its password.", tables.table("secret")),
        Key("user", "name", "The ACL user in Redis.", tables.TEXT, "`default`"),
        Key("password", "secret", "Its password.", tables.table("secret")),
        Key(
            "ca",
            "path",
            "The CA certificates that verify Redis (PEM).",
            tables.TEXT,
            "the system's CAs",
        ),
        Key("cert", "path", "Sealyard's client certificate (PEM); with `key`.", tables.TEXT),
        Key("key", "path", "Its private key (PEM); with `cert`.", tables.TEXT),
        Key("prefix", "text", "The prefix of all key names in Redis.", tables.TEXT, "`sealyard`"),
    ),
    alternatives=(("url",), ("cluster",), ("sentinels", "service")),
)


_PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TLS_KEYS: Final = ("ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class StoreChoice:
    """The store, as `KeySettings` has it."""

    address: str = "memory"
    options: object | None = None


def named_redis(fields: Fields, files: Files, problems: Problems) -> RedisSettings | None:
    """Return which Redis to connect to, or None after reporting what is wrong.

    The user, password, certificates and prefix are still to be filled in.
    """
    kind = fields.alternative(problems)
    if kind is None:
        return None
    if kind == "sentinels":
        return _sentinels(fields, files, problems)
    for name in _OF_SENTINELS:
        other = fields.get(name)
        if other is not None:
            problems.add(other, "only applies to `sentinels`", "delete it")
    if kind == "url":
        return _one(fields["url"], files, problems)
    found = _nodes(fields["cluster"], _REDIS_PORT, problems)
    return None if found is None else replace(found[0], address=RedisCluster(found[1]))


def _one(place: Place, files: Files, problems: Problems) -> RedisSettings | None:
    written = text(place, problems)
    if written is None:
        return None
    if written.startswith("unix:"):
        unix = files.listen(place, problems)
        return None if unix is None else RedisSettings(unix)
    return redis_place(written, place, problems)


def _sentinels(fields: Fields, files: Files, problems: Problems) -> RedisSettings | None:
    found = _nodes(fields["sentinels"], _SENTINEL_PORT, problems)
    service = fields.read("service", text, problems)
    db = fields.get("db")
    number = 0 if db is None else whole(db, problems, low=0, high=MOST_DATABASE)
    user, password = _who(fields, files, problems)
    if fields.get("service") is None:
        problems.add(
            fields.place,
            "`sentinels` needs `service`",
            "write `service: NAME`, the master's name at the Sentinels",
        )
    if found is None or service is None or number is None:
        return None
    return replace(found[0], address=RedisSentinels(service, found[1], user, password), db=number)


def _who(
    fields: Fields, files: Files, problems: Problems
) -> tuple[str | None, SecretReference | None]:
    if fields.get("sentinel_password") is None and fields.get("sentinel_user") is not None:
        problems.add(
            fields.place,
            "`sentinel_user` needs `sentinel_password`",
            "write `sentinel_password: {file: path}`",
        )
    secret = fields.read("sentinel_password", files.secret, problems)
    return fields.read("sentinel_user", text, problems), secret


def _nodes(
    place: Place, default_port: int, problems: Problems
) -> tuple[RedisSettings, tuple[TcpAddress, ...]] | None:
    """Return how to connect to the nodes of a list, the same for all, and their addresses."""
    ways: set[bool] = set()
    found: list[TcpAddress] = []
    places = elements(place, problems)
    for one in places:
        written = text(one, problems)
        if written is None:
            continue
        node = redis_place(written, one, problems, default_port=default_port)
        if node is None or not isinstance(node.address, TcpAddress):
            continue
        if node.db:
            problems.add(one, "a node has no database number", "write `redis://host:port`")
        found.append(node.address)
        ways.add(node.tls)
    if len(ways) > 1:
        problems.add(place, "mixes `redis://` and `rediss://`", "use one of them for all nodes")
    if not found or len(found) < len(places):
        return None
    return RedisSettings(found[0], tls=True in ways), tuple(found)


def _redis_mapping(place: Place, files: Files, problems: Problems) -> StoreChoice | None:
    fields = Fields(place, STORE, problems)
    redis = named_redis(fields, files, problems)
    secret = fields.read("password", files.secret, problems)
    ca, cert, key = (fields.read(name, files.path, problems) for name in _TLS_KEYS)
    if redis is None:
        return None
    _check_tls(fields, redis, problems)
    if fields.get("user") is not None and fields.get("password") is None:
        problems.add(place, "`user` needs `password`", "write `password: {file: path}`")
    whole_redis = replace(
        redis,
        user=fields.read("user", text, problems),
        password=secret,
        ca=ca,
        cert=cert,
        key=key,
        prefix=_prefix(fields, problems),
    )
    return StoreChoice("redis", whole_redis)


def _check_tls(fields: Fields, redis: RedisSettings, problems: Problems) -> None:
    for name in _TLS_KEYS:
        given = fields.get(name)
        if given is not None and not redis.tls:
            problems.add(given, "only applies to TLS", "write `rediss://`")
    if (fields.get("cert") is None) != (fields.get("key") is None):
        problems.add(fields.place, "`cert` and `key` need each other", "give both or none")


def _prefix(fields: Fields, problems: Problems) -> str:
    written = fields.read("prefix", text, problems)
    if written is None:
        return DEFAULT_PREFIX
    if not _PREFIX.fullmatch(written):
        message = "is not a prefix: 1 to 64 of the characters A-Z a-z 0-9 _ . -"
        problems.add(fields["prefix"], message)
    return written


def _memory(_: str, __: Place, ___: Files, ____: Problems) -> StoreChoice:
    return StoreChoice("memory")


def _sqlite(written: str, place: Place, files: Files, problems: Problems) -> StoreChoice | None:
    path = written.removeprefix("sqlite:")
    if not path.strip("/"):
        problems.add(place, "lacks the path of a file", "write `sqlite:keys.db`")
        return None
    return StoreChoice(f"sqlite:{files.folder / Path(path)}")


def _redis(written: str, place: Place, _: Files, problems: Problems) -> StoreChoice | None:
    redis = redis_place(written, place, problems)
    return None if redis is None else StoreChoice("redis", redis)


@dataclass(frozen=True, slots=True)
class StoreSpelling:
    """How `keys.store` names a kind of store, and how that is read.

    A text is a whole word of `spellings`, or begins with one that ends in `:`. `mapping` reads the
    long form, by the keys of `table`.
    """

    spellings: tuple[str, ...]
    syntax: str
    example: str
    read: Callable[[str, Place, Files, Problems], StoreChoice | None]
    table: Table | None = None
    mapping: Callable[[Place, Files, Problems], StoreChoice | None] | None = None

    def is_named_by(self, written: str) -> bool:
        """Tell whether a text names a store of this kind."""
        return any(
            written.startswith(one) if one.endswith(":") else written == one
            for one in self.spellings
        )


STORE_KINDS: Final[Mapping[str, StoreSpelling]] = {
    "memory": StoreSpelling(("memory",), "`memory`", "`memory`", _memory),
    "sqlite": StoreSpelling(("sqlite:",), "`sqlite:PATH`", "`sqlite:keys.db`", _sqlite),
    "redis": StoreSpelling(
        ("redis:", "rediss:"),
        "`redis://host:port/db`, `rediss://host:port/db`",
        "`redis://host:6379/0`",
        _redis,
        STORE,
        _redis_mapping,
    ),
}
"""By the names that STORES uses."""

STORE_SYNTAX: Final = ", ".join(kind.syntax for kind in STORE_KINDS.values())
STORE_TABLES: Final = tuple(kind.table for kind in STORE_KINDS.values() if kind.table is not None)


def store_choice(place: Place, files: Files, problems: Problems) -> StoreChoice | None:
    """Return the store that is chosen, or None after reporting what is wrong."""
    if isinstance(place.node, MappingNode):
        mapping = next(kind.mapping for kind in STORE_KINDS.values() if kind.mapping is not None)
        return mapping(place, files, problems)
    written = text(place, problems)
    if written is None:
        return None
    for kind in STORE_KINDS.values():
        if kind.is_named_by(written):
            return kind.read(written, place, files, problems)
    examples = ", ".join(kind.example for kind in STORE_KINDS.values())
    # Not shown: it may hold a password.
    problems.add(place, "is not a store", f"write one of {examples}, or a mapping")
    return None
