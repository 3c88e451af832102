"""`GET /v1/ladder`: for each rule its mode, what it has met, and whether one step up is safe."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from aiohttp.web_request import Request
from aiohttp.web_response import Response

from .. import problem, schemas, strict_reader
from ..operation import Endpoint, Operation, Parameter, Schema, Success
from ..service import AdminService
from ..strict_reader import Malformed

MOST_DAYS: Final = 90
DAYS: Final = 7
_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
_FLAG: Final[Schema] = {"type": "boolean"}
_MODE: Final[Schema] = {"enum": ["observe", "permissive", "enforce"]}
_REFUSAL: Final[Mapping[str, Schema]] = {
    "rule": schemas.nullable(_TEXT),
    "direction": _TEXT,
    "reason": _TEXT,
    "client_name": schemas.nullable(_TEXT),
    "messages": _NUMBER,
}
_RULE: Final[Mapping[str, Schema]] = {
    "listener": _TEXT,
    "rule": _TEXT,
    "mode": _MODE,
    "until": schemas.nullable({"type": "number"}),
    "since": _NUMBER,
    "seen": _FLAG,
    "messages": _NUMBER,
    "refused": _NUMBER,
    "plain": _NUMBER,
    "next": schemas.nullable(_MODE),
    "would_refuse": schemas.many(schemas.record(_REFUSAL, _REFUSAL)),
    "safe": schemas.nullable(_FLAG),
    "because": schemas.many(_TEXT),
}
_MEMBER: Final[Mapping[str, Schema]] = {
    "listener": _TEXT,
    "rule": schemas.nullable(_TEXT),
    "method": schemas.nullable(_TEXT),
    "shape": schemas.nullable(_TEXT),
    "direction": _TEXT,
    "member": _TEXT,
    "kind": _TEXT,
    "messages": _NUMBER,
}
_ANSWER: Final[Mapping[str, Schema]] = {
    "days": _NUMBER,
    "at": _NUMBER,
    "counted_since": _NUMBER,
    "kept": _FLAG,
    "rules": schemas.many(schemas.record(_RULE, _RULE)),
    "unruled": schemas.nullable(schemas.many(schemas.record(_MEMBER, _MEMBER))),
}
LADDER: Final = Operation(
    "ladder",
    "GET",
    "/v1/ladder",
    "read",
    "For each rule: its mode, since when (`seen`: the ladder has seen it begin), how many messages,"
    " refusals and plain values it has met in the last `days`, which messages the `next` mode would"
    " refuse and from which clients, and whether that step is `safe`, or why not.",
    (
        Success(
            "The ladder, counted over all workers since `counted_since`. It outlives the process"
            " where it is `kept` in `admin.ladder_file`. `unruled` are members that look sensitive"
            " and that no rule seals, since the start of the process; null unless some listener"
            " has `find_sensitive`.",
            schemas.record(_ANSWER, _ANSWER),
        ),
    ),
    parameters=(
        Parameter(
            "days",
            "query",
            f"The days that count, {DAYS} by default. A rule must have been in its mode for as long"
            " to be safe to step up; 0: for any time.",
            {"type": "integer", "minimum": 0, "maximum": MOST_DAYS},
            required=False,
        ),
    ),
    errors=(problem.MALFORMED,),
)


class LadderRoutes:
    """Answers with the ladder."""

    def __init__(self, service: AdminService) -> None:
        self._service = service

    def all(self) -> list[Endpoint]:
        """Return the endpoint."""
        return [Endpoint(LADDER, self._ladder)]

    async def _ladder(self, request: Request) -> Response:
        said = strict_reader.query(request, ("days",)).get("days")
        report = await self._service.ladder(DAYS if said is None else _days(said))
        return Response(body=json.dumps(report).encode(), content_type="application/json")


def _days(said: str) -> int:
    if re.fullmatch(r"[0-9]{1,2}", said) is None or int(said) > MOST_DAYS:
        raise Malformed(f"`days` is not a number from 0 to {MOST_DAYS}.")
    return int(said)
