"""A request read strictly: no unknown member, every member of the right type."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from aiohttp.helpers import RequestKey
from aiohttp.web_request import Request

from ..core.crypto.joined_names import Name, from_json
from ..core.errors import SealyardError
from ..keys.keyring.jwk_set import parse_object
from ..keys.operations.schemas import NAME, Schema, nullable
from .policy import SHOWN_CHARS
from .problem import MALFORMED, RefusedCall


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
        told = "is not a JSON object with unique names" if content else "is empty"
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
    return f"`{name[:SHOWN_CHARS]}`"


def member(members: Mapping[str, Any], name: str, schema: Schema, *, required: bool = False) -> Any:  # noqa: ANN401 - what the schema says
    """Return a member that fits its schema: a text, an integer or a flag. Raise Malformed.

    None stands for one that is absent or, where the schema says so, null.
    """
    shape = schema["anyOf"][0] if "anyOf" in schema else schema
    found = members.get(name)
    if found is None:
        if name in members and shape is schema:
            raise Malformed(f"`{name}` is null; {'send a value' if required else 'omit it'}.")
        if required:
            raise Malformed(f"`{name}` is missing; send it as a {shape.get('type', 'string')}.")
        return None
    if shape.get("type") == "boolean":
        lacks = "" if isinstance(found, bool) else "is neither true nor false; send one of them"
    elif shape.get("type") == "integer":
        low, high = shape["minimum"], shape["maximum"]
        fits = type(found) is int and low <= found <= high
        lacks = "" if fits else f"is not a whole number from {low} to {high}; send one"
    else:
        lacks = _lacks(found, shape)
    if lacks:
        raise Malformed(f"`{name}` {lacks}.")
    return found


def _lacks(found: object, shape: Schema) -> str:
    """Return in what a value is not a text of that schema; its lengths are left to who uses it."""
    if not isinstance(found, str):
        return "is not a string; send text in quotes"
    if any("\ud800" <= char <= "\udfff" for char in found):
        return "is not Unicode text"
    if found not in shape.get("enum", (found,)):
        return f"is unknown; one of: {', '.join(shape['enum'])}"
    pattern = shape.get("pattern")
    fits = pattern is None or re.fullmatch(pattern, found)
    return "" if fits else f"does not fit; it must match {pattern}"


def name(members: Mapping[str, Any], part: str) -> Name | None:
    """Return a name, plain or joined; None where it is absent or null.

    In a query, `PART_json` holds a joined name as JSON. Raises Malformed.
    """
    spelled = members.get(f"{part}_json")
    said = members.get(part)
    if spelled is not None:
        if said is not None:
            raise Malformed(f"`{part}` and `{part}_json` exclude each other; give one.")
        said = _parsed(spelled, f"{part}_json")
    if said is None or isinstance(said, str):
        text: str | None = member({part: said}, part, nullable(NAME))
        return text
    try:
        found = from_json(said)
        found.encode()
    except SealyardError as error:
        raise Malformed(f"`{part}` does not fit; {error.detail or error.reason}.") from None
    return found


def _parsed(spelled: object, part: str) -> object:
    try:
        return json.loads(str(spelled))
    except (ValueError, RecursionError):
        raise Malformed(f'`{part}` is not JSON; spell it as in `["a", "b"]`.') from None
