"""What a kind of root is for the configuration, and readers of values that several kinds have."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...settings import SecretReference
from ...yaml.nodes import Place, Problems, show
from ...yaml.scalars import text
from ..addresses import Files
from ..tables import Key, Table

OptionsReader = Callable[[Place, Files, Problems], object | None]
"""Reads the value of a kind's key: its options, or None after reporting what is wrong.

Options are a `SecretReference` or a frozen dataclass of texts, numbers, paths, `SecretReference`s
and tuples of these: `RootSettings` finds the files and variables in them, and the admin API shows
them, so a secret may only be in them as a `SecretReference`. Files among them are watched: one of
them that changes causes a reload.
"""


@dataclass(frozen=True, slots=True)
class RootKind:
    """A kind of root: its key in `keys.keyring` and how the key's value is read.

    `tables` describes the mappings inside the value, for the JSON Schema and the reference. A
    `service` is one that others may use as well: it opens whatever they wrapped with its key, so
    the keyring must be pinned by its id.
    """

    key: Key
    read: OptionsReader
    tables: tuple[Table, ...] = ()
    service: bool = False


_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
    r"(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?"
)
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def service_url(place: Place, problems: Problems) -> str | None:
    """Return the URL of a key service: `https`, or `http` on this machine.

    What unwraps the root key travels there and back.
    """
    written = text(place, problems)
    if written is None:
        return None
    found = _URL.fullmatch(written)
    if found is None:
        hint = "for example `https://kms.example.com`, without a user, a query or a fragment"
        problems.add(place, "is not the URL of a service", hint)
        return None
    if found["scheme"] == "http" and found["host"] not in _THIS_MACHINE:
        problems.add(place, f"{show(written)} is not encrypted", "write `https://`")
        return None
    return written


def secret_file(place: Place, files: Files, problems: Problems) -> SecretReference | None:
    """Return a reference to a secret in a file.

    In the environment it would stay readable while the process runs, since it is read again.
    """
    secret = files.secret(place, problems)
    if secret is not None and secret.file is None:
        problems.add(place, "must be in a file", "write `{file: path}`")
        return None
    return secret
