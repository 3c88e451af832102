"""Key packages as the store holds them, and the list of those of one conversation.

Form of either: `u8 version ‖ u64be issue ‖ IV:12 ‖ sealed JSON ‖ HMAC:32`, sealed and authenticated
over the conversation's name and all values. A package is issued again when a recipient is added:
same key, higher issue.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from ...core.crypto import base64url
from ...core.crypto.derivation import SID_BYTES
from ...core.crypto.secret import RecordKey
from ..keyring.jwk_set import decoded
from ..participants.stored_records import signed, verified
from ..policy import MAX_LISTED
from ..stores.records import RecordRefused, RecordUnknown

LIST: Final = "list"
"""The key id of the list; a session id has 16 characters."""
ROTATION_MARKER: Final = "turn"
"""The key id of the rotation marker."""

_PACKAGE_LABEL: Final = b"sealyard/v1/record/package\x00"
_LIST_LABEL: Final = b"sealyard/v1/record/packages\x00"


@dataclass(frozen=True, slots=True)
class StoredPackage:
    """A key package with what its readers need. Times are seconds since 1970.

    `issuer` and `audience` are the names of participants' records, keyed hashes; `kid` is
    that of the key that signed it.
    """

    sid: bytes
    issue: int
    issuer: str
    kid: str
    audience: tuple[str, ...]
    issued: int
    ends: int
    package: bytes

    @property
    def key_id(self) -> str:
        """The session id as text."""
        return base64url.encode(self.sid).decode()

    def facts(self) -> dict[str, Any]:
        """Return the package as JSON, with what its reader needs: who signed it."""
        fields = {"sid": self.key_id, "issue": self.issue, "kid": self.kid}
        times = {"iat": self.issued, "exp": self.ends}
        return {**fields, **times, "package": json.loads(self.package)}


@dataclass(frozen=True, slots=True)
class Listed:
    """The sessions of a conversation that have packages: key ids, each with its end."""

    issue: int = 0
    ends: tuple[tuple[str, int], ...] = ()

    def with_one(self, key_id: str, ends: int, now: float) -> Listed:
        """Return the list with one more, and without those that have ended."""
        alive = [one for one in self.ends if one[1] > now and one[0] != key_id]
        return Listed(self.issue + 1, (*alive, (key_id, ends))[-MAX_LISTED:])


def encode(stored: StoredPackage, name: str, key: RecordKey) -> bytes:
    """Return the record of a package."""
    members = {
        "sid": stored.key_id,
        "issuer": stored.issuer,
        "kid": stored.kid,
        "audience": list(stored.audience),
        "iat": stored.issued,
        "exp": stored.ends,
        "package": stored.package.decode(),
    }
    return signed(members, stored.issue, _PACKAGE_LABEL, name, key)


def decode(record: bytes, name: str, key: RecordKey) -> StoredPackage:
    """Return the package that stood under `name`; raise RecordRefused unless it was made for it."""
    issue, members = verified(record, _PACKAGE_LABEL, name, key)
    try:
        sid = decoded(members["sid"])
        stored = StoredPackage(
            sid or b"",
            issue,
            members["issuer"],
            members["kid"],
            tuple(members["audience"]),
            members["iat"],
            members["exp"],
            members["package"].encode(),
        )
    except (KeyError, TypeError, AttributeError):
        raise RecordUnknown("record-version") from None
    if len(stored.sid) != SID_BYTES:
        raise RecordUnknown("record-version")
    return stored


def stood(key_id: str, record: bytes, name: str, key: RecordKey) -> bool:
    """Whether a record is the package of the session under whose id it stood."""
    try:
        return decode(record, name, key).key_id == key_id
    except RecordRefused:
        return False


def encode_list(listed: Listed, name: str, key: RecordKey) -> bytes:
    """Return the record of a list."""
    members = {"packages": [list(one) for one in listed.ends]}
    return signed(members, listed.issue, _LIST_LABEL, name, key)


def decode_list(record: bytes, name: str, key: RecordKey) -> Listed:
    """Return the list that stood under `name`; raise RecordRefused unless it was made for it."""
    issue, members = verified(record, _LIST_LABEL, name, key)
    try:
        return Listed(issue, tuple((key_id, ends) for key_id, ends in members["packages"]))
    except (KeyError, TypeError, ValueError):
        raise RecordUnknown("record-version") from None
