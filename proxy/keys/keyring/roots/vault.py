"""Root provider `vault`: a derived key of Vault's or OpenBao's transit engine wraps the root key.

https://openbao.org/api-docs/secret/transit/
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from ....config.settings.roots.vault import TokenLogin, VaultOptions
from ....core.errors import KeyringError
from ....process.fitness import Finding
from . import vault_rights
from .key_service import Answer
from .provider import PURPOSE, Members
from .vault_client import VaultClient, errors, logged_in, trouble

_CIPHERTEXT: Final = re.compile(r"vault:v[1-9][0-9]{0,8}:[A-Za-z0-9+/]{1,1024}={0,2}")


@dataclass(frozen=True, slots=True)
class VaultRoot:
    """Asks the transit engine to encrypt and decrypt, with the keyring's id as `context`.

    The context is an input of the key that the engine derives (`derived: true`): a key without
    that would ignore it, so `wrap` refuses one.
    """

    kind: ClassVar[str] = "vault"

    options: VaultOptions
    environ: Mapping[str, str] = field(repr=False, default_factory=dict)

    @property
    def key(self) -> str:
        """The key with its mount and namespace.

        The address is no part of it: operators and pods may reach one server by two, and a server
        that moves must still open.
        """
        named = (self.options.namespace, self.options.mount, self.options.key)
        return "/".join(filter(None, named))

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        """Return the ciphertext, after the engine has opened it again."""
        encoded = base64.b64encode(plaintext).decode()
        with logged_in(self.options) as client:
            self._require_derived(client)
            asked = {"plaintext": encoded, "context": _context(keyring_id)}
            ciphertext = self._ask(client, "encrypt", asked, "ciphertext")
            if not _CIPHERTEXT.fullmatch(ciphertext):
                raise KeyringError(f"Vault {client.host}: the ciphertext has another form")
            if self._decrypted(client, ciphertext, keyring_id) != plaintext:
                raise KeyringError(f"Vault {client.host}: what it encrypts it opens as another")
        return {"ct": ciphertext}

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the plaintext."""
        ciphertext = members.get("ct")
        if set(members) != {"ct"}:
            raise KeyringError("a wrapping has missing or unknown members")
        if not isinstance(ciphertext, str) or not _CIPHERTEXT.fullmatch(ciphertext):
            raise KeyringError("the wrapping has no ciphertext of Vault")
        with logged_in(self.options) as client:
            return self._decrypted(client, ciphertext, keyring_id)

    def examine(self) -> list[Finding]:
        """Return which rights are too wide, and what endangers the key."""
        with logged_in(self.options) as client:
            return vault_rights.examine(client, self.options.mount, self.options.key)

    def _decrypted(self, client: VaultClient, ciphertext: str, keyring_id: str) -> bytes:
        asked = {"ciphertext": ciphertext, "context": _context(keyring_id)}
        try:
            return base64.b64decode(self._ask(client, "decrypt", asked, "plaintext"), validate=True)
        except binascii.Error:
            raise KeyringError(f"Vault {client.host}: the plaintext is not base64") from None

    def _require_derived(self, client: VaultClient) -> None:
        """Ask to decrypt nothing without a context, since `encrypt` would make a missing key."""
        answer = client.ask(self._path("decrypt"), vault_rights.PROBE)
        if vault_rights.is_derived(answer):
            return
        if vault_rights.is_not_derived(answer):
            name = self.options.key
            raise KeyringError(
                f"Vault {client.host}: the key `{name}` ignores the context: make one with"
                " `derived=true`"
            )
        raise self._refusal(client, "decrypt", answer)

    def _ask(self, client: VaultClient, action: str, asked: dict[str, Any], wanted: str) -> str:
        answer = client.ask(self._path(action), asked)
        if not answer.ok:
            raise self._refusal(client, action, answer)
        data = answer.json().get("data")
        found = data.get(wanted) if isinstance(data, dict) else None
        if not isinstance(found, str):
            raise KeyringError(f"Vault {client.host}: the answer has no {wanted}")
        return found

    def _path(self, action: str) -> str:
        return f"{self.options.mount}/{action}/{self.options.key}"

    def _refusal(self, client: VaultClient, action: str, answer: Answer) -> KeyringError:
        reason = trouble(answer) or self._reason(action, answer)
        return KeyringError(f"Vault {client.host}: {action} with {self.key}: {reason}")

    def _reason(self, action: str, answer: Answer) -> str:
        if answer.status == 403:  # noqa: PLR2004 - Forbidden
            held = "the token has expired or was revoked, or " * isinstance(
                self.options.login, TokenLogin
            )
            path = self._path(action)
            return f"denied: {held}its policy lacks `update` on `{path}`"
        found = errors(answer)
        return next(
            (reason for text, reason in _REASONS if text in found), f"status {answer.status}"
        )


_REASONS: Final = (
    ("key not found", "there is no such key: check `key`, or restore Vault from a backup"),
    ("soft-deleted", "the key is deleted softly: restore it with `soft-delete-restore`"),
    (
        "authentication failed",
        "it does not verify: it was wrapped with another key of this name, or for another keyring",
    ),
    (
        "too old",
        "the key's version is below `min_decryption_version`: lower that, then rewrap",
    ),
    ("too new", "the key has no such version: it is another key, or from an older backup"),
)
"""What the transit engine writes, and what that means for a wrapping."""


def _context(keyring_id: str) -> str:
    return base64.b64encode(f"sealyard:{keyring_id}:{PURPOSE}".encode()).decode()
