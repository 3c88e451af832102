"""The kinds of root: what can open the keyring, under which key, and with which options.

A new kind is one entry of ROOT_KINDS, its options in a file of roots/ of the same name, beside its
provider in ROOTS of keys/keyring/roots. The loader, the JSON Schema, the reference and the redacted
settings read this table; no other file of the configuration knows a kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from ..settings import SecretReference
from ..yaml.nodes import Place, Problems
from . import tables
from .addresses import Files
from .roots.kind import RootKind, RootOptions, secret_file
from .tables import Key


def _secret(place: Place, files: Files, problems: Problems) -> SecretReference | None:
    return files.secret(place, problems)


def _key(name: str, syntax: str, doc: str) -> Key:
    return Key(name, syntax, doc, tables.table("secret"))


def _service(name: str, doc: str) -> RootKind:
    """Return a kind whose options are in a file, imported where a configuration has such a root."""
    module = name.replace("-", "_")

    def options() -> RootOptions:
        found: RootOptions = import_module(f"{__package__}.roots.{module}").OPTIONS
        return found

    return RootKind(Key(name, "mapping", doc, tables.table(module)), options, service=True)


ROOT_KINDS: Final[Mapping[str, RootKind]] = {
    "passphrase": RootKind(
        _key("passphrase", "secret", "The passphrase that opens the keyring."),
        lambda: RootOptions(_secret),
    ),
    "file": RootKind(
        _key(
            "key",
            "`{file: path}`",
            "The root key that opens the keyring: a file with 32 random bytes in base64url.",
        ),
        lambda: RootOptions(secret_file),
    ),
    "aws-kms": _service(
        "aws-kms",
        "A key of AWS KMS opens the keyring. Credentials are found where AWS' libraries look.",
    ),
    "vault": _service(
        "vault", "A key of the transit engine of Vault or OpenBao opens the keyring."
    ),
    "gcp-kms": _service("gcp-kms", "A key of Google Cloud KMS opens the keyring."),
    "azure-kv": _service(
        "azure-kv", "A key of Azure Key Vault or of a Managed HSM opens the keyring."
    ),
    "pkcs11": _service(
        "pkcs11",
        "A key of a token (an HSM, a smart card, a TPM) opens the keyring; needs the extra"
        " `sealyard[pkcs11]`.",
    ),
    "shares": _service(
        "shares",
        "Operators open the keyring: as many as needed hand in their shares with `sealyard keys"
        " unlock`. Sealyard is not ready before.",
    ),
}
"""By the names that ROOTS and the wrappings of a keyring use."""

ROOT_KEYS: Final = tuple(kind.key for kind in ROOT_KINDS.values())
