"""The routes of operators' verbs, made of their declarations: what is read and answered."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import hdrs
from aiohttp.web_request import Request
from aiohttp.web_response import Response

from ...core.crypto.context import Scope
from ...core.crypto.joined_names import to_json
from ...core.errors import ParticipantError
from ...keys.operations.verb import PARTS, Argument, Call, Done, Form, Route, Verb
from ...keys.operations.verbs import VERBS
from ...keys.policy import MAX_ID_BYTES
from .. import problem, strict_reader
from ..operation import Endpoint, Operation, json_answer
from ..service import AdminService
from ..strict_reader import Malformed


def endpoints(service: AdminService) -> list[Endpoint]:
    """Return the endpoints of all verbs that have a route; `openapi` describes them in full."""
    return [
        Endpoint(
            Operation(route.name, route.method, route.path, route.right, verb.summary, ()),
            partial(_handle, service, verb, route),
        )
        for verb in VERBS.values()
        if (route := verb.route) is not None
    ]


async def _handle(service: AdminService, verb: Verb, route: Route, request: Request) -> Response:
    arguments = verb.offered
    known = {name for one in arguments for name in _members_of(one, route)}
    if route.has_body:
        members = await strict_reader.body(request, known, most_bytes=route.most_bytes)
    else:
        members = strict_reader.query(request, known)
    if route.one_of and sum(one in members for one in route.one_of) != 1:
        raise Malformed(f"Give exactly one of {', '.join(f'`{one}`' for one in route.one_of)}.")
    read = partial(_read, request, members, arguments)
    # In a thread: it takes a while to check a public key.
    slow = any(one.form == "jwk" for one in arguments)
    given = await asyncio.to_thread(read) if slow else read()
    done = await service.run(Call(verb.name, given, request_id=strict_reader.request_id(request)))
    if done.failed:
        return problem.answer(problem.BY_CODE[done.failed], members=done.answer)
    return _answered(route, done, request)


def _members_of(one: Argument, route: Route) -> tuple[str, ...]:
    """Return the members of a body, or the parameters of a query, that an argument has."""
    if one.form == "scope":
        return PARTS if route.has_body else (*PARTS, *(f"{part}_json" for part in PARTS))
    return () if one.word and one.form == "participant" else (one.name,)


def _read(
    request: Request, members: Mapping[str, Any], arguments: Collection[Argument]
) -> dict[str, Any]:
    """Return the arguments that a request gives, by name; raise Malformed."""
    given: dict[str, Any] = {}
    for one in arguments:
        if one.word and one.form == "participant":
            found: object = _participant(request.match_info["id"])
        else:
            found = _value(members, one)
        if found is None:
            found = one.default
        if found is not None:
            given[one.name] = found
    if "jwk" in given and "use" not in members:
        given["use"] = given["jwk"]["use"]
    return given


def _value(members: Mapping[str, Any], one: Argument) -> object:
    """Return the value of one argument, None where it is absent; raise Malformed."""
    read = _READERS.get(one.form)
    if read is not None:
        return read(members, one)
    return strict_reader.member(members, one.name, one.schema, required=one.required)


def _name(members: Mapping[str, Any], one: Argument) -> object:
    name = strict_reader.name(members, one.name)
    return None if name is None else to_json(name)


def _scope(members: Mapping[str, Any], _: Argument) -> Scope:
    tenant, conversation = (strict_reader.name(members, part) for part in PARTS)
    scope = Scope(tenant, conversation)
    if scope == Scope():
        raise Malformed("The request names nothing; send `tenant`, `conversation` or both.")
    return scope


def _recipient(members: Mapping[str, Any], one: Argument) -> str:
    return _participant(strict_reader.member(members, one.name, one.schema, required=True))


def _participant(who: str) -> str:
    try:
        size = len(who.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= MAX_ID_BYTES or not who.isprintable():
        raise Malformed(f"A participant's id is 1 to {MAX_ID_BYTES} printable bytes.")
    return who


def _jwk(members: Mapping[str, Any], one: Argument) -> dict[str, Any] | None:
    """Return the public key in a member without what else was there, but with its use."""
    from ...keys.participants import public_key  # noqa: PLC0415 - loaded with the admin API

    name = one.name
    if name not in members:
        return None
    if not isinstance(members[name], dict):
        raise Malformed(f"`{name}` is not an object; send one.")
    use = members.get("use")
    try:
        key = public_key.from_members(members[name], "sig" if use == "sig" else "enc")
    except ParticipantError as error:
        raise Malformed(f"`{name}`: {error.reason}.") from None
    if use not in {None, key.use}:
        raise Malformed(f"The use of this key is `{key.use}`.")
    return {**dict(key.required), "use": key.use}


def _records(members: Mapping[str, Any], one: Argument) -> list[dict[str, Any]]:
    elements, most = members.get(one.name), one.schema["maxItems"]
    if not isinstance(elements, list) or not 1 <= len(elements) <= most:
        raise Malformed(f"`{one.name}` is not a list of 1 to {most} elements; send one.")
    return [_record(element, one) for element in elements]


def _record(element: object, one: Argument) -> dict[str, Any]:
    if not isinstance(element, dict):
        raise Malformed(f"An element of `{one.name}` is not an object; send objects.")
    strict_reader.only(element, {part.name for part in one.parts})
    found = ((part, _value(element, part)) for part in one.parts)
    return {part.name: part.default if value is None else value for part, value in found}


_READERS: Final[Mapping[Form, Callable[[Mapping[str, Any], Argument], object]]] = {
    "scope": _scope,
    "participant": _recipient,
    "name": _name,
    "jwk": _jwk,
    "records": _records,
}
"""How those arguments are read that a schema alone does not describe."""


def _answered(route: Route, done: Done, request: Request) -> Response:
    if not done.body:
        return json_answer(done.answer, done.status or route.status)
    headers, body = dict(done.headers), done.body.encode()
    if done.fresh_for is not None:
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        until = formatdate(time.time() + done.fresh_for, usegmt=True)
        age = f"private, max-age={done.fresh_for}"
        headers |= {"ETag": etag, "Cache-Control": age, "Expires": until}
        if _matches(request.headers.getall(hdrs.IF_NONE_MATCH, []), etag):
            return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(status=route.status, body=body, content_type=route.media_type, headers=headers)


def _matches(sent: Collection[str], etag: str) -> bool:
    """Return whether If-None-Match names the tag (weak comparison, RFC 9110 section 13.1.2)."""
    listed = [one.strip().removeprefix("W/") for line in sent for one in line.split(",")]
    return etag in listed or "*" in listed
