"""The kinds of root: what can open the keyring, under which key, and with which options.

A new kind is one entry of ROOT_KINDS, its options in a file of roots/, beside its provider in ROOTS
of keys/keyring/roots. The loader, the JSON Schema, the reference and the redacted settings read
this table; no other file of the configuration knows a kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..settings import SecretReference
from ..yaml.nodes import Place, Problems
from . import tables
from .addresses import Files
from .roots.aws_kms import AWS_KMS
from .roots.azure_kv import AZURE_KV
from .roots.gcp_kms import GCP_KMS
from .roots.kind import RootKind, secret_file
from .roots.pkcs11 import PKCS11
from .roots.shares import SHARES
from .roots.vault import VAULT
from .tables import Key


def _secret(place: Place, files: Files, problems: Problems) -> SecretReference | None:
    return files.secret(place, problems)


def _key(name: str, syntax: str, doc: str) -> Key:
    return Key(name, syntax, doc, tables.table("secret"))


ROOT_KINDS: Final[Mapping[str, RootKind]] = {
    "passphrase": RootKind(
        _key("passphrase", "secret", "The passphrase that opens the keyring."), _secret
    ),
    "file": RootKind(
        _key(
            "key",
            "`{file: path}`",
            "The root key that opens the keyring: a file with 32 random bytes in base64url.",
        ),
        secret_file,
    ),
    "aws-kms": AWS_KMS,
    "vault": VAULT,
    "gcp-kms": GCP_KMS,
    "azure-kv": AZURE_KV,
    "pkcs11": PKCS11,
    "shares": SHARES,
}
"""By the names that ROOTS and the wrappings of a keyring use."""

ROOT_KEYS: Final = tuple(kind.key for kind in ROOT_KINDS.values())
ROOT_TABLES: Final = tuple(table for kind in ROOT_KINDS.values() for table in kind.tables)
