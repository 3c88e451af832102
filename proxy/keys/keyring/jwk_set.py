"""The keyring as text: a JWK Set (RFC 7517) of oct keys, read strictly.

`use` distinguishes the keys: one "name", one "record", any number of "kek". The members number,
created (seconds) and state belong to KEKs alone. No message ever quotes the text, and no copy of it
that is made here stays in memory.

Version 1 is what 0.1.0 reads and writes. It knows no generation and refuses unknown members, so
there the generation is stored as the revocation of a conversation that cannot exist: 0.1.0 keeps
it, as it keeps all revocations.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn, cast

from ...core.crypto import base64url, derivation
from ...core.crypto.secret import KEY_BYTES, Kek, NameKey, RecordKey, Secret
from ...core.errors import KeyringError, OpenFailed
from ...process import hardening
from .kek import MAX_REVOCATIONS, Former, KekEntry, KekState, Revocation
from .keyring import Keyring

OLD: Final = 1
VERSION: Final = 2

_SET_MEMBERS: Final = {
    OLD: frozenset({"sealyard", "highest_number", "keys"}),
    VERSION: frozenset({"sealyard", "generation", "joined_since", "retired", "keys"}),
}
# Only written where there are any, so that a keyring without them opens in older versions too; one
# with them does not, since those would open what is revoked.
_REVOCATIONS: Final = "revocations"
_PRUNED: Final = "pruned"
"""Up to when revocations were dropped; only in the new format."""
_KEY_MEMBERS: Final = frozenset({"kty", "use", "kid", "k"})
_KEK_MEMBERS: Final = _KEY_MEMBERS | {"number", "created", "state"}
_ALSO: Final = "also"
_FORMER: Final = frozenset({"former-name", "former-record"})
# A KEK id has no colon, so these two never collide with one.
_NAME_KID: Final = "sealyard:name"
_RECORD_KID: Final = "sealyard:record"

_Members = dict[str, Any]


def encode(keyring: Keyring) -> bytes:
    """Return the JWK Set of `keyring`, all its secrets included."""
    keys: list[_Members] = [
        _jwk("name", _NAME_KID, keyring.name_key),
        _jwk("record", _RECORD_KID, keyring.record_key),
    ]
    for one in keyring.former:
        keys.append(_jwk("former-name", one.id, one.name_key))
        keys.append(_jwk("former-record", one.id, one.record_key))
    for entry in keyring.keks:
        more: _Members = {"number": entry.number, "created": entry.created, "state": entry.state}
        if entry.also:
            more[_ALSO] = list(entry.also)
        keys.append(_jwk("kek", entry.id, entry.key) | more)
    revocations = {one.name: one.not_before for one in keyring.revocations}
    members: _Members
    if keyring.joined_since is None:
        members = {"sealyard": OLD, "highest_number": keyring.highest_number, "keys": keys}
        if keyring.generation:
            if len(revocations) >= MAX_REVOCATIONS:
                reason = f"the old format holds {MAX_REVOCATIONS - 1} revocations: keys upgrade"
                raise KeyringError(reason)
            revocations[_generation_name(keyring.name_key)] = keyring.generation
    else:
        members = {
            "sealyard": VERSION,
            "generation": keyring.generation,
            "joined_since": keyring.joined_since,
            "retired": sorted(keyring.retired),
            "keys": keys,
        }
    if revocations:
        members[_REVOCATIONS] = revocations
    if keyring.pruned:
        members[_PRUNED] = keyring.pruned
    return json.dumps(members, separators=(",", ":")).encode()


def decode(text: bytes) -> Keyring:
    """Return the keyring of a JWK Set; raise KeyringError for any other format."""
    members = parse_object(text)
    if members is None or not {"sealyard", "keys"} <= set(members):
        raise KeyringError("the keyring is not a JWK Set of Sealyard")
    version = members["sealyard"]
    if type(version) is not int or version not in _SET_MEMBERS:
        raise KeyringError("the keyring was written by a newer Sealyard")
    more = {_REVOCATIONS} if version == OLD else {_REVOCATIONS, _PRUNED}
    if set(members) - more != _SET_MEMBERS[version]:
        raise KeyringError("the keyring is not a JWK Set of Sealyard")
    keys = members["keys"]
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise KeyringError("the keyring's keys are not a list of JWKs")
    others = {"name", "record", *_FORMER}
    keks = tuple(_kek(key) for key in keys if key.get("use") not in others)
    former = _former([key for key in keys if key.get("use") in _FORMER])
    name_key = NameKey(_only(keys, "name", _NAME_KID))
    record_key = RecordKey(_only(keys, "record", _RECORD_KID))
    revocations = _revocations(members.get(_REVOCATIONS, {}))
    if version == OLD:
        if former or any(kek.also for kek in keks):
            raise KeyringError("a keyring in the old format holds a former keyring")
        generation = revocations.pop(_generation_name(name_key), 0)
        own: _Members = {"highest_number": _integer(members["highest_number"])}
    else:
        generation = _integer(members["generation"])
        joined_since, retired = _integer(members["joined_since"]), members["retired"]
        pruned = _integer(members.get(_PRUNED, 0))
        own = {"joined_since": joined_since, "retired": _numbers(retired), "pruned": pruned}
    return Keyring(
        keks,
        name_key,
        record_key,
        revocations=tuple(Revocation(*one) for one in revocations.items()),
        generation=generation,
        former=former,
        **own,
    )


def parse_object(text: bytes) -> _Members | None:
    """Return a JSON object whose members are unique at every level; None for anything else."""
    # The decoder's own exceptions carry the text, so they end here.
    own = ""
    try:
        own = text.decode()
        parsed = json.loads(
            own, object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        return None
    finally:
        hardening.overwrite_text(own)
    return parsed if isinstance(parsed, dict) else None


def _jwk(use: str, kid: str, key: Secret) -> _Members:
    k = base64url.encode(key.reveal()).decode()
    return {"kty": "oct", "use": use, "kid": kid, "k": k}


def _kek(jwk: _Members) -> KekEntry:
    also = jwk.get(_ALSO, [])
    if not isinstance(also, list) or not all(isinstance(one, str) for one in also):
        raise KeyringError("the other ids of a KEK are not a list of texts")
    if _ALSO in jwk and not also:
        raise KeyringError("a KEK has an empty list of other ids")
    own = {name: value for name, value in jwk.items() if name != _ALSO}
    material = _material(own, "kek", _KEK_MEMBERS)
    if not isinstance(jwk["kid"], str) or not isinstance(jwk["state"], str):
        raise KeyringError("a KEK's id and state are texts")
    return KekEntry(
        id=jwk["kid"],
        number=_integer(jwk["number"]),
        created=_integer(jwk["created"]),
        state=cast("KekState", jwk["state"]),  # the keyring itself refuses other states
        key=Kek(material),
        also=tuple(also),
    )


def _former(keys: list[_Members]) -> tuple[Former, ...]:
    """Return the former keyrings: a name key and a record key of each, in this order."""
    found: list[Former] = []
    for name, record in zip(keys[::2], keys[1::2], strict=False):
        one = Former(
            NameKey(_material(name, "former-name", _KEY_MEMBERS)),
            RecordKey(_material(record, "former-record", _KEY_MEMBERS)),
        )
        if not name["kid"] == record["kid"] == one.id:
            raise KeyringError("a former keyring does not have its id")
        found.append(one)
    if len(found) * 2 != len(keys):
        raise KeyringError("a former keyring has one name key and one record key")
    return tuple(found)


def _revocations(members: object) -> dict[str, int]:
    if not isinstance(members, dict):
        raise KeyringError("the keyring's revocations are not a JSON object")
    return {name: _integer(value) for name, value in members.items()}


def _numbers(listed: object) -> frozenset[int]:
    if not isinstance(listed, list):
        raise KeyringError("the keyring's retired numbers are not a list")
    numbers = frozenset(map(_integer, listed))
    if len(numbers) != len(listed):
        raise KeyringError("a number of the keyring is retired twice")
    return numbers


def _generation_name(name_key: NameKey) -> str:
    """Return the name of the revocation that holds the generation in the old format.

    It is derived from another key than the names of conversations, so that none of them has it.
    """
    name = derivation.keyring_digest(name_key, b"generation")
    return base64url.encode(name).decode()


def _only(keys: list[_Members], use: str, kid: str) -> bytes:
    found = [key for key in keys if key.get("use") == use]
    if len(found) != 1 or found[0].get("kid") != kid:
        raise KeyringError(f"the keyring holds exactly one {use} key")
    return _material(found[0], use, _KEY_MEMBERS)


def _material(jwk: _Members, use: str, members: frozenset[str]) -> bytes:
    if set(jwk) != members or jwk["kty"] != "oct" or jwk["use"] != use:
        raise KeyringError("a key of the keyring has missing, unknown or wrong members")
    material = decoded(jwk["k"])
    if material is None or len(material) != KEY_BYTES:
        raise KeyringError("a key of the keyring is not 32 bytes in canonical base64url")
    hardening.overwrite_text(jwk.pop("k"))
    return material


def decoded(text: object) -> bytes | None:
    """Return the bytes of a canonical base64url text; None for anything else."""
    if not isinstance(text, str) or not text.isascii():
        return None
    encoded = text.encode("ascii")
    try:
        return base64url.decode(encoded)
    except OpenFailed:
        return None
    finally:
        hardening.overwrite_bytes(encoded)


def _integer(value: object) -> int:
    if type(value) is not int:  # True is an int to isinstance
        raise KeyringError("a number, time or version of the keyring is not an integer")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> _Members:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _refuse(_: str) -> NoReturn:
    raise ValueError("not an integer")
