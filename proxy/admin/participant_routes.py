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

from ..core.errors import (
    KeyMakerBusy,
    OperatorError,
    ParticipantError,
    ParticipantsUnavailable,
    UnknownParticipantKey,
)
from ..keys.participants import public_key
from ..keys.participants.operations import ParticipantAction, ParticipantAnswer, ParticipantCall
from ..keys.participants.participant import Participant, ParticipantKey
from ..keys.participants.pins import Pins
from ..keys.participants.public_key import Use
from ..keys.participants.registry import MAX_ID_BYTES
from . import participant_operations as operations
from . import problem, reading
from .operation import Endpoint
from .participant_schemas import GRACE_SECONDS, MAX_GRACE_SECONDS
from .reading import Malformed
from .subject import Subject

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

    def __init__(self, subject: Subject, clock: Callable[[], float]) -> None:
        self._subject = subject
        self._clock = clock

    def all(self) -> list[Endpoint]:
        """Return the operations."""
        return [
            Endpoint(operations.LIST, self._list),
            Endpoint(operations.HAS_VALID, self._has_valid),
            Endpoint(operations.JWKS, self._jwks),
            Endpoint(operations.ADD, self._add),
            Endpoint(operations.ROTATE, self._rotate),
            Endpoint(operations.REVOKE, self._revoke),
            Endpoint(operations.EXPIRE, self._expire),
            Endpoint(operations.ACCEPT, self._accept),
            Endpoint(operations.PRIVATE, self._private),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        reading.query(request, ())
        found = await self._do(ParticipantCall("find", _who(request)))
        if isinstance(found, web.Response):
            return found
        keys = [self._facts(one, found.pins) for one in found.participant.keys]
        return _json({"keys": keys})

    async def _has_valid(self, request: web.Request) -> web.Response:
        use = _use(reading.query(request, ("use",)), "enc")
        found = await self._do(ParticipantCall("find", _who(request)))
        if isinstance(found, web.Response):
            return found
        return _json({"has_valid_keys": found.participant.has_valid_keys(self._clock(), use)})

    async def _jwks(self, request: web.Request) -> web.Response:
        reading.query(request, ())
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
        said = await reading.body(request, _NEW_KEY)
        return await self._changed(_new_key("add", _who(request), said), HTTPStatus.CREATED)

    async def _rotate(self, request: web.Request) -> web.Response:
        said = await reading.body(request, (*_NEW_KEY, "grace"))
        grace = reading.whole(said, "grace", low=0, high=MAX_GRACE_SECONDS)
        seconds = GRACE_SECONDS if grace is None else grace
        call = _new_key("rotate", _who(request), said, seconds=seconds)
        return await self._changed(call, HTTPStatus.CREATED)

    async def _revoke(self, request: web.Request) -> web.Response:
        said = await reading.body(request, ("kid", "reason"))
        reason = reading.needed(said, "reason")
        return await self._changed(
            ParticipantCall("revoke", _who(request), kid=_kid(said), reason=reason)
        )

    async def _expire(self, request: web.Request) -> web.Response:
        said = await reading.body(request, ("kid", "at"))
        seconds = reading.whole(said, "at") or 0
        return await self._changed(
            ParticipantCall("expire", _who(request), kid=_kid(said), seconds=seconds)
        )

    async def _accept(self, request: web.Request) -> web.Response:
        said = await reading.body(request, ("kid",))
        return await self._changed(ParticipantCall("accept", _who(request), kid=_kid(said)))

    async def _private(self, request: web.Request) -> web.Response:
        kid = _kid(reading.query(request, ("kid",)))
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

    async def _do(self, call: ParticipantCall) -> ParticipantAnswer | web.Response:
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
    jwk, passphrase = said.get("jwk"), reading.text(said, "passphrase")
    under = reading.choice(said, "under", ("keyring",), "")
    if sum(("jwk" in said, passphrase is not None, bool(under))) != 1:
        raise Malformed("Give one of `jwk`, `passphrase` and `under`.")
    use = _use(said, "enc")
    if "jwk" in said:
        public = _public(jwk, _use(said, "enc"))
        if public.use != _use(said, public.use):
            raise Malformed(f"The key is for use {public.use}.")
        jwk, use = dict(public.required), public.use
    device = reading.text(said, "device")
    return ParticipantCall(
        action,
        who,
        device="main" if device is None else device,
        use=use,
        expires=reading.whole(said, "expires") or 0,
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
    return cast("Use", reading.choice(said, "use", _USES, default))


def _kid(said: Mapping[str, Any]) -> str:
    kid = reading.needed(said, "kid")
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
