"""Participants: their keys listed, added, rotated, revoked, expired, accepted."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import hdrs
from aiohttp.web_request import Request
from aiohttp.web_response import Response

from ...core.errors import (
    KeyMakerBusy,
    OperatorError,
    ParticipantError,
    ParticipantsUnavailable,
    UnknownParticipantKey,
)
from ...keys.participants.calls import MAX_ID_BYTES, ParticipantAction, ParticipantCall, Use
from .. import problem, strict_reader
from .. import schemas as shapes
from ..operation import Endpoint, Operation, Schema, Success, json_answer
from ..problem import RefusedCall
from ..schemas import GRACE_SECONDS, MAX_GRACE_SECONDS
from ..service import AdminService
from ..strict_reader import Malformed

if TYPE_CHECKING:  # for those who ask: it takes memory
    from ...keys.participants.operations import ParticipantResult
    from ...keys.participants.participant import Participant, ParticipantKey
    from ...keys.participants.pins import Pins
    from ...keys.participants.public_key import PublicKey

_AT: Final = "/v1/participants/{id}"
_LOOKED_UP: Final = (problem.MALFORMED, problem.NO_COMMON_STORE, problem.PARTICIPANTS_UNAVAILABLE)
_CHANGED: Final = (*_LOOKED_UP, problem.PARTICIPANT)

LIST: Final = Operation(
    "listParticipantKeys",
    "GET",
    _AT,
    "read",
    "List all keys of a participant, past ones included.",
    (Success("The keys; an empty list for an unknown participant.", shapes.LISTED),),
    errors=_LOOKED_UP,
    parameters=(shapes.PATH,),
)
HAS_VALID: Final = Operation(
    "hasValidKeys",
    "GET",
    f"{_AT}/has-valid-keys",
    "read",
    "Whether a participant has an active key.",
    (Success("Whether there is an active key of this use.", shapes.VALID),),
    errors=_LOOKED_UP,
    parameters=(shapes.PATH, shapes.USE_PARAMETER),
)
JWKS: Final = Operation(
    "participantJwks",
    "GET",
    f"{_AT}/keys",
    "read",
    "The active public keys of a participant as a JWK Set.",
    (
        Success(
            "A JWK Set (RFC 7517).",
            shapes.JWKS,
            media_type="application/jwk-set+json",
            headers={
                "ETag": "Changes with the keys. Send it in If-None-Match.",
                "Cache-Control": "`max-age`: until a key expires, at most 5 minutes.",
                "Expires": "The same as a date.",
            },
        ),
        Success("Unchanged since the ETag in If-None-Match.", status=304),
    ),
    errors=_LOOKED_UP,
    parameters=(shapes.PATH,),
)


def _change(name: str, path: str, summary: str, body: Schema, *, made: bool = False) -> Operation:
    """Return an operation that changes a key, or has `made` a new one."""
    done = Success("The new key.", shapes.KEY, status=201)
    return Operation(
        name,
        "POST",
        f"{_AT}/{path}",
        "keys",
        summary,
        (done if made else Success("The key after the change.", shapes.KEY),),
        errors=(*_CHANGED, problem.KEY_MAKER_BUSY if made else problem.UNKNOWN_KEY),
        parameters=(shapes.PATH,),
        body=body,
    )


ADD: Final = _change(
    "addParticipantKey",
    "keys",
    "Generate a key pair, or register a public key of the participant.",
    shapes.ADD_BODY,
    made=True,
)
ROTATE: Final = _change(
    "rotateParticipantKey",
    "rotate",
    "Replace the active key of a device; the old one opens for `grace` seconds more.",
    shapes.ROTATE_BODY,
    made=True,
)
REVOKE: Final = _change(
    "revokeParticipantKey",
    "revoke",
    "Revoke a key permanently: it neither seals nor opens.",
    shapes.REVOKE_BODY,
)
EXPIRE: Final = _change(
    "expireParticipantKey",
    "expire",
    "Expire a key at a time, by default now.",
    shapes.EXPIRE_BODY,
)
ACCEPT: Final = replace(
    _change(
        "acceptParticipantKey",
        "accept",
        "Accept a key as that of the participant (`keys.pins`).",
        shapes.ACCEPT_BODY,
    ),
    scope="accept",
)
PRIVATE: Final = Operation(
    "participantPrivateKey",
    "GET",
    f"{_AT}/private",
    "keys",
    "Download a private key as it is stored: an encrypted JWK.",
    (
        Success(
            "A compact JWE (RFC 7516), which the participant's passphrase opens.",
            {"type": "string"},
            media_type="application/jose",
        ),
    ),
    errors=(*_LOOKED_UP, problem.UNKNOWN_KEY),
    parameters=(shapes.PATH, shapes.KID_PARAMETER),
)


MAX_AGE_SECONDS: Final = 300
_KID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_NEW_KEY: Final = ("jwk", "passphrase", "under", "device", "use", "expires")
_USES: Final = ("enc", "sig")
_PROBLEMS: Final = (
    (UnknownParticipantKey, problem.UNKNOWN_KEY),
    (ParticipantsUnavailable, problem.PARTICIPANTS_UNAVAILABLE),
    (KeyMakerBusy, problem.KEY_MAKER_BUSY),
    (ParticipantError, problem.PARTICIPANT),
)


class ParticipantRoutes:
    """Serves one service. `clock` returns seconds since 1970."""

    def __init__(self, service: AdminService, clock: Callable[[], float]) -> None:
        self._service = service
        self._clock = clock

    def all(self) -> list[Endpoint]:
        """Return the operations."""
        return [
            Endpoint(LIST, self._list),
            Endpoint(HAS_VALID, self._has_valid),
            Endpoint(JWKS, self._jwks),
            Endpoint(ADD, self._add),
            Endpoint(ROTATE, self._rotate),
            Endpoint(REVOKE, self._revoke),
            Endpoint(EXPIRE, self._expire),
            Endpoint(ACCEPT, self._accept),
            Endpoint(PRIVATE, self._private),
        ]

    async def _list(self, request: Request) -> Response:
        strict_reader.query(request, ())
        found = await self._do(ParticipantCall("find", _who(request)))
        keys = [self._facts(one, found.pins) for one in found.participant.keys]
        return json_answer({"keys": keys})

    async def _has_valid(self, request: Request) -> Response:
        use = _use(strict_reader.query(request, ("use",)), "enc")
        found = await self._do(ParticipantCall("find", _who(request)))
        return json_answer({"has_valid_keys": found.participant.has_valid_keys(self._clock(), use)})

    async def _jwks(self, request: Request) -> Response:
        strict_reader.query(request, ())
        found = await self._do(ParticipantCall("find", _who(request)))
        now = self._clock()
        body = json.dumps(found.participant.jwks(now), separators=(",", ":")).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        age = _seconds_left(found.participant, now)
        headers = {
            "ETag": etag,
            "Cache-Control": f"private, max-age={age}",
            "Expires": formatdate(now + age, usegmt=True),
        }
        if _matches(request.headers.getall(hdrs.IF_NONE_MATCH, []), etag):
            return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(body=body, content_type="application/jwk-set+json", headers=headers)

    async def _add(self, request: Request) -> Response:
        members = await strict_reader.body(request, _NEW_KEY)
        call = await asyncio.to_thread(_new_key, "add", _who(request), members)
        return await self._changed(call, HTTPStatus.CREATED)

    async def _rotate(self, request: Request) -> Response:
        members = await strict_reader.body(request, (*_NEW_KEY, "grace"))
        grace = strict_reader.integer(members, "grace", low=0, high=MAX_GRACE_SECONDS)
        seconds = GRACE_SECONDS if grace is None else grace
        call = await asyncio.to_thread(_new_key, "rotate", _who(request), members, seconds=seconds)
        return await self._changed(call, HTTPStatus.CREATED)

    async def _revoke(self, request: Request) -> Response:
        members = await strict_reader.body(request, ("kid", "reason"))
        reason = strict_reader.required(members, "reason")
        return await self._changed(
            ParticipantCall("revoke", _who(request), kid=_kid(members), reason=reason)
        )

    async def _expire(self, request: Request) -> Response:
        members = await strict_reader.body(request, ("kid", "at"))
        seconds = strict_reader.integer(members, "at") or 0
        return await self._changed(
            ParticipantCall("expire", _who(request), kid=_kid(members), seconds=seconds)
        )

    async def _accept(self, request: Request) -> Response:
        members = await strict_reader.body(request, ("kid",))
        return await self._changed(ParticipantCall("accept", _who(request), kid=_kid(members)))

    async def _private(self, request: Request) -> Response:
        kid = _kid(strict_reader.query(request, ("kid",)))
        found = await self._do(ParticipantCall("private", _who(request), kid=kid))
        sealed = found.participant.find(kid).private
        return Response(body=sealed.encode(), content_type="application/jose")

    async def _changed(self, call: ParticipantCall, status: HTTPStatus = HTTPStatus.OK) -> Response:
        result = await self._do(call)
        return json_answer(self._facts(result.participant.find(result.kid), result.pins), status)

    async def _do(self, call: ParticipantCall) -> ParticipantResult:
        try:
            return await self._service.participants(call)
        except OperatorError as error:
            for kind, known in _PROBLEMS:
                if isinstance(error, kind):
                    raise RefusedCall(known, detail=error.reason) from None
            raise

    def _facts(self, key: ParticipantKey, pins: Pins) -> dict[str, Any]:
        return {**key.facts(self._clock()), **pins.facts(key), "jwk": key.public.to_jwk()}


def _who(request: Request) -> str:
    """Return the participant id in the path; raise Malformed for an invalid one."""
    who = request.match_info["id"]
    try:
        size = len(who.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= MAX_ID_BYTES or not who.isprintable():
        raise Malformed(f"A participant's id is 1 to {MAX_ID_BYTES} printable bytes.")
    return who


def _new_key(
    action: ParticipantAction, who: str, members: Mapping[str, Any], *, seconds: int = 0
) -> ParticipantCall:
    """Return the call; it belongs into a thread, since a public key is read with what reads it."""
    jwk, passphrase = members.get("jwk"), strict_reader.text(members, "passphrase")
    under = strict_reader.choice(members, "under", ("keyring",), "")
    if sum(("jwk" in members, passphrase is not None, bool(under))) != 1:
        raise Malformed("Give exactly one of `jwk`, `passphrase` and `under`.")
    use = _use(members, "enc")
    if "jwk" in members:
        public = _public(jwk, _use(members, "enc"))
        if public.use != _use(members, public.use):
            raise Malformed(f"The use of this key is `{public.use}`.")
        jwk, use = dict(public.required), public.use
    device = strict_reader.text(members, "device")
    return ParticipantCall(
        action,
        who,
        device="main" if device is None else device,
        use=use,
        expires=strict_reader.integer(members, "expires") or 0,
        jwk=jwk,
        passphrase=passphrase,
        keyring=bool(under),
        seconds=seconds,
    )


def _public(jwk: object, use: Use) -> PublicKey:
    from ...keys.participants import public_key  # noqa: PLC0415 - for those who bring one

    if not isinstance(jwk, dict):
        raise Malformed("`jwk` is not an object.")
    try:
        return public_key.from_members(jwk, use)
    except ParticipantError as error:
        raise Malformed(f"`jwk`: {error.reason}.") from None


def _use(members: Mapping[str, Any], default: Use) -> Use:
    return cast("Use", strict_reader.choice(members, "use", _USES, default))


def _kid(members: Mapping[str, Any]) -> str:
    kid = strict_reader.required(members, "kid")
    if not _KID.fullmatch(kid):
        raise Malformed("`kid` is not a thumbprint of 43 characters (RFC 7638).")
    return kid


def _seconds_left(participant: Participant, now: float) -> int:
    """Return for how many seconds the JWK Set stays valid, unless an operator changes it."""
    ends = [end for key in participant.keys for end in (key.expires, key.retires) if end > now]
    return min([MAX_AGE_SECONDS, *(int(end - now) for end in ends)])


def _matches(sent: Collection[str], etag: str) -> bool:
    """Return whether If-None-Match names the tag (weak comparison, RFC 9110 section 13.1.2)."""
    listed = [one.strip().removeprefix("W/") for line in sent for one in line.split(",")]
    return etag in listed or "*" in listed
