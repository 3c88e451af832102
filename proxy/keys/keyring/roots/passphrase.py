"""Root provider `passphrase`: a text from the environment or from a private file."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from ....config.settings import SecretReference
from ....core.errors import KeyringError, PassphraseError
from ....process import hardening
from ... import private_file
from ...policy import MAX_PASSPHRASE_BYTES
from ..root_secret import Passphrase, RootKey, Salted
from .provider import LocalRoot

_TAKEN: Final[dict[str, Passphrase]] = {}

_LENGTHS: Final = struct.Struct(">HHH")
_DERIVED: Final = struct.Struct(">HL32s")


def passphrase(name: str) -> Passphrase | None:
    """Return the passphrase of a variable, which is removed from the environment; None for none.

    Raises KeyringError for an invalid one.
    """
    found = hardening.taken(name)
    if found is None:
        return _TAKEN.get(name)
    for end in b"\n\r":
        if found and found[-1] == end:
            del found[-1]
    if not found:
        return None
    _TAKEN[name] = Passphrase(found)
    return _TAKEN[name]


def forget(name: str) -> None:
    """Overwrite the passphrase that was taken from a variable; its derived keys stay."""
    if name in _TAKEN:
        _TAKEN[name].forget()


def keep(name: str, salted: Salted, key: RootKey) -> None:
    """Keep a key that opened the keyring and is in no file, as if a passphrase had given it.

    `name` is none that a variable can have.
    """
    _TAKEN.setdefault(name, Passphrase.forgotten()).remember(salted, key)


def kept(name: str, salted: Salted) -> RootKey | None:
    """Return the key that was kept; None for none."""
    found = _TAKEN.get(name)
    return None if found is None else found.derived.get(salted)


def handed_over() -> bytearray:
    """Return all passphrases taken, for a child process; the caller overwrites the result."""
    made = bytearray()
    for name, one in _TAKEN.items():
        text, where = bytearray(one.reveal()), name.encode("utf-8", "surrogateescape")
        made += _LENGTHS.pack(len(where), len(text), len(one.derived)) + where + text
        for salted, key in one.derived.items():
            made += _DERIVED.pack(len(salted.salt), salted.count, key.reveal()) + salted.salt
        hardening.overwrite(text)
    return made


def take_over(data: bytearray) -> None:
    """Take the passphrases that the parent process handed over, and overwrite `data`."""
    try:
        for name, one in _read(memoryview(data)):
            _TAKEN[name] = one
    except struct.error:
        raise KeyringError("the passphrases from the supervisor are truncated") from None
    finally:
        hardening.overwrite(data)


def _read(data: memoryview) -> Iterator[tuple[str, Passphrase]]:
    while data:
        where, text, derived = _LENGTHS.unpack_from(data)
        data = data[_LENGTHS.size :]
        name, held = bytes(data[:where]), bytearray(data[where : where + text])
        data = data[where + text :]
        one = Passphrase(held) if held else Passphrase.forgotten()
        for _ in range(derived):
            length, count, key = _DERIVED.unpack_from(data)
            data = data[_DERIVED.size :]
            one.remember(Salted(bytes(data[:length]), count), RootKey(key))
            data = data[length:]
        yield name.decode("utf-8", "surrogateescape"), one


@dataclass(frozen=True, slots=True)
class PassphraseRoot(LocalRoot):
    """Fetches a passphrase. One newline at its end belongs to the file, not to the passphrase.

    A file is read each time, and its passphrase overwritten when it is no longer referenced. A
    variable is removed from the environment of the process, and its passphrase kept here.
    """

    kind: ClassVar[str] = "passphrase"

    reference: SecretReference
    environ: Mapping[str, str] = field(repr=False)

    def fetch(self) -> Passphrase:
        """Return the passphrase; raise PassphraseError when it is missing or empty."""
        name, path = self.reference.env or "", self.reference.file
        if path is not None:
            line = private_file.read_secret_line(path, MAX_PASSPHRASE_BYTES)
            found = Passphrase(line) if line else None
        elif self.environ is os.environ:
            found = passphrase(name)
        else:
            text = self.environ.get(name, "").removesuffix("\n").removesuffix("\r")
            found = Passphrase(text) if text else None
        if found is None:
            if path is not None:
                raise PassphraseError(f"{path} holds no passphrase; write it there")
            raise PassphraseError(f"the environment variable `{name}` holds no passphrase; set it")
        return found
