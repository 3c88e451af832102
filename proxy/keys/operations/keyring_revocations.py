"""Revocations in the keyring's file, which outlive every store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...core.crypto.derivation import audit_key
from ...core.errors import KeyringError
from ..audit import AuditLog, Value
from ..keyring import file
from ..keyring.keyring import Keyring
from ..keyring.roots import RootProvider, Roots


@dataclass(frozen=True, slots=True)
class KeyringRevocations:
    """Changes the keyring at `path`, unless the change cannot be written to the audit log.

    `keyring_id` returns the id of the keyring in use, whose names are revoked.
    """

    path: Path
    roots: RootProvider | Roots
    audit: AuditLog
    keyring_id: Callable[[], str]
    clock: Callable[[], float] = time.time

    def revoke(self, name: str, not_before: int, *, of_record: bool = False) -> None:
        """Write into the keyring that what is under `name` from before `not_before` is revoked.

        That are sessions or key packages, or, `of_record`, records of a lower epoch.
        It blocks, for about 0.3 s under a passphrase. Raises KeyringError or UnfitEnvironment,
        naming the file; then the keyring is as it was.
        """

        def change(keyring: Keyring) -> Keyring:
            if self.keyring_id() not in {keyring.id, *(one.id for one in keyring.adopted)}:
                # There, a name of the keyring in use would revoke nothing.
                raise KeyringError(f"{self.path} holds another keyring than the one in use")
            now = int(self.clock())
            changed = keyring.revoke(name, not_before, now=now, of_record=of_record)
            key, path = audit_key(keyring.record_key), str(self.path)
            what = "record" if of_record else "scope"
            fields: dict[str, Value] = {"keyring": path, what: name, "not_before": not_before}
            self.audit.write(key, "keys.revoke", **fields)
            return changed

        file.update_keyring(self.path, self.roots, change)
