"""Which Redis the mapping of `keys.store` names: one, a cluster, or the master of Sentinels."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .addresses import Files, redis_place
from .fields import Fields
from .file_keys import MOST_DATABASE
from .positions import Place
from .problems import Problems
from .settings import RedisCluster, RedisSentinels, RedisSettings, SecretReference, TcpAddress
from .values import elements, text, whole

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
    service = _text(fields, "service", problems)
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
    return _text(fields, "sentinel_user", problems), secret


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


def _text(fields: Fields, name: str, problems: Problems) -> str | None:
    given = fields.get(name)
    return None if given is None else text(given, problems)
