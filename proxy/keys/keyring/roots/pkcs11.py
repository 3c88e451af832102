"""Root provider `pkcs11`: a key of a token (an HSM, a smart card, a TPM) wraps the root key.

The token is asked by a short-lived process; this one loads nothing of a vendor.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from ....config.settings.roots.pkcs11 import Pkcs11Options
from ....core.crypto import base64url
from ....core.errors import KeyringError
from ....process import child_process
from ....process.fitness import Finding
from ..jwk_set import decoded
from .provider import PURPOSE, Members

MODULE: Final = f"{__package__.rpartition('.')[0]}.pkcs11_process"

_Version = tuple[int, int]
_REFUSED: Final[dict[Path, _Version]] = {}
"""The files of PINs that a token has refused, as they were then.

A token locks itself after a few wrong PINs, and the keyring is opened again and again.
"""


@dataclass(frozen=True, slots=True)
class Pkcs11Root:
    """Asks a token to encrypt and decrypt; AES-GCM authenticates the keyring's id and PURPOSE."""

    kind: ClassVar[str] = "pkcs11"

    options: Pkcs11Options
    environ: Mapping[str, str] = field(repr=False)

    @property
    def key(self) -> str:
        """The labels of the token and of the key."""
        return f"{self.options.token}/{self.options.key}"

    def wrap(self, plaintext: bytes, keyring_id: str) -> Members:
        """Return the ciphertext and the mechanism."""
        wrapped = base64url.encode(self._ask("wrap", plaintext, keyring_id)).decode()
        return {"mechanism": self.options.mechanism, "ct": wrapped}

    def unwrap(self, members: Members, keyring_id: str) -> bytes:
        """Return the plaintext."""
        if set(members) != {"mechanism", "ct"}:
            raise KeyringError("a wrapping has missing or unknown members")
        if members["mechanism"] != self.options.mechanism:
            raise KeyringError("the wrapping was made by another mechanism than the configured one")
        wrapped = decoded(str(members["ct"]))
        if wrapped is None:
            raise KeyringError("a wrapping's ciphertext is not canonical base64url")
        return self._ask("unwrap", wrapped, keyring_id)

    def examine(self) -> list[Finding]:
        """Say nothing: new wrappings refuse a key that may leave the token, or is short."""
        return []

    def _ask(self, action: str, data: bytes, keyring_id: str) -> bytes:
        options, path = self.options, self.options.pin.file
        if path is None:
            raise KeyringError("a PIN is read from a file, never from the environment")
        version = _version(path)
        if version is not None and _REFUSED.get(path) == version:
            raise KeyringError(
                f"PKCS#11: the token refused the PIN in {path}; it is not tried again until the"
                " file changes"
            )
        question = {
            "token": options.token,
            "key": options.key,
            "mechanism": options.mechanism,
            "module": str(options.module),
            "serial": options.serial,
            "pin": str(path),
            "bound": f"{keyring_id} {PURPOSE}",
            "action": action,
            "data": base64.b64encode(data).decode(),
        }
        try:
            answered = child_process.ask(
                MODULE, question, self._environment(), seconds=options.timeout
            )
        except TimeoutError:
            raise KeyringError(f"PKCS#11: no answer in {options.timeout:g} s") from None
        except (OSError, ValueError):
            raise KeyringError("PKCS#11: the module ended the process that asked it") from None
        if "wrong_pin" in answered:
            if version is not None:
                _REFUSED[path] = version
            raise KeyringError(f"PKCS#11: the PIN in {path} is wrong")
        if "problem" in answered:
            raise KeyringError(f"PKCS#11: {answered['problem']}")
        return base64.b64decode(answered["data"])

    def _environment(self) -> dict[str, str]:
        kept = child_process.without_secrets(self.environ)
        given = (one.partition("=") for one in self.options.environment)
        return kept | {name: value for name, _, value in given}


def _version(path: Path) -> _Version | None:
    with suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns
    return None
