"""Root providers: what wraps the root key of the keyring.

A new provider is one file beside this one, one line in ROOTS and one entry in ROOT_KINDS of
config/schema/root_kinds.py. tests/contracts/test_roots.py says what it must do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..root_secret import Passphrase, RootKey
from .file import FileRoot, create_root_file
from .passphrase import PassphraseRoot
from .provider import LocalRoot, RootProvider

__all__ = [
    "ROOTS",
    "FileRoot",
    "LocalRoot",
    "Passphrase",
    "PassphraseRoot",
    "RootFactory",
    "RootKey",
    "RootProvider",
    "create_root_file",
]

RootFactory = Callable[[Any, Mapping[str, str]], RootProvider]
"""Makes a provider from its options, as its kind in config/schema/root_kinds.py reads them, and the
environment that its secrets are looked up in."""

ROOTS: Final[Mapping[str, RootFactory]] = {
    "file": FileRoot,
    "passphrase": PassphraseRoot,
}
