"""Passphrases out of the environment: taken from it once, each held in one place, then forgotten.

The environment is one for each process, and so is what was taken from it. A process that serves
forgets a passphrase as soon as it has opened the keyring, and goes on with the key derived from it;
it hands that to its workers, whose environment holds nothing any more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from ...core.errors import KeyringError
from ...process import wiping
from .provider import Passphrase, RootKey, Salted

_TAKEN: Final[dict[str, Passphrase]] = {}

_LENGTHS: Final = struct.Struct(">HHH")
_DERIVED: Final = struct.Struct(">HL32s")


def passphrase(name: str) -> Passphrase | None:
    """Return the passphrase of a variable, which is in the environment no more; None for none.

    Raises KeyringError for one that cannot be.
    """
    found = wiping.taken(name)
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
    """Overwrite the passphrase that was taken from a variable; what it opened, it still opens."""
    if name in _TAKEN:
        _TAKEN[name].forget()


def handed_over() -> bytearray:
    """Return all that was taken, for a process that is started from here; then overwrite it."""
    made = bytearray()
    for name, one in _TAKEN.items():
        text, where = bytearray(one.reveal()), name.encode("utf-8", "surrogateescape")
        made += _LENGTHS.pack(len(where), len(text), len(one.derived)) + where + text
        for salted, key in one.derived.items():
            made += _DERIVED.pack(len(salted.salt), salted.count, key.reveal()) + salted.salt
        wiping.overwrite(text)
    return made


def take_over(data: bytearray) -> None:
    """Know what the process has taken that started this one, and overwrite what it said."""
    try:
        for name, one in _read(memoryview(data)):
            _TAKEN[name] = one
    except struct.error:
        raise KeyringError("what a supervisor hands over was cut") from None
    finally:
        wiping.overwrite(data)


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
