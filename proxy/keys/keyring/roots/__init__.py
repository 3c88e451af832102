"""Root providers: who holds the secret that opens the keyring.

A new provider is one file beside this one and one line in ROOTS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ....config.settings import SecretReference
from .file import FileRoot, create_root_file
from .passphrase import PassphraseRoot
from .provider import Passphrase, RootKey, RootProvider

__all__ = [
    "ROOTS",
    "FileRoot",
    "Passphrase",
    "PassphraseRoot",
    "RootFactory",
    "RootKey",
    "RootProvider",
    "create_root_file",
]

RootFactory = Callable[[SecretReference, Mapping[str, str]], RootProvider]
"""Makes a provider from where its secret stands and the environment to look it up in."""

ROOTS: Final[Mapping[str, RootFactory]] = {
    "file": FileRoot,
    "passphrase": PassphraseRoot,
}
