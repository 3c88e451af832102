"""Root provider `passphrase`: a text from the environment or from a private file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ...config.settings import SecretReference
from ...core.errors import KeyringError
from .. import private_file
from .provider import MAX_PASSPHRASE_BYTES, Passphrase


@dataclass(frozen=True, slots=True)
class PassphraseRoot:
    """Fetches a passphrase. One newline at its end is taken as the file's, not the passphrase's."""

    kind: ClassVar[str] = "passphrase"

    reference: SecretReference
    environ: Mapping[str, str] = field(repr=False)

    def fetch(self) -> Passphrase:
        """Return the passphrase; raise KeyringError when it is missing or empty."""
        name, path = self.reference.env, self.reference.file
        if path is not None:
            line = private_file.read_line(path, MAX_PASSPHRASE_BYTES)
            text = line.decode(errors="surrogateescape")  # which Passphrase then refuses
        else:
            text = self.environ.get(name or "", "").removesuffix("\n").removesuffix("\r")
        if not text:
            raise KeyringError(f"{path or f'environment variable {name}'}: holds no passphrase")
        return Passphrase(text)
