"""A request read strictly: no unknown member, every member of the right type."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from aiohttp.helpers import RequestKey
from aiohttp.web_request import Request

from ..core.crypto.joined_names import Name, from_json
from ..core.errors import SealyardError
from ..keys.keyring.jwk_set import parse_object
from .problem import MALFORMED, RefusedCall

LATEST: Final = (1 << 62) - 2
_SHOWN: Final = 60


class Malformed(RefusedCall):
    """A malformed request; `detail` is a sentence for the caller."""

    def __init__(self, detail: str) -> None:
        super().__init__(MALFORMED, detail=detail)


_REQUEST_ID: Final = RequestKey("request_id", str)


def name_request(request: Request, request_id: str) -> None:
    """Set the id of a request in the log and in the audit log."""
    request[_REQUEST_ID] = request_id


def request_id(request: Request) -> str:
    """Return the id of a request in the log and in the audit log."""
    return request[_REQUEST_ID]


async def body(
    request: Request, known: Collection[str], *, most_bytes: int = 0
) -> Mapping[str, Any]:
    """Return the JSON object of a body without unknown members; raise Malformed.

    `most_bytes` raises the limit of the listener for this request.
    """
    if most_bytes:
        request = request.clone(client_max_size=most_bytes)
    content = await request.read()
    members = parse_object(content)
    if members is None:
        told = "is no JSON object with unique names" if content else "is empty"
        raise Malformed(f"The body {told}; send an object with members of: {_listed(known)}.")
    return only(members, known)


def query(request: Request, known: Collection[str]) -> Mapping[str, Any]:
    """Return the parameters of a query; raise Malformed for a repeated or unknown one."""
    repeated = [one for one in request.query if len(request.query.getall(one)) > 1]
    if repeated:
        raise Malformed(f"The parameter {_shown(repeated[0])} is repeated; give it once.")
    return only(request.query, known)


def only(members: Mapping[str, Any], known: Collection[str]) -> Mapping[str, Any]:
    """Return the members if all of them are known; raise Malformed."""
    unknown = sorted(set(members) - set(known))
    if unknown:
        raise Malformed(f"{_shown(unknown[0])} is unknown; one of: {_listed(known)}.")
    return members


def _listed(known: Collection[str]) -> str:
    return ", ".join(sorted(known)) or "none"


def _shown(name: str) -> str:
    """Return a name of the caller's, quoted and cut."""
    return f"`{name[:_SHOWN]}`"


def text(members: Mapping[str, Any], name: str, *, nullable: bool = False) -> str | None:
    """Return a string; None where it is absent or, if `nullable`, null. Raise Malformed."""
    value = _value(members, name, nullable=nullable)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"`{name}` is not a string; send text in quotes.")
    if value is not None and any("\ud800" <= char <= "\udfff" for char in value):
        raise Malformed(f"`{name}` is not Unicode text.")
    return value


def name(members: Mapping[str, Any], part: str) -> Name | None:
    """Return a name, plain or joined; None where it is absent or null.

    In a query, `PART_json` holds a joined name as JSON. Raises Malformed.
    """
    spelled = members.get(f"{part}_json")
    value = members.get(part)
    if spelled is not None:
        if value is not None:
            raise Malformed(f"`{part}` and `{part}_json` exclude each other; give one.")
        value = _parsed(spelled, f"{part}_json")
    if value is None or isinstance(value, str):
        return text({part: value}, part, nullable=True)
    try:
        found = from_json(value)
        found.encode()
    except SealyardError as error:
        raise Malformed(f"`{part}` does not fit; {error.detail or error.reason}.") from None
    return found


def _parsed(spelled: object, part: str) -> object:
    try:
        return json.loads(str(spelled))
    except (ValueError, RecursionError):
        raise Malformed(f'`{part}` is not JSON; spell it as in `["a", "b"]`.') from None


def required(members: Mapping[str, Any], name: str) -> str:
    """Return a required string; raise Malformed."""
    value = text(members, name)
    if value is None:
        raise Malformed(f"`{name}` is missing; send it as a string.")
    return value


def choice(members: Mapping[str, Any], name: str, options: Collection[str], default: str) -> str:
    """Return one of the options, `default` where it is absent; raise Malformed."""
    value = text(members, name)
    if value is not None and value not in options:
        raise Malformed(f"`{name}` must be one of {', '.join(options)}.")
    return default if value is None else value


def boolean(members: Mapping[str, Any], name: str) -> bool:
    """Return a boolean, false where it is absent; raise Malformed."""
    value = _value(members, name, nullable=False)
    if value is not None and not isinstance(value, bool):
        raise Malformed(f"`{name}` is neither true nor false; send one of them.")
    return bool(value)


def integer(
    members: Mapping[str, Any],
    name: str,
    *,
    low: int = 1,
    high: int = LATEST,
    nullable: bool = False,
) -> int | None:
    """Return an integer within bounds; None where it is absent or, if `nullable`, null.

    Raises Malformed.
    """
    value = _value(members, name, nullable=nullable)
    if value is not None and (type(value) is not int or not low <= value <= high):
        raise Malformed(f"`{name}` is no whole number that fits; send one from {low} to {high}.")
    return value


def _value(members: Mapping[str, Any], name: str, *, nullable: bool) -> object:
    value = members.get(name)
    if value is None and name in members and not nullable:
        raise Malformed(f"`{name}` is null; omit it instead.")
    return value
