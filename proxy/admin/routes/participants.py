"""Participants by the admin API: their keys given out, added, rotated, revoked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import hdrs, web

from ...core.errors import (
    KeyMakerBusy,
    OperatorError,
    ParticipantError,
    ParticipantsUnavailable,
    UnknownParticipantKey,
)
from ...keys.participants import public_key
from ...keys.participants.operations import ParticipantAction, ParticipantCall, ParticipantResult
from ...keys.participants.participant import Participant, ParticipantKey
from ...keys.participants.pins import Pins
from ...keys.participants.public_key import Use
from ...keys.participants.registry import MAX_ID_BYTES
from .. import problem, strict_reader
from .. import schemas as shapes
from ..operation import Answered, Endpoint, Operation
from ..schemas import GRACE_SECONDS, MAX_GRACE_SECONDS
from ..service import AdminService
from ..strict_reader import Malformed

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
    """Answers for one subject. `clock` returns seconds since 1970."""

    def __init__(self, subject: AdminService, clock: Callable[[], float]) -> None:
        self._subject = subject
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

    async def _list(self, request: web.Request) -> web.Response:
        strict_reader.query(request, ())
        found = await self._do(ParticipantCall("find", _who(request)))
        if isinstance(found, web.Response):
            return found
        keys = [self._facts(one, found.pins) for one in found.participant.keys]
        return _json({"keys": keys})

    async def _has_valid(self, request: web.Request) -> web.Response:
        use = _use(strict_reader.query(request, ("use",)), "enc")
        found = await self._do(ParticipantCall("find", _who(request)))
        if isinstance(found, web.Response):
            return found
        return _json({"has_valid_keys": found.participant.has_valid_keys(self._clock(), use)})

    async def _jwks(self, request: web.Request) -> web.Response:
        strict_reader.query(request, ())
        found = await self._do(ParticipantCall("find", _who(request)))
        if isinstance(found, web.Response):
            return found
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
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return web.Response(body=body, content_type="application/jwk-set+json", headers=headers)

    async def _add(self, request: web.Request) -> web.Response:
        said = await strict_reader.body(request, _NEW_KEY)
        return await self._changed(_new_key("add", _who(request), said), HTTPStatus.CREATED)

    async def _rotate(self, request: web.Request) -> web.Response:
        said = await strict_reader.body(request, (*_NEW_KEY, "grace"))
        grace = strict_reader.whole(said, "grace", low=0, high=MAX_GRACE_SECONDS)
        seconds = GRACE_SECONDS if grace is None else grace
        call = _new_key("rotate", _who(request), said, seconds=seconds)
        return await self._changed(call, HTTPStatus.CREATED)

    async def _revoke(self, request: web.Request) -> web.Response:
        said = await strict_reader.body(request, ("kid", "reason"))
        reason = strict_reader.needed(said, "reason")
        return await self._changed(
            ParticipantCall("revoke", _who(request), kid=_kid(said), reason=reason)
        )

    async def _expire(self, request: web.Request) -> web.Response:
        said = await strict_reader.body(request, ("kid", "at"))
        seconds = strict_reader.whole(said, "at") or 0
        return await self._changed(
            ParticipantCall("expire", _who(request), kid=_kid(said), seconds=seconds)
        )

    async def _accept(self, request: web.Request) -> web.Response:
        said = await strict_reader.body(request, ("kid",))
        return await self._changed(ParticipantCall("accept", _who(request), kid=_kid(said)))

    async def _private(self, request: web.Request) -> web.Response:
        kid = _kid(strict_reader.query(request, ("kid",)))
        found = await self._do(ParticipantCall("private", _who(request), kid=kid))
        if isinstance(found, web.Response):
            return found
        sealed = found.participant.find(kid).private
        return web.Response(body=sealed.encode(), content_type="application/jose")

    async def _changed(
        self, call: ParticipantCall, status: HTTPStatus = HTTPStatus.OK
    ) -> web.Response:
        answer = await self._do(call)
        if isinstance(answer, web.Response):
            return answer
        return _json(self._facts(answer.participant.find(answer.kid), answer.pins), status)

    async def _do(self, call: ParticipantCall) -> ParticipantResult | web.Response:
        try:
            return await self._subject.participants(call)
        except OperatorError as error:
            for kind, told in _PROBLEMS:
                if isinstance(error, kind):
                    return problem.answer(told, members={"detail": error.reason})
            if error.reason == problem.NO_COMMON_STORE.code:
                return problem.answer(problem.NO_COMMON_STORE)
            raise

    def _facts(self, key: ParticipantKey, pins: Pins) -> dict[str, Any]:
        return {**key.facts(self._clock()), **pins.facts(key), "jwk": key.public.to_jwk()}


def _who(request: web.Request) -> str:
    """Return the id in the path; raise Malformed for none that anybody could have."""
    who = request.match_info["id"]
    try:
        size = len(who.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= MAX_ID_BYTES or not who.isprintable():
        raise Malformed(f"A participant's id is 1 to {MAX_ID_BYTES} printable bytes.")
    return who


def _new_key(
    action: ParticipantAction, who: str, said: Mapping[str, Any], *, seconds: int = 0
) -> ParticipantCall:
    jwk, passphrase = said.get("jwk"), strict_reader.text(said, "passphrase")
    under = strict_reader.choice(said, "under", ("keyring",), "")
    if sum(("jwk" in said, passphrase is not None, bool(under))) != 1:
        raise Malformed("Give one of `jwk`, `passphrase` and `under`.")
    use = _use(said, "enc")
    if "jwk" in said:
        public = _public(jwk, _use(said, "enc"))
        if public.use != _use(said, public.use):
            raise Malformed(f"The key is for use {public.use}.")
        jwk, use = dict(public.required), public.use
    device = strict_reader.text(said, "device")
    return ParticipantCall(
        action,
        who,
        device="main" if device is None else device,
        use=use,
        expires=strict_reader.whole(said, "expires") or 0,
        jwk=jwk,
        passphrase=passphrase,
        keyring=bool(under),
        seconds=seconds,
    )


def _public(jwk: object, use: Use) -> public_key.PublicKey:
    if not isinstance(jwk, dict):
        raise Malformed("`jwk` is not an object.")
    try:
        return public_key.from_members(jwk, use)
    except ParticipantError as error:
        raise Malformed(f"`jwk`: {error.reason}.") from None


def _use(said: Mapping[str, Any], default: Use) -> Use:
    return cast("Use", strict_reader.choice(said, "use", _USES, default))


def _kid(said: Mapping[str, Any]) -> str:
    kid = strict_reader.needed(said, "kid")
    if not _KID.fullmatch(kid):
        raise Malformed("`kid` is not a thumbprint of 43 characters (RFC 7638).")
    return kid


def _seconds_left(participant: Participant, now: float) -> int:
    """Return for how long the JWK Set stays as it is, as far as time alone changes it."""
    ends = [end for key in participant.keys for end in (key.expires, key.retires) if end > now]
    return min([MAX_AGE_SECONDS, *(int(end - now) for end in ends)])


def _matches(sent: Collection[str], etag: str) -> bool:
    """Whether If-None-Match names the tag; compared weakly (RFC 9110, section 13.1.2)."""
    listed = [one.strip().removeprefix("W/") for line in sent for one in line.split(",")]
    return etag in listed or "*" in listed


def _json(value: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    body = json.dumps(value).encode()
    return web.Response(status=status, body=body, content_type="application/json")
