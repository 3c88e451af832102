"""The verbs about participants: their keys listed, added, rotated, revoked, expired, accepted."""

from __future__ import annotations

from typing import Final

from ...config.settings import AdminScope
from ...core.errors import (
    KeyMakerBusy,
    ParticipantError,
    ParticipantsUnavailable,
    SealyardError,
    UnknownParticipantKey,
)
from .. import policy
from ..participants import X_WING
from . import schemas
from .schemas import FLAG, KID, TEXT, Schema
from .verb import Argument, Command, Route, Thing, Verb, late

_MODULE: Final = "participant_operations"
_AT: Final = "/v1/participants/{id}"

_TIME: Final = {"type": "integer", "minimum": 1}
_USE: Final = {"enum": ["enc", "sig"]}
_BASE64URL: Final = "^[A-Za-z0-9_-]+$"
_OURS: Final[dict[str, Schema]] = {"use": _USE, "alg": TEXT, "kid": KID}
_X: Final = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
_PUB: Final = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1622}$"}
_N: Final = {"type": "string", "pattern": _BASE64URL, "maxLength": policy.RSA_BITS}
# A public key (RFC 7517): RSA (4096 bits) or X25519 to wrap keys, Ed25519 to verify signatures.
# AKP is X-Wing (experimental), to wrap keys.
_JWK: Final = {
    "oneOf": [
        schemas.record({"kty": {"const": "RSA"}, "n": _N, "e": {"const": "AQAB"}, **_OURS}, _OURS),
        schemas.record(
            {"kty": {"const": "OKP"}, "crv": {"enum": ["Ed25519", "X25519"]}, "x": _X, **_OURS},
            _OURS,
        ),
        schemas.record(
            {"kty": {"const": "AKP"}, "pub": _PUB, **_OURS, "alg": {"const": X_WING}},
            ("use", "kid"),
        ),
    ]
}
_KEY: Final = schemas.record(
    {
        "kid": KID,
        "device": TEXT,
        "use": _USE,
        "status": {"enum": ["active", "rotated", "revoked", "expired"]},
        "private": FLAG,
        "prekey": {"const": True},
        "accepted": FLAG,
        "created": _TIME,
        "expires": _TIME,
        "retires": _TIME,
        "revoked": _TIME,
        "reason": TEXT,
        "jwk": _JWK,
        "fresh": schemas.FRESH,
    },
    ("prekey", "accepted", "expires", "retires", "revoked", "reason", "fresh"),
)

_WHO: Final = Argument("participant", "participant", required=True, word=True)
_KID: Final = Argument(
    "kid", "text", "The thumbprint of the key (RFC 7638).", KID, required=True, word=True
)
_ANY_USE: Final = Argument(
    "use",
    "choice",
    "enc: session keys are wrapped for it (RSA-4096); sig: it signs (Ed25519).",
    _USE,
    default="enc",
)
_DEVICE: Final = Argument(
    "device",
    "text",
    "The device that the key belongs to.",
    {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "default": "main"},
    default="main",
)
_OPENER: Final = (
    Argument(
        "passphrase",
        "secret",
        "the passphrase of the private key",
        {"type": "string", "minLength": 12, "maxLength": 256, "format": "password"},
    ),
    Argument(
        "under",
        "choice",
        "What the private key is encrypted under; any Sealyard can use the keyring's.",
        {"enum": ["passphrase", "keyring"], "default": "passphrase"},
        only="command",
        default="passphrase",
    ),
    Argument("under", "choice", schema={"enum": ["keyring"]}, only="route"),
)


def _flag(name: str, help_text: str) -> Argument:
    return Argument(name, "flag", help_text, FLAG, only="command")


_NEW_KEY: Final = (
    _DEVICE,
    _ANY_USE,
    _flag("accept", "Also accept the key, as `participants accept` does."),
    _flag("x25519", "X25519 instead of RSA, for --use enc."),
    _flag("ps256", "RSA-4096 instead of Ed25519, for --use sig."),
    _flag("x_wing", "X-Wing (ML-KEM-768 and X25519) instead of RSA, for --use enc; experimental."),
    Argument("jwk", "jwk", "Use this public JWK; generate no key pair.", _JWK),
    Argument(
        "expires",
        "time",
        "When the key expires; default: never.",
        schemas.SECONDS,
    ),
    *_OPENER,
)


def _grace(help_text: str) -> Argument:
    bounds = {
        "type": "integer",
        "minimum": 0,
        "maximum": policy.MOST_PREKEY_SECONDS,
        "default": policy.PREKEY_SECONDS,
    }
    return Argument("grace", "number", help_text, bounds, default=policy.PREKEY_SECONDS)


_PARTICIPANTS: Final[frozenset[Thing]] = frozenset({"participants", "pins"})


def _changes(
    name: str,
    summary: str,
    command: Command,
    *arguments: Argument,
    right: AdminScope = "keys",
    makes: bool = False,
) -> Verb:
    """Return a verb that changes a key, or makes one."""
    path = "keys" if name == "add" else name
    route = Route(
        f"{name}ParticipantKey",
        "POST",
        f"{_AT}/{path}",
        right,
        "The new key." if makes else "The key after the change.",
        _KEY,
        status=201 if makes else 200,
        one_of=("jwk", "passphrase", "under") if makes else (),
    )
    own = KeyMakerBusy if makes else UnknownParticipantKey
    return Verb(
        f"participants.{name}",
        summary,
        late(_MODULE, name),
        (_WHO, *arguments),
        route,
        command,
        reach="told",
        raises=(ParticipantsUnavailable, ParticipantError, own),
        logged="participant.changed",
        # The last caller waits for all the others.
        seconds=(policy.MOST_WAITING + 1) * policy.PAIR_SECONDS if makes else policy.CALL_SECONDS,
        touches=_PARTICIPANTS,
    )


def _looks_up(  # noqa: PLR0913 - each by name
    name: str,
    summary: str,
    route: Route | None,
    command: Command,
    *arguments: Argument,
    does: str = "",
    raises: tuple[type[SealyardError], ...] = (),
) -> Verb:
    """Return a verb about the keys that there are."""
    return Verb(
        f"participants.{name}",
        summary,
        late(_MODULE, does or name.replace("-", "_")),
        (_WHO, *arguments),
        route,
        command,
        raises=(ParticipantsUnavailable, *raises),
        touches=_PARTICIPANTS,
    )


ADD: Final = _changes(
    "add",
    "Generate a key pair for a participant, or add a public key that they generated themselves.",
    Command(
        ("alice --device phone", "bob --jwk bob.pub.json"),
        "The private key is stored encrypted under a separate passphrase. RSA takes seconds.",
        prints="{kid}",
    ),
    *_NEW_KEY,
    makes=True,
)
ROTATE: Final = _changes(
    "rotate",
    "Replace the active key of a device; the old one still opens for the grace period.",
    Command(("alice --device phone", "alice --device phone --grace 3600"), prints="{kid}"),
    *_NEW_KEY,
    _grace("How many seconds the old key still opens."),
    makes=True,
)
PREKEY: Final = _looks_up(
    "prekey",
    "Add a short-lived, signed X25519 key for a device, and delete those past their grace.",
    None,
    Command(
        (
            "alice --device phone --under keyring",
            "alice --device phone --ttl 86400 --grace 86400",
        ),
        "Run it before the last prekey expires, for example every week: without one, others seal"
        " for the other keys of the device again. --under also says what opens the participant's"
        " signing key.",
        prints="{kid}",
    ),
    _DEVICE,
    Argument(
        "ttl",
        "number",
        "How many seconds others seal for it.",
        {"type": "integer", "minimum": 60, "maximum": policy.MOST_PREKEY_SECONDS},
        default=policy.PREKEY_SECONDS,
    ),
    _grace("How many seconds it still opens after that."),
    *_OPENER,
)
REVOKE: Final = _changes(
    "revoke",
    "Revoke a key permanently: it never seals or opens again.",
    Command(
        ('alice KID --reason "phone lost"', 'alice KID --reason "phone lost" --yes'),
        "Asks for confirmation. `sealyard participants list alice` shows the keys.",
        asks="key {kid} of {participant}: Sealyard no longer opens packages for it, conversations"
        " get new session keys, and the key can never be added again",
        says="revoked {kid}; it can never be added again",
    ),
    _KID,
    Argument(
        "reason",
        "text",
        "The reason, in one line; it is stored with the key.",
        {"type": "string", "minLength": 1, "maxLength": policy.MAX_REASON_CHARS},
        required=True,
    ),
)
EXPIRE: Final = _changes(
    "expire",
    "Let a key expire at a time, or now. An expiry can only be brought forward.",
    Command(
        ("alice KID", "alice KID --at 2027-11-24T00:00:00Z"), says="{kid} expires at {expires}"
    ),
    _KID,
    Argument(
        "at",
        "time",
        "When it expires; default: now.",
        schemas.SECONDS,
    ),
)
ACCEPT: Final = _changes(
    "accept",
    "Accept a key as genuine, for senders and readers (`keys.pins`).",
    Command(
        ("alice KID", "alice KID --config sealyard.yaml"),
        "Compare it with the key that PARTICIPANT has, by telephone or in person. A key that has"
        " not been accepted is reported or not used at all, depending on `keys.pins`.",
        says="accepted {kid}",
    ),
    _KID,
    right="accept",
)
LIST: Final = _looks_up(
    "list",
    "List all keys of a participant, past ones included.",
    Route(
        "listParticipantKeys",
        "GET",
        _AT,
        "read",
        "The keys; an empty list for an unknown participant.",
        schemas.record({"keys": schemas.many(_KEY)}),
    ),
    Command(("alice", "alice --json")),
    does="find",
)
JWKS: Final = _looks_up(
    "jwks",
    "Show the active public keys of a participant as a JWK Set.",
    Route(
        "participantJwks",
        "GET",
        f"{_AT}/keys",
        "read",
        "A JWK Set (RFC 7517).",
        schemas.record({"keys": schemas.many(_JWK)}),
        media_type="application/jwk-set+json",
        headers={
            "ETag": "Changes with the keys. Send it in If-None-Match.",
            "Cache-Control": "`max-age`: until a key expires, at most 5 minutes.",
            "Expires": "The same as a date.",
        },
    ),
    Command(("alice", "alice > alice.jwks.json")),
)
PRIVATE: Final = _looks_up(
    "private",
    "Hand out a private key as it is stored: an encrypted JWK.",
    Route(
        "participantPrivateKey",
        "GET",
        f"{_AT}/private",
        "keys",
        "A compact JWE (RFC 7516), which the participant's passphrase opens.",
        TEXT,
        media_type="application/jose",
    ),
    Command(
        ("alice KID alice.jwe", "alice KID ~/keys/alice.jwe --config sealyard.yaml"),
        "Writes it to FILE, which must not exist.",
        file="private",
        says="wrote {file}; its passphrase opens it in any JOSE library",
    ),
    _KID,
    raises=(UnknownParticipantKey,),
)
HAS_VALID: Final = _looks_up(
    "has-valid-keys",
    "Tell whether a participant has an active key.",
    Route(
        "hasValidKeys",
        "GET",
        f"{_AT}/has-valid-keys",
        "read",
        "Whether there is an active key of this use.",
        schemas.record({"has_valid_keys": FLAG}),
    ),
    Command(("alice", "alice --use sig"), "Exits with 0 if there is one, else with 1."),
    _ANY_USE,
)

PARTICIPANTS: Final = (
    *(ADD, ROTATE, PREKEY, REVOKE, EXPIRE, ACCEPT),
    *(LIST, JWKS, PRIVATE, HAS_VALID),
)
"""The family `participants`."""
