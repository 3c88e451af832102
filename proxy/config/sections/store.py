"""`keys.store`: a word, an address, or a mapping that names a Redis and who Sealyard is there."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..schema.file_keys import MOST_DATABASE, STORE
from ..schema.mapping_reader import Fields
from ..settings import (
    DEFAULT_PREFIX,
    RedisCluster,
    RedisSentinels,
    RedisSettings,
    SecretReference,
    TcpAddress,
)
from ..yaml.nodes import Mapping, Place, Problems
from ..yaml.scalars import elements, text, whole
from .addresses import Files, redis_place

_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_KINDS: Final = ("url", "cluster", "sentinels")
_OF_SENTINELS: Final = ("service", "db", "sentinel_user", "sentinel_password")


def named_redis(fields: Fields, files: Files, problems: Problems) -> RedisSettings | None:
    """Return the Redis that is named and how it is reached, or None after telling what is wrong.

    Who Sealyard is there, and its certificates, are still to be filled in.
    """
    given = [name for name in _KINDS if fields.get(name) is not None]
    if len(given) != 1:
        problems.add(fields.place, "give one of `url`, `cluster` and `sentinels`")
        return None
    kind, place = given[0], fields[given[0]]
    if kind == "sentinels":
        return _sentinels(fields, files, problems)
    for name in _OF_SENTINELS:
        other = fields.get(name)
        if other is not None:
            problems.add(other, "is for `sentinels`")
    if kind == "url":
        return _one(place, files, problems)
    found = _nodes(place, _REDIS_PORT, problems)
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
    service = _text_of_place(fields, "service", problems)
    db = fields.get("db")
    number = 0 if db is None else whole(db, problems, low=0, high=MOST_DATABASE)
    user, password = _who(fields, files, problems)
    if fields.get("service") is None:
        problems.add(fields.place, "`sentinels` need `service`")
    if found is None or service is None or number is None:
        return None
    return replace(found[0], address=RedisSentinels(service, found[1], user, password), db=number)


def _who(
    fields: Fields, files: Files, problems: Problems
) -> tuple[str | None, SecretReference | None]:
    password = fields.get("sentinel_password")
    if password is None and fields.get("sentinel_user") is not None:
        problems.add(fields.place, "`sentinel_user` needs `sentinel_password`")
    secret = None if password is None else files.secret(password, problems)
    return _text_of_place(fields, "sentinel_user", problems), secret


def _nodes(
    place: Place, default_port: int, problems: Problems
) -> tuple[RedisSettings, tuple[TcpAddress, ...]] | None:
    """Return how the nodes of a list are reached, all in one way, and their addresses."""
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
            problems.add(one, "a node has no database here", "write `redis://host:port`")
        found.append(node.address)
        ways.add(node.tls)
    if len(ways) > 1:
        problems.add(place, "give all as `redis://` or all as `rediss://`")
    if not found or len(found) < len(places):
        return None
    return RedisSettings(found[0], tls=True in ways), tuple(found)


def _text_of_place(fields: Fields, name: str, problems: Problems) -> str | None:
    given = fields.get(name)
    return None if given is None else text(given, problems)


_HINT: Final = "write `memory`, `sqlite:keys.db`, `redis://host:6379/0` or a mapping"
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TLS_KEYS: Final = ("ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class StoreChoice:
    """The store as the settings of keys hold it."""

    address: str = "memory"
    redis: RedisSettings | None = None


def store_choice(place: Place, files: Files, problems: Problems) -> StoreChoice | None:
    """Return which store is asked for, or None after telling what is wrong."""
    if isinstance(place.node, Mapping):
        redis = _mapping(place, files, problems)
        return None if redis is None else StoreChoice("redis", redis)
    written = text(place, problems)
    if written is None:
        return None
    if written == "memory":
        return StoreChoice()
    if written.startswith("sqlite:"):
        return _sqlite(written.removeprefix("sqlite:"), place, files, problems)
    if written.startswith(("redis:", "rediss:")):
        redis = redis_place(written, place, problems)
        return None if redis is None else StoreChoice("redis", redis)
    problems.add(place, "is no store", _HINT)  # not shown: it may hold a password
    return None


def _sqlite(path: str, place: Place, files: Files, problems: Problems) -> StoreChoice | None:
    if not path.strip("/"):
        problems.add(place, "lacks the path of a file", "write `sqlite:keys.db`")
        return None
    return StoreChoice(f"sqlite:{files.folder / Path(path)}")


def _mapping(place: Place, files: Files, problems: Problems) -> RedisSettings | None:
    fields = Fields(place, STORE, problems)
    redis = named_redis(fields, files, problems)
    password = fields.get("password")
    secret = None if password is None else files.secret(password, problems)
    ca, cert, key = (
        None if given is None else files.path(given, problems)
        for given in map(fields.get, _TLS_KEYS)
    )
    if redis is None:
        return None
    _check_tls(fields, redis, problems)
    if fields.get("user") is not None and password is None:
        problems.add(place, "`user` needs `password`")
    return replace(
        redis,
        user=_text(fields, "user", problems),
        password=secret,
        ca=ca,
        cert=cert,
        key=key,
        prefix=_prefix(fields, problems),
    )


def _check_tls(fields: Fields, redis: RedisSettings, problems: Problems) -> None:
    for name in _TLS_KEYS:
        given = fields.get(name)
        if given is not None and not redis.tls:
            problems.add(given, "is for TLS", "write `rediss://`")
    if (fields.get("cert") is None) != (fields.get("key") is None):
        problems.add(fields.place, "`cert` and `key` belong together")


def _text(fields: Fields, name: str, problems: Problems) -> str | None:
    given = fields.get(name)
    return None if given is None else text(given, problems)


def _prefix(fields: Fields, problems: Problems) -> str:
    given = fields.get("prefix")
    written = _text(fields, "prefix", problems)
    if given is None or written is None:
        return DEFAULT_PREFIX
    if not _PREFIX.fullmatch(written):
        problems.add(given, "a prefix is 1 to 64 of the characters A-Z a-z 0-9 _ . -")
    return written
