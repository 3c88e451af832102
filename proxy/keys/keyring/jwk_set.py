"""The keyring as text: a JWK Set (RFC 7517) of oct keys, read strictly.

`use` distinguishes the keys: one "identity", one "name", one "record", up to two "index" (secrets
of search, with their generations), any number of "kek", of "names" and "records": name keys and
record keys beside those in use, and of "adopted": adopted keyrings, with their record keys (k) and
the name keys. No message ever quotes the text, and no copy of it that is made here stays in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar, cast

from ...core.crypto import base64url
from ...core.crypto.derivation import THUMBPRINT_BYTES
from ...core.crypto.secret import (
    KEY_BYTES,
    IdentityKey,
    IndexSecret,
    Kek,
    NameKey,
    RecordKey,
    Secret,
)
from ...core.errors import KeyringError, OpenFailed
from ...process import hardening
from .index_secrets import IndexGeneration
from .kek import AdoptedKeyring, KekEntry, KekState, Revocation
from .keyring import Keyring
from .name_keys import OtherNameKey
from .record_keys import OtherRecordKey

VERSION: Final = 1

_SET_MEMBERS: Final = frozenset({"sealyard", "generation", "retired", "keys"})
# Only written where there are any.
_REVOCATIONS: Final = "revocations"
_EPOCHS: Final = "epochs"
"""The lowest epochs of records that count."""
_PRUNED: Final = "pruned"
"""Up to when revocations were dropped."""
_KEY_MEMBERS: Final = frozenset({"kty", "use", "kid", "k"})
_KEK_MEMBERS: Final = _KEY_MEMBERS | {"number", "created", "state"}
# A KEK id has no colon, so these never collide with one.
_IDENTITY_KID: Final = "sealyard:identity"
_NAME_KID: Final = "sealyard:name"
_RECORD_KID: Final = "sealyard:record"

_OTHERS: Final = frozenset({"identity", "name", "record", "names", "records", "adopted", "index"})
"""The uses of keys that are no KEKs."""

_Members = dict[str, Any]
_Key = TypeVar("_Key")
_Other = TypeVar("_Other", OtherNameKey, OtherRecordKey)


def encode(keyring: Keyring) -> bytes:
    """Return the JWK Set of `keyring`, all its secrets included."""
    keys: list[_Members] = [
        _jwk("identity", _IDENTITY_KID, keyring.identity),
        _jwk("name", _NAME_KID, keyring.name_key),
        _jwk("record", _RECORD_KID, keyring.record_key),
    ]
    for entry in keyring.keks:
        more: _Members = {"number": entry.number, "created": entry.created, "state": entry.state}
        if entry.adopted:
            more["adopted"] = entry.adopted
        keys.append(_jwk("kek", entry.id, entry.key) | more)
    keys += (_beside("names", one) for one in keyring.names)
    keys += (_beside("records", one) for one in keyring.records)
    for secret in keyring.index:
        more = {"generation": secret.generation, "since": secret.since}
        times = {"turned": secret.turned, "settled": secret.settled}
        more |= {name: time for name, time in times.items() if time}
        keys.append(_jwk("index", secret.id, secret.key) | more)
    for adopted in keyring.adopted:
        texts = [base64url.encode(key.reveal()).decode() for key in adopted.name_keys]
        more = {"since": adopted.since, "names": texts}
        if adopted.past:
            more["past"] = [base64url.encode(one).decode() for one in sorted(adopted.past)]
        keys.append(_jwk("adopted", adopted.id, adopted.record_key) | more)
    members: _Members = {
        "sealyard": VERSION,
        "generation": keyring.generation,
        "retired": sorted(keyring.retired),
        "keys": keys,
    }
    for member, of_record in ((_REVOCATIONS, False), (_EPOCHS, True)):
        listed = [one for one in keyring.revocations if one.of_record is of_record]
        if listed:
            members[member] = {one.name: one.not_before for one in listed}
    if keyring.pruned:
        members[_PRUNED] = keyring.pruned
    return json.dumps(members, separators=(",", ":")).encode()


def decode(text: bytes) -> Keyring:
    """Return the keyring of a JWK Set; raise KeyringError for any other format."""
    members = parse_object(text)
    if members is None or "sealyard" not in members:
        raise KeyringError("the keyring is not a JWK Set of Sealyard")
    version = members["sealyard"]
    if type(version) is not int or version > VERSION:
        raise KeyringError("the keyring was written by a newer Sealyard; install that one")
    if version != VERSION or set(members) - {_REVOCATIONS, _EPOCHS, _PRUNED} != _SET_MEMBERS:
        raise KeyringError("the keyring is not a JWK Set of Sealyard")
    keys = members["keys"]
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise KeyringError("the keyring's keys are not a list of JWKs")
    return Keyring(
        tuple(_kek(key) for key in keys if key.get("use") not in _OTHERS),
        IdentityKey(_only(keys, "identity", _IDENTITY_KID)),
        NameKey(_only(keys, "name", _NAME_KID)),
        RecordKey(_only(keys, "record", _RECORD_KID)),
        revocations=_revocations(members.get(_REVOCATIONS, {}), of_record=False)
        + _revocations(members.get(_EPOCHS, {}), of_record=True),
        generation=_integer(members["generation"]),
        retired=_numbers(members["retired"]),
        pruned=_integer(members.get(_PRUNED, 0)),
        adopted=tuple(_adopted(key) for key in keys if key.get("use") == "adopted"),
        names=_others(keys, "names", NameKey, OtherNameKey),
        records=_others(keys, "records", RecordKey, OtherRecordKey),
        index=tuple(_index(key) for key in keys if key.get("use") == "index"),
    )


def parse_object(text: bytes) -> _Members | None:
    """Return a JSON object whose members are unique at every level; None for anything else."""
    # The decoder's own exceptions carry the text, so they end here.
    own = ""
    try:
        own = text.decode()
        parsed = _DECODER.decode(own)
    except (ValueError, RecursionError):
        return None
    finally:
        hardening.overwrite_text(own)
    return parsed if isinstance(parsed, dict) else None


def _jwk(use: str, kid: str, key: Secret) -> _Members:
    k = base64url.encode(key.reveal()).decode()
    return {"kty": "oct", "use": use, "kid": kid, "k": k}


def _beside(use: str, one: OtherNameKey | OtherRecordKey) -> _Members:
    return _jwk(use, one.id, one.key) | {"state": one.state, "since": one.since}


def _kek(jwk: _Members) -> KekEntry:
    adopted = jwk.get("adopted", "")
    material = _material(jwk, "kek", _KEK_MEMBERS | ({"adopted"} if adopted else set()))
    if not all(isinstance(one, str) for one in (jwk["kid"], jwk["state"], adopted)):
        raise KeyringError("a KEK's id and state are texts")
    return KekEntry(
        id=jwk["kid"],
        number=_integer(jwk["number"]),
        created=_integer(jwk["created"]),
        state=cast("KekState", jwk["state"]),  # the keyring itself refuses other states
        key=Kek(material),
        adopted=adopted,
    )


def _others(
    keys: list[_Members],
    use: str,
    key: Callable[[bytes], _Key],
    other: Callable[[_Key, Any, int], _Other],
) -> tuple[_Other, ...]:
    """Return the keys of a use that lie beside the one in use; the keyring checks their states."""
    found: list[_Other] = []
    for jwk in (one for one in keys if one.get("use") == use):
        material = _material(jwk, use, _KEY_MEMBERS | {"state", "since"})
        found.append(other(key(material), jwk["state"], _integer(jwk["since"])))
        if jwk["kid"] != found[-1].id:
            raise KeyringError("a key beside the one in use has another id")
    return tuple(found)


def _adopted(jwk: _Members) -> AdoptedKeyring:
    past = jwk.pop("past", [])
    marks = frozenset(decoded(one) or b"" for one in (past if isinstance(past, list) else [""]))
    if any(len(one) != THUMBPRINT_BYTES for one in marks):
        raise KeyringError("the record keys that an adopted keyring turned away are no thumbprints")
    material = _material(jwk, "adopted", _KEY_MEMBERS | {"since", "names"})
    if not isinstance(jwk["kid"], str) or not isinstance(jwk["names"], list):
        raise KeyringError("an adopted keyring has an id, and its name keys are a list")
    names = tuple(NameKey(_key_bytes(one)) for one in jwk.pop("names"))
    return AdoptedKeyring(jwk["kid"], names, RecordKey(material), _integer(jwk["since"]), marks)


def _index(jwk: _Members) -> IndexGeneration:
    kid = jwk.get("kid")
    turned, settled = (_integer(jwk.pop(name, 0)) for name in ("turned", "settled"))
    key = IndexSecret(_material(jwk, "index", _KEY_MEMBERS | {"generation", "since"}))
    generation, since = _integer(jwk["generation"]), _integer(jwk["since"])
    found = IndexGeneration(key, generation, since, turned, settled)
    if kid != found.id:
        raise KeyringError("an index secret has another id")
    return found


def _revocations(members: object, *, of_record: bool) -> tuple[Revocation, ...]:
    if not isinstance(members, dict):
        raise KeyringError("the keyring's revocations are not a JSON object")
    return tuple(Revocation(name, _integer(one), of_record) for name, one in members.items())


def _numbers(listed: object) -> frozenset[int]:
    if not isinstance(listed, list):
        raise KeyringError("the keyring's retired numbers are not a list")
    numbers = frozenset(map(_integer, listed))
    if len(numbers) != len(listed):
        raise KeyringError("a number of the keyring is retired twice")
    return numbers


def _only(keys: list[_Members], use: str, kid: str) -> bytes:
    found = [key for key in keys if key.get("use") == use]
    if len(found) != 1 or found[0].get("kid") != kid:
        raise KeyringError(f"the keyring holds exactly one {use} key")
    return _material(found[0], use, _KEY_MEMBERS)


def _material(jwk: _Members, use: str, members: frozenset[str]) -> bytes:
    if set(jwk) != members or jwk["kty"] != "oct" or jwk["use"] != use:
        raise KeyringError("a key of the keyring has missing, unknown or wrong members")
    return _key_bytes(jwk.pop("k"))


def _key_bytes(text: object) -> bytes:
    """Return the bytes of a key; its text is overwritten."""
    material = decoded(text)
    if material is None or len(material) != KEY_BYTES:
        raise KeyringError("a key of the keyring is not 32 bytes in canonical base64url")
    hardening.overwrite_text(str(text))
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


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse
)
