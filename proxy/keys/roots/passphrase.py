"""Root provider `passphrase`: a text from the environment or from a private file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ...config.settings import SecretReference
from ...core.errors import KeyringError
from .. import private_file
from . import taken
from .provider import MAX_PASSPHRASE_BYTES, Passphrase


@dataclass(frozen=True, slots=True)
class PassphraseRoot:
    """Fetches a passphrase. One newline at its end is taken as the file's, not the passphrase's.

    From a file it is read anew each time, and overwritten when nobody has it any more. From the
    environment of the process it is taken away, and held by `taken`.
    """

    kind: ClassVar[str] = "passphrase"

    reference: SecretReference
    environ: Mapping[str, str] = field(repr=False)

    def fetch(self) -> Passphrase:
        """Return the passphrase; raise KeyringError when it is missing or empty."""
        name, path = self.reference.env or "", self.reference.file
        if path is not None:
            line = private_file.read_secret_line(path, MAX_PASSPHRASE_BYTES)
            found = Passphrase(line) if line else None
        elif self.environ is os.environ:
            found = taken.passphrase(name)
        else:
            text = self.environ.get(name, "").removesuffix("\n").removesuffix("\r")
            found = Passphrase(text) if text else None
        if found is None:
            raise KeyringError(f"{path or f'environment variable {name}'}: holds no passphrase")
        return found
