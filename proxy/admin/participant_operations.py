"""The operations on participants, as routes and the OpenAPI file tell them."""

from __future__ import annotations

from typing import Final

from . import participant_schemas as shapes
from . import problem
from .operation import Answered, Operation

_AT: Final = "/v1/participants/{id}"
_LOOKED_UP: Final = (problem.MALFORMED, problem.NO_COMMON_STORE, problem.PARTICIPANTS_UNAVAILABLE)
_CHANGED: Final = (*_LOOKED_UP, problem.PARTICIPANT)
_MADE: Final = (*_CHANGED, problem.KEY_MAKER_BUSY)

LIST: Final = Operation(
    "listParticipantKeys",
    "GET",
    _AT,
    "read",
    "List all keys that a participant has and had.",
    (Answered("The keys; none of somebody whom nobody added.", shapes.LISTED),),
    errors=_LOOKED_UP,
    parameters=(shapes.PATH,),
)
HAS_VALID: Final = Operation(
    "hasValidKeys",
    "GET",
    f"{_AT}/has-valid-keys",
    "read",
    "Tell whether a participant has an active key.",
    (Answered("Whether there is one.", shapes.VALID),),
    errors=_LOOKED_UP,
    parameters=(shapes.PATH, shapes.USE_PARAMETER),
)
JWKS: Final = Operation(
    "participantJwks",
    "GET",
    f"{_AT}/keys",
    "read",
    "Give out the active public keys of a participant.",
    (
        Answered(
            "A JWK Set (RFC 7517).",
            shapes.JWKS,
            media_type="application/jwk-set+json",
            headers={
                "ETag": "Changes with the keys; for If-None-Match.",
                "Cache-Control": "How long they may be kept: until one ends, at most 5 minutes.",
                "Expires": "The same as a time.",
            },
        ),
        Answered("They are as If-None-Match says.", status=304),
    ),
    errors=_LOOKED_UP,
    parameters=(shapes.PATH,),
)
ADD: Final = Operation(
    "addParticipantKey",
    "POST",
    f"{_AT}/keys",
    "keys",
    "Make a key pair, or take a public key that the participant made.",
    (Answered("The new key.", shapes.KEY, status=201),),
    errors=_MADE,
    parameters=(shapes.PATH,),
    body=shapes.ADD_BODY,
)
ROTATE: Final = Operation(
    "rotateParticipantKey",
    "POST",
    f"{_AT}/rotate",
    "keys",
    "Put a new key in place of the active one of a device, which opens for `grace` seconds more.",
    (Answered("The new key.", shapes.KEY, status=201),),
    errors=_MADE,
    parameters=(shapes.PATH,),
    body=shapes.ROTATE_BODY,
)
REVOKE: Final = Operation(
    "revokeParticipantKey",
    "POST",
    f"{_AT}/revoke",
    "keys",
    "Let a key neither seal nor open any more, for good.",
    (Answered("The key as it stands now.", shapes.KEY),),
    errors=(*_CHANGED, problem.UNKNOWN_KEY),
    parameters=(shapes.PATH,),
    body=shapes.REVOKE_BODY,
)
EXPIRE: Final = Operation(
    "expireParticipantKey",
    "POST",
    f"{_AT}/expire",
    "keys",
    "Let a key end at a time, or now.",
    (Answered("The key as it stands now.", shapes.KEY),),
    errors=(*_CHANGED, problem.UNKNOWN_KEY),
    parameters=(shapes.PATH,),
    body=shapes.EXPIRE_BODY,
)
ACCEPT: Final = Operation(
    "acceptParticipantKey",
    "POST",
    f"{_AT}/accept",
    "accept",
    "Accept a key of a participant, so that it is believed to be theirs (`keys.pins`).",
    (Answered("The key as it stands now.", shapes.KEY),),
    errors=(*_CHANGED, problem.UNKNOWN_KEY),
    parameters=(shapes.PATH,),
    body=shapes.ACCEPT_BODY,
)
PRIVATE: Final = Operation(
    "participantPrivateKey",
    "GET",
    f"{_AT}/private",
    "keys",
    "Hand out a private key as it is stored: an encrypted JWK.",
    (
        Answered(
            "JWE Compact (RFC 7516); the participant's passphrase opens it.",
            {"type": "string"},
            media_type="application/jose",
        ),
    ),
    errors=(*_LOOKED_UP, problem.UNKNOWN_KEY),
    parameters=(shapes.PATH, shapes.KID_PARAMETER),
)
