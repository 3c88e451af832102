"""Root providers: what wraps the root key of the keyring.

A new provider is one file beside this one, one line in ROOTS and one entry in ROOT_KINDS of
config/schema/root_kinds.py, whose options are in config/schema/roots. tests/contracts/test_roots.py
says what it must do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any, Final

from ....config.settings import KeySettings
from .file import FileRoot as FileRoot
from .file import create_root_file as create_root_file
from .opening import Roots as Roots
from .provider import LocalRoot as LocalRoot
from .provider import RootProvider as RootProvider

RootFactory = Callable[[Any, Mapping[str, str]], RootProvider]
"""Makes a provider from its options, as its kind in config/schema/root_kinds.py reads them, and the
environment that its secrets are looked up in."""


def _later(module: str, name: str) -> RootFactory:
    """Return a factory that imports its provider where a configuration has that kind of root."""

    def make(options: Any, environ: Mapping[str, str]) -> RootProvider:  # noqa: ANN401 - as RootFactory
        made: RootProvider = getattr(import_module(f".{module}", __name__), name)(options, environ)
        return made

    return make


ROOTS: Final[Mapping[str, RootFactory]] = {
    "file": FileRoot,
    "passphrase": _later("passphrase", "PassphraseRoot"),
    "aws-kms": _later("aws_kms", "AwsKmsRoot"),
    "vault": _later("vault", "VaultRoot"),
    "gcp-kms": _later("gcp_kms", "GcpKmsRoot"),
    "azure-kv": _later("azure_kv", "AzureKvRoot"),
    "pkcs11": _later("pkcs11", "Pkcs11Root"),
    "shares": _later("shares", "SharesRoot"),
}


def configured(keys: KeySettings, environ: Mapping[str, str]) -> Roots:
    """Return the roots of a configuration; raise KeyringError for one that is there twice."""
    listed = tuple(ROOTS[one.kind](one.options, environ) for one in keys.keyring.roots)
    return Roots(listed, keys.keyring.id, keys.keyring.signed_by)


def serving(keys: KeySettings, environ: Mapping[str, str]) -> Roots:
    """Return the roots that open the keyring for traffic: with a lease, only the first.

    Any other would make a withdrawal by the first one's owner void.
    """
    roots = configured(keys, environ)
    return roots if keys.keyring.lease is None else replace(roots, listed=roots.listed[:1])
