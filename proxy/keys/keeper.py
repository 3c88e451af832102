"""Writing a revocation into the keyring's file, so that it outlives every store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..core.crypto.derivation import audit_key
from . import keyring_file
from .audit import AuditLog, Value
from .keyring import Keyring
from .roots import RootProvider


@dataclass(frozen=True, slots=True)
class Keeper:
    """Changes the keyring at `path`; what cannot be written to the audit log is not done."""

    path: Path
    root: RootProvider
    audit: AuditLog
    clock: Callable[[], float] = time.time

    def revoke(self, name: str, not_before: int) -> None:
        """Keep that the sessions of `name` from before `not_before` (seconds) are revoked.

        It blocks, for about 0.3 s under a passphrase. Raises KeyringError or UnfitEnvironment,
        naming the file; then the keyring is as it was.
        """

        def change(keyring: Keyring) -> Keyring:
            changed = keyring.revoke(name, not_before, now=int(self.clock()))
            key, path = audit_key(keyring.record_key), str(self.path)
            told: dict[str, Value] = {"keyring": path, "scope": name, "not_before": not_before}
            self.audit.write(key, "keys.revoke", **told)
            return changed

        keyring_file.update_keyring(self.path, self.root, change)
