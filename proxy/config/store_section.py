"""`keys.store`: a word, an address, or a mapping that names a Redis and who Sealyard is there."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from .addresses import Files, redis_place
from .fields import Fields
from .file_keys import STORE
from .positions import Mapping, Place
from .problems import Problems
from .settings import DEFAULT_PREFIX, RedisSettings
from .store_places import named_redis
from .values import text

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
