"""The process that asks a PKCS#11 token once: `python -m proxy.keys.keyring.pkcs11_process`.

The vendor's module is loaded here and nowhere else: it may start threads, take signals, print,
crash or wait for ever. PKCS #11 3.1: https://docs.oasis-open.org/pkcs11/pkcs11-spec/v3.1/
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from pathlib import Path
from typing import Any, Final

from ...core.errors import KeyringError
from ...process import child_process
from ...process.hardening import guard_memory, overwrite
from .. import private_file
from ..policy import MOST_PIN_BYTES

_OfLibrary = Any
"""Of python-pkcs11, which is an extra, and gives a key its methods at run time."""

_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16
_LEAST_BITS: Final = {"aes-gcm": 256, "rsa-oaep": 2048, "rsa-oaep-256": 2048}

WRONG_PIN: Final = frozenset({"PinIncorrect", "PinInvalid", "PinLenRange"})
_GONE: Final = "the token is away: its device was removed or does not answer"
_NOT_FOR_THIS: Final = (
    "the key may not be used for this: it needs the rights to encrypt and decrypt"
)
_REASONS: Final = {
    "PinLocked": "the PIN is locked: the security officer of the token has to set it again",
    "PinExpired": "the PIN has expired and has to be changed",
    "UserPinNotInitialized": "the token has no PIN yet",
    "NoSuchToken": "no slot has a token with this label and serial number",
    "MultipleTokensReturned": "several slots have a token with this label and serial number",
    "NoSuchKey": "the token has no key of this label for the mechanism",
    "MultipleObjectsReturned": "the token has several keys of this label",
    "TokenNotPresent": _GONE,
    "TokenNotRecognised": _GONE,
    "DeviceRemoved": _GONE,
    "DeviceError": _GONE,
    "MechanismInvalid": "the token does not have the mechanism",
    "MechanismParamInvalid": "the token does not have the mechanism with these parameters",
    "ArgumentsBad": "the token does not have the mechanism with these parameters",
    "KeyFunctionNotPermitted": _NOT_FOR_THIS,
    "AttributeError": _NOT_FOR_THIS,  # the class of a key has only the methods that it may do
    "KeyTypeInconsistent": "the key is not of the mechanism's type",
}
"""By the names of python-pkcs11's exceptions, whose texts are of the vendor and are not used."""

_OPENS_NOT: Final = "does not open: another keyring or key, or the wrapping was changed"


def main() -> None:
    """Answer the question on stdin."""
    guard_memory()
    child_process.answer(answer)
    os._exit(0)  # what a vendor's library does at exit may hang, and the answer is out


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Wrap or unwrap `data` (base64), as `pkcs11.Pkcs11Root` asks; `wrong_pin` for a refused PIN.

    Raises KeyringError, with a reason for each failure.
    """
    try:
        import pkcs11  # noqa: PLC0415 - an extra, and only here
    except ImportError:
        raise KeyringError("python-pkcs11 is missing: install `sealyard[pkcs11]`") from None
    step = "the module cannot be loaded"
    try:
        library = pkcs11.lib(question["module"])
        step = "the token does not answer"
        serial = question["serial"].encode()
        token = library.get_token(token_label=question["token"], token_serial=serial)
        _require_tries(token.flags, pkcs11.TokenFlag)
        step = "no login"
        with token.open(user_pin=_pin(Path(question["pin"]))) as session:
            step = "the key cannot be used"
            key = _Key(pkcs11, session, question)
            data = base64.b64decode(question["data"])
            if question["action"] == "wrap":
                return {"data": base64.b64encode(key.wrap(data)).decode()}
            step = _OPENS_NOT
            return {"data": base64.b64encode(key.unwrap(data)).decode()}
    except KeyringError:
        raise
    except Exception as error:  # noqa: BLE001 - each is a failure, and none may be shown
        name = type(error).__name__
    if name in WRONG_PIN:
        return {"wrong_pin": True}
    raise KeyringError(_REASONS.get(name) or f"{step} ({name})")


def _require_tries(flags: _OfLibrary, flag: _OfLibrary) -> None:
    """Refuse before the login where a wrong PIN would lock the token, or has locked it."""
    if flags & flag.USER_PIN_LOCKED:
        raise KeyringError(_REASONS["PinLocked"])
    if flags & flag.USER_PIN_FINAL_TRY:
        raise KeyringError(
            "one more wrong PIN would lock the token: not tried; log in once with a tool of its"
            " vendor"
        )


def _pin(path: Path) -> str:
    found = private_file.read_secret_line(path, MOST_PIN_BYTES)
    try:
        if not found:
            raise KeyringError(f"{path}: holds no PIN")
        return found.decode()
    except UnicodeDecodeError:
        raise KeyringError(f"{path}: not UTF-8") from None
    finally:
        overwrite(found)


class _Key:
    """A key of the token, used by one mechanism."""

    def __init__(self, pkcs11: _OfLibrary, session: _OfLibrary, question: dict[str, Any]) -> None:
        self._pkcs11, self._session = pkcs11, session
        self._label, self._name = question["key"], question["mechanism"]
        self._bound = question["bound"].encode()
        self._digest = hashlib.sha256(self._bound).digest()

    def wrap(self, data: bytes) -> bytes:
        """Return what `unwrap` opens: tried here, since some tokens choose another IV."""
        self._require_strength()
        if self._name == "aes-gcm":
            iv = os.urandom(_IV_BYTES)
            made = iv + self._secret().encrypt(data, **self._gcm(iv))
        else:
            made = self._found("PUBLIC_KEY", "RSA").encrypt(self._digest + data, **self._oaep())
        try:
            opened = self.unwrap(made)
        except Exception:  # noqa: BLE001 - whatever the token says, it is not usable
            opened = b""
        if opened != data:
            raise KeyringError(
                "the token does not open what it wrapped: some choose an IV of their own for"
                " AES-GCM; use `rsa-oaep`"
            )
        return bytes(made)

    def unwrap(self, data: bytes) -> bytes:
        """Return what `wrap` took; raise KeyringError where it was bound to something else."""
        if self._name != "aes-gcm":
            opened = bytes(self._found("PRIVATE_KEY", "RSA").decrypt(data, **self._oaep()))
            digest, opened = opened[: len(self._digest)], opened[len(self._digest) :]
            if not hmac.compare_digest(digest, self._digest):
                raise KeyringError(_OPENS_NOT)
            return opened
        if len(data) <= _IV_BYTES + _TAG_BYTES:
            raise KeyringError(_OPENS_NOT)
        iv, rest = data[:_IV_BYTES], data[_IV_BYTES:]
        return bytes(self._secret().decrypt(rest, **self._gcm(iv)))

    def _require_strength(self) -> None:
        """Refuse a key for a new wrapping that is short, or that may leave the token."""
        key = self._secret() if self._name == "aes-gcm" else self._found("PRIVATE_KEY", "RSA")
        attribute = self._pkcs11.Attribute
        if key[attribute.EXTRACTABLE] or not key[attribute.SENSITIVE]:
            raise KeyringError("the key may leave the token: make one that is not extractable")
        if key.key_length < _LEAST_BITS[self._name]:
            raise KeyringError(f"the key has less than {_LEAST_BITS[self._name]} bits")

    def _secret(self) -> _OfLibrary:
        return self._found("SECRET_KEY", "AES")

    def _found(self, kind: str, of: str) -> _OfLibrary:
        return self._session.get_key(
            object_class=self._pkcs11.ObjectClass[kind],
            key_type=self._pkcs11.KeyType[of],
            label=self._label,
        )

    def _gcm(self, iv: bytes) -> dict[str, Any]:
        parameters = self._pkcs11.GCMParams(iv, self._bound, 8 * _TAG_BYTES)
        return {"mechanism": self._pkcs11.Mechanism.AES_GCM, "mechanism_param": parameters}

    def _oaep(self) -> dict[str, Any]:
        """Without a label, which few tokens have: a digest before the plaintext binds it."""
        pkcs11 = self._pkcs11
        digest = (pkcs11.Mechanism.SHA_1, pkcs11.MGF.SHA1)
        if self._name == "rsa-oaep-256":
            digest = (pkcs11.Mechanism.SHA256, pkcs11.MGF.SHA256)
        return {
            "mechanism": pkcs11.Mechanism.RSA_PKCS_OAEP,
            "mechanism_param": (*digest, None),
        }


if __name__ == "__main__":
    main()
