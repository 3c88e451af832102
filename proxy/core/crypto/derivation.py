"""The labelled derivations of key material: HKDF-Expand (RFC 5869) with SHA-256, 32 bytes each.

A KEK is never used as a cipher key. Every use has its own label, so the uses are independent.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from . import base64url
from .context import Scope
from .secret import (
    KEY_BYTES,
    AuditKey,
    CallerKey,
    IdentityKey,
    IndexSecret,
    Kek,
    NameKey,
    PoisonKey,
    RecordKey,
    SessionKey,
)

SESSION_LABEL: Final = b"sealyard/v1/sk\x00"
COMMITMENT_LABEL: Final = b"sealyard/v1/ctx"
AUDIT_LABEL: Final = b"sealyard/v1/audit"
CALLER_LABEL: Final = b"sealyard/v1/caller"
PLACE_LABEL: Final = b"sealyard/v1/place"
CALLER_KEY_ID_LABEL: Final = b"sealyard/v1/caller-key-id"
POISON_LABEL: Final = b"sealyard/v1/poison"
RECEIPT_LABEL: Final = b"sealyard/v1/receipt"
# No authenticated record begins with it, so the two uses of the record key are independent.
PRIVATE_KEY_LABEL: Final = b"sealyard/v1/private-key"
KEYRING_ID_LABEL: Final = b"sealyard/v1/keyring-id"
KEYRING_MAC_LABEL: Final = b"sealyard/v1/keyring-mac"
SALT_LABEL: Final = b"sealyard/v1/passphrase-salt"
KEYRING_DIGEST_LABEL: Final = b"sealyard/v1/keyring-digest"
THUMBPRINT_LABEL: Final = b"sealyard/v1/kek-thumbprint"
RECORD_SEAL_LABEL: Final = b"sealyard/v1/record-seal"
RECORD_IV_LABEL: Final = b"sealyard/v1/record-iv"
PARTICIPANT_NAMES_LABEL: Final = b"sealyard/v1/participant-names"
# A SCOPE begins with a label byte below a letter's, so that no conversation has such a name.
PACKAGES_LABEL: Final = b"sealyard/v1/packages\x00"
# The number is that of the normal forms and of the table of words.
INDEX_LABEL: Final = b"sealyard/v1/index/1\x00"
EQUAL_MAC_LABEL: Final = b"sealyard/v1/equal/mac\x00"
EQUAL_CIPHER_LABEL: Final = b"sealyard/v1/equal/enc\x00"

SID_BYTES: Final = 12
SID_TIME_BYTES: Final = 4
"""A session id begins with the start of the session, in seconds since 1970 (big-endian)."""
COMMITMENT_BYTES: Final = 16
PACKAGE_COMMITMENT_BYTES: Final = 32
"""For keys from key packages, whose sender could search for two keys that share 16 bytes."""
NAME_BYTES: Final = 16
CALLER_BYTES: Final = 16
CALLER_KEY_ID_BYTES: Final = 4
KEYRING_ID_BYTES: Final = 16
SALT_BYTES: Final = 16
DIGEST_BYTES: Final = 16
THUMBPRINT_BYTES: Final = 16


def session_key(kek: Kek, sid: bytes, scope: Scope) -> SessionKey:
    """Return the durable session key of `sid` (12 bytes) in `scope` under `kek`."""
    if len(sid) != SID_BYTES:
        message = f"a session id is exactly {SID_BYTES} bytes"
        raise ValueError(message)
    return SessionKey(_expand(kek.reveal(), SESSION_LABEL + sid + _own(scope)))


def commitment_key(key: SessionKey) -> bytes:
    """Return Kctx, the key under which a session commits to contexts."""
    return _expand(key.reveal(), COMMITMENT_LABEL)


def commitment(kctx: bytes, context: bytes, size: int = COMMITMENT_BYTES) -> bytes:
    """Return the `size` bytes that commit a token to its session key and its CONTEXT."""
    return hmac.digest(kctx, context, "sha256")[:size]


def record_name(name_key: NameKey, scope: Scope) -> bytes:
    """Return the 16 bytes that name a scope in the store without revealing it."""
    return hmac.digest(name_key.reveal(), _own(scope), "sha256")[:NAME_BYTES]


def packages_name(name_key: NameKey, scope: Scope) -> bytes:
    """Return the 16 bytes that name the key packages of a scope in the store."""
    return hmac.digest(name_key.reveal(), PACKAGES_LABEL + scope.encode(), "sha256")[:NAME_BYTES]


def participant_names(identity: IdentityKey) -> NameKey:
    """Return the key that names the records of participants, whatever is rotated in a keyring.

    Key packages name their issuers and recipients by it, for as long as they open.
    """
    return NameKey(_expand(identity.reveal(), PARTICIPANT_NAMES_LABEL))


def record_tag(record_key: RecordKey, record: bytes) -> bytes:
    """Return the 32 bytes that authenticate a record of the store."""
    return hmac.digest(record_key.reveal(), record, "sha256")


def record_seal(record_key: RecordKey) -> tuple[bytes, bytes]:
    """Return the keys (32 bytes each) that seal what records say, and that their IVs come from."""
    material = record_key.reveal()
    return _expand(material, RECORD_SEAL_LABEL), _expand(material, RECORD_IV_LABEL)


def audit_key(record_key: RecordKey) -> AuditKey:
    """Return the key that chains the audit log; it outlives every KEK, as the record key does."""
    own, *past = (_expand(one.reveal(), AUDIT_LABEL) for one in record_key.all)
    return AuditKey(own, list(map(AuditKey, past)))


def place_key(record_key: RecordKey) -> bytes:
    """Return the 32 bytes under which names of clients are hashed in the log."""
    return _expand(record_key.reveal(), PLACE_LABEL)


def caller_key(record_key: RecordKey) -> CallerKey:
    """Return the key that names callers in the audit log.

    The key that chains its lines does not tell it: whoever verifies them cannot try out subjects.
    """
    own, *past = (_expand(one.reveal(), CALLER_LABEL) for one in record_key.all)
    return CallerKey(own, list(map(CallerKey, past)))


def caller_name(key: CallerKey, issuer: str, subject: str) -> tuple[str, str]:
    """Return what a caller is called in the audit log, and the id of the key, both as text."""
    text = issuer.encode(errors="surrogatepass") + b"\x00" + subject.encode(errors="surrogatepass")
    mac = hmac.digest(key.reveal(), text, "sha256")[:CALLER_BYTES]
    key_id = _expand(key.reveal(), CALLER_KEY_ID_LABEL)[:CALLER_KEY_ID_BYTES]
    return base64url.encode(mac).decode(), key_id.hex()


def receipt_seed(record_key: RecordKey) -> bytes:
    """Return the 32 bytes of the Ed25519 key (RFC 8032) that signs erase receipts."""
    return _expand(record_key.reveal(), RECEIPT_LABEL)


def poison_key(record_key: RecordKey) -> PoisonKey:
    """Return the key with which the holders of a keyring recognise poison tokens."""
    own, *past = (_expand(one.reveal(), POISON_LABEL) for one in record_key.all)
    return PoisonKey(own, list(map(PoisonKey, past)))


def poison_sid(key: PoisonKey, began: int) -> bytes:
    """Return the session id of the poison tokens of one second (since 1970).

    Without the keyring it cannot be distinguished from others. A session has it by chance with
    probability 2^-64.
    """
    time = began.to_bytes(SID_TIME_BYTES)
    tag = hmac.digest(key.reveal(), time, "sha256")
    return time + tag[: SID_BYTES - SID_TIME_BYTES]


def private_key_wrapping(record_key: RecordKey) -> bytes:
    """Return the 32 bytes that wrap private keys of participants without a passphrase."""
    return _expand(record_key.reveal(), PRIVATE_KEY_LABEL)


def keyring_id(identity: IdentityKey) -> bytes:
    """Return the 16 bytes that identify a keyring, whatever is rotated in it."""
    return _expand(identity.reveal(), KEYRING_ID_LABEL)[:KEYRING_ID_BYTES]


def passphrase_salt(identity: IdentityKey) -> bytes:
    """Return the 16 bytes with which a passphrase opens each file of a keyring (PBES2's p2s)."""
    return _expand(identity.reveal(), SALT_LABEL)[:SALT_BYTES]


def keyring_digest(identity: IdentityKey, contents: bytes) -> bytes:
    """Return the 16 bytes that identify one state of a keyring and reveal nothing of it."""
    key = _expand(identity.reveal(), KEYRING_DIGEST_LABEL)
    return hmac.digest(key, contents, "sha256")[:DIGEST_BYTES]


def keyring_mac(root_key: bytes, text: bytes) -> bytes:
    """Return the 32 bytes with which the root key (32 bytes) authenticates a keyring's file."""
    return hmac.digest(_expand(root_key, KEYRING_MAC_LABEL), text, "sha256")


def key_thumbprint(key: Kek | NameKey | RecordKey | IndexSecret) -> bytes:
    """Return the 16 bytes that identify a key of a keyring, whatever its id."""
    return _expand(key.reveal(), THUMBPRINT_LABEL)[:THUMBPRINT_BYTES]


def index_key(secret: IndexSecret, info: bytes) -> bytes:
    """Return the 32 bytes of a key of tags; `info` says of which: each part length-prefixed."""
    return _expand(secret.reveal(), INDEX_LABEL + info)


def equal_keys(secret: IndexSecret, generation: int, context: bytes) -> tuple[bytes, bytes]:
    """Return the keys of values of one CONTEXT in the equal form: of the MAC, and of the cipher."""
    info = len(context).to_bytes(4) + context + generation.to_bytes(4)
    material = secret.reveal()
    return _expand(material, EQUAL_MAC_LABEL + info), _expand(material, EQUAL_CIPHER_LABEL + info)


def _own(scope: Scope) -> bytes:
    if scope.parties is not None:
        raise ValueError("a scope with parties has keys from key packages alone")
    return scope.encode()


def _expand(material: bytes, info: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, info).derive(material)
