"""The kinds of root: what can open the keyring, under which key, and with which options.

A new kind is one entry of ROOT_KINDS, its options in a file of roots/ of the same name, beside its
provider in ROOTS of keys/keyring/roots. No other file of the configuration knows a kind.

Options are a `SecretReference` or a frozen dataclass of texts, numbers, paths, `SecretReference`s
and tuples of these: `values.inside` finds the files and variables in them, and the admin API shows
them, so a secret may only be in them as a `SecretReference`. Files among them are watched: one of
them that changes causes a reload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..declared.addresses import SecretReference, SecretSource
from ..declared.section import Key, LazySection
from ..values import inside


@dataclass(frozen=True, slots=True)
class RootSettings:
    """What opens the keyring: the kind of root provider, a name of ROOT_KINDS, and its options."""

    kind: str
    options: object

    @property
    def secrets(self) -> tuple[SecretReference, ...]:
        """The references to secrets among the options."""
        return tuple(one for one in inside(self.options) if isinstance(one, SecretReference))


@dataclass(frozen=True, slots=True)
class RootKind:
    """A kind of root: its key in `keys.keyring`, which reads its options.

    A `service` is one that others may use as well: it opens whatever they wrapped with its key, so
    the keyring must be pinned by its id.
    """

    key: Key
    service: bool = False


def _service(name: str, doc: str) -> RootKind:
    """Return a kind whose options are in a file, imported where a configuration has such a root."""
    section = LazySection(f"settings.roots.{name.replace('-', '_')}:OPTIONS")
    return RootKind(Key(name, section, doc), service=True)


ROOT_KINDS: Final[Mapping[str, RootKind]] = {
    "passphrase": RootKind(
        Key("passphrase", SecretSource(), "The passphrase that opens the keyring.")
    ),
    "file": RootKind(
        Key(
            "key",
            SecretSource(in_file=True),
            "The root key that opens the keyring: a file with 32 random bytes in base64url.",
        )
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
ROOT_NAMES: Final = {kind.key.name: name for name, kind in ROOT_KINDS.items()}
"""The names of the kinds by their keys."""
