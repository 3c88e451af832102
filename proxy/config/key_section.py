"""The section `keys`: keyring, store, sessions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from .addresses import Files
from .fields import Fields
from .file_keys import KEYRING, KEYS, SESSIONS
from .positions import Mapping, Place, Scalar
from .problems import Problems, show
from .settings import KeySettings, RootSettings
from .values import duration, positive_duration, text

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
_MOST_GRACE: Final = 366 * DAY
_LATER_STORE: Final = re.compile(r"sqlite:|rediss?:")
_LATER_MODE: Final = "ephemeral"


def key_settings(place: Place, files: Files, problems: Problems) -> KeySettings | None:
    """Return the settings of keys, or None after telling what is wrong."""
    fields = Fields(place, KEYS, problems)
    store, sessions, keyring = fields.get("store"), fields.get("sessions"), fields.get("keyring")
    if store is not None:
        _check_store(store, problems)
    ttl, grace = (None, None) if sessions is None else _sessions(sessions, problems)
    opened = None if keyring is None else _keyring(keyring, files, problems)
    if opened is None:
        return None
    path, root = opened
    return KeySettings(
        path,
        root,
        ttl=HOUR if ttl is None else ttl,
        grace=HOUR if grace is None else grace,
    )


def _keyring(place: Place, files: Files, problems: Problems) -> tuple[Path, RootSettings] | None:
    fields = Fields(place, KEYRING, problems)
    path = files.path(fields["file"], problems) if fields.get("file") else None
    root = _root(fields, files, problems)
    return None if path is None or root is None else (path, root)


def _root(fields: Fields, files: Files, problems: Problems) -> RootSettings | None:
    passphrase, key = fields.get("passphrase"), fields.get("key")
    if passphrase is not None and key is not None:
        problems.add(fields.place, "give one of `passphrase` and `key`")
        return None
    if passphrase is not None:
        secret = files.secret(passphrase, problems)
        return None if secret is None else RootSettings("passphrase", secret)
    if key is not None:
        secret = files.secret(key, problems)
        if secret is None:
            return None
        if secret.file is None:
            problems.add(key, "a root key is read from a file", "write `{file: path}`")
            return None
        return RootSettings("file", secret)
    if isinstance(fields.place.node, Mapping):
        problems.add(
            fields.place, "lacks what opens the keyring", "give `passphrase: {env: NAME}` or `key`"
        )
    return None


def _check_store(place: Place, problems: Problems) -> None:
    if isinstance(place.node, Mapping):
        problems.add(place, "a store as a mapping is not supported yet", "write `memory`")
        return
    word = text(place, problems)
    if word is None or word == "memory":
        return
    match = _LATER_STORE.match(word)
    if match:
        # Only the kind is named: an address may hold a password.
        problems.add(place, f"the store `{match[0]}` is not supported yet", "write `memory`")
    else:
        problems.add(place, "is no store", "write `memory`")


def _sessions(place: Place, problems: Problems) -> tuple[float | None, float | None]:
    fields = Fields(place, SESSIONS, problems)
    mode, ttl, grace = fields.get("mode"), fields.get("ttl"), fields.get("grace")
    if mode is not None:
        _check_mode(mode, problems)
    return (
        None if ttl is None else positive_duration(ttl, problems, high=DAY),
        None if grace is None else duration(grace, problems, high=_MOST_GRACE),
    )


def _check_mode(place: Place, problems: Problems) -> None:
    if isinstance(place.node, Scalar) and place.node.text == _LATER_MODE:
        problems.add(place, "`ephemeral` is not supported yet", "write `durable`")
        return
    word = text(place, problems)
    if word not in {None, "durable"}:
        problems.add(place, f"{show(word or '')} is unknown", "write `durable`")
