"""What a kind of root is for the configuration, and readers of values that several kinds have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...settings import SecretReference
from ...yaml.nodes import Place, Problems, show
from ...yaml.scalars import text
from .. import tables
from ..addresses import Files
from ..tables import Fields, Key, Table

OptionsReader = Callable[[Place, Files, Problems], object | None]
"""Reads the value of a kind's key: its options, or None after reporting what is wrong.

Options are a `SecretReference` or a frozen dataclass of texts, numbers, paths, `SecretReference`s
and tuples of these: `RootSettings` finds the files and variables in them, and the admin API shows
them, so a secret may only be in them as a `SecretReference`. Files among them are watched: one of
them that changes causes a reload.
"""


@dataclass(frozen=True, slots=True)
class RootOptions:
    """How the value of a kind's key is read.

    `tables` describes the mappings inside the value, for the JSON Schema and the reference.
    """

    read: OptionsReader
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class RootKind:
    """A kind of root: its key in `keys.keyring`, and what returns its options.

    A `service` is one that others may use as well: it opens whatever they wrapped with its key, so
    the keyring must be pinned by its id.
    """

    key: Key
    options: Callable[[], RootOptions]
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


def address_key(name: str, doc: str, default: str) -> Key:
    """Return the key of an address that replaces the service's own; `service_url` reads it."""
    text_of = f"{doc}: `https`, or `http` on this machine."
    return Key(name, "URL", text_of, tables.TEXT, default)


def addresses(fields: Fields, names: Iterable[str], problems: Problems) -> dict[str, str]:
    """Return those of the addresses that are given, without a slash at their end."""
    given = (name for name in names if fields.get(name))
    return {name: (service_url(fields[name], problems) or "").rstrip("/") for name in given}


def ca_key(verified: str) -> Key:
    """Return the key `ca`: the CAs of `verified` where the system's do not know it."""
    doc = f"The CA certificates that verify {verified} (PEM)."
    return Key("ca", "path", doc, tables.TEXT, "the system's")


def ca_file(fields: Fields, files: Files, problems: Problems) -> Path | None:
    """Return the file of the key `ca`; None where it is not given."""
    return fields.read("ca", files.path, problems)


def matching(
    fields: Fields, name: str, pattern: re.Pattern[str], what: str, problems: Problems
) -> str:
    """Return a text; empty if it is not given. One of another form is reported not to be `what`."""
    written = fields.read(name, text, problems) or ""
    if written and not pattern.fullmatch(written):
        problems.add(fields[name], f"{show(written)} is not {what}")
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
