"""What a call says, read strictly: each member known, each of its kind."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from aiohttp import web

from ..core.crypto.joined_names import Name, from_json
from ..core.errors import SealyardError
from ..keys.keyring.jwk_set import parse_object
from . import problem

LATEST: Final = (1 << 62) - 2


class Malformed(Exception):
    """The call does not say what it must, or says more; `str` is a sentence for the caller."""

    def answer(self) -> web.Response:
        """Return the response that tells so."""
        return problem.answer(problem.MALFORMED, members={"detail": str(self)})


_REQUEST_ID: Final = web.RequestKey("request_id", str)


def name_request(request: web.Request, request_id: str) -> None:
    """Give a call its id in the log and in the audit log."""
    request[_REQUEST_ID] = request_id


def request_id(request: web.Request) -> str:
    """Return the id of a call in the log and in the audit log."""
    return request[_REQUEST_ID]


async def body(
    request: web.Request, known: Collection[str], *, most_bytes: int = 0
) -> Mapping[str, Any]:
    """Return the JSON object of a body, none of whose members is unknown; raise Malformed.

    It may have `most_bytes`, where calls of its kind may have more than others.
    """
    if most_bytes:
        request = request.clone(client_max_size=most_bytes)
    said = parse_object(await request.read())
    if said is None:
        raise Malformed("The body is not a JSON object with unique members.")
    return only(said, known)


def query(request: web.Request, known: Collection[str]) -> Mapping[str, Any]:
    """Return the parameters of a query, each given once and none unknown; raise Malformed."""
    if len(request.query) != len(set(request.query)):
        raise Malformed("A parameter is given twice.")
    return only(request.query, known)


def only(said: Mapping[str, Any], known: Collection[str]) -> Mapping[str, Any]:
    """Return what is said if all of it is known; raise Malformed."""
    if set(said) - set(known):
        raise Malformed(f"The call takes {', '.join(sorted(known)) or 'nothing'} and no more.")
    return said


def text(said: Mapping[str, Any], name: str, *, nullable: bool = False) -> str | None:
    """Return a text, None where it is absent or, if `nullable`, null; raise Malformed."""
    value = _value(said, name, nullable=nullable)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"`{name}` is not a string.")
    if value is not None and any("\ud800" <= char <= "\udfff" for char in value):
        raise Malformed(f"`{name}` is not Unicode text.")
    return value


def name(said: Mapping[str, Any], part: str) -> Name | None:
    """Return a name: a text, or a joined one as JSON spells it; None where it is absent or null.

    In a query, `PART_json` holds the JSON of a joined one. Raises Malformed.
    """
    spelled = said.get(f"{part}_json")
    value = said.get(part)
    if spelled is not None:
        if value is not None:
            raise Malformed(f"`{part}` and `{part}_json` are both given.")
        value = _parsed(spelled, f"{part}_json")
    if value is None or isinstance(value, str):
        return text({part: value}, part, nullable=True)
    try:
        found = from_json(value)
        found.encode()
    except SealyardError as error:
        raise Malformed(f"`{part}`: {error.detail or error.reason}.") from None
    return found


def _parsed(spelled: object, part: str) -> object:
    try:
        return json.loads(str(spelled))
    except (ValueError, RecursionError):
        raise Malformed(f"`{part}` is not JSON.") from None


def needed(said: Mapping[str, Any], name: str) -> str:
    """Return a text that must be there; raise Malformed."""
    value = text(said, name)
    if value is None:
        raise Malformed(f"`{name}` is missing.")
    return value


def choice(said: Mapping[str, Any], name: str, options: Collection[str], default: str) -> str:
    """Return one of a few words; raise Malformed."""
    value = text(said, name)
    if value is not None and value not in options:
        raise Malformed(f"`{name}` is one of {', '.join(options)}.")
    return default if value is None else value


def switch(said: Mapping[str, Any], name: str) -> bool:
    """Return true or false, the latter where it is absent; raise Malformed."""
    value = _value(said, name, nullable=False)
    if value is not None and not isinstance(value, bool):
        raise Malformed(f"`{name}` is neither true nor false.")
    return bool(value)


def whole(
    said: Mapping[str, Any],
    name: str,
    *,
    low: int = 1,
    high: int = LATEST,
    nullable: bool = False,
) -> int | None:
    """Return a whole number within its bounds, None where it is absent or, if `nullable`, null."""
    value = _value(said, name, nullable=nullable)
    if value is not None and (type(value) is not int or not low <= value <= high):
        raise Malformed(f"`{name}` is not a whole number from {low} to {high}.")
    return value


def _value(said: Mapping[str, Any], name: str, *, nullable: bool) -> object:
    value = said.get(name)
    if value is None and name in said and not nullable:
        raise Malformed(f"`{name}` is null: leave it out.")
    return value
