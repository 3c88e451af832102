"""Key packages: the session keys of a conversation, wrapped for its recipients."""

from __future__ import annotations

import json
from typing import Final

from aiohttp.web_request import Request
from aiohttp.web_response import Response

from ...core.errors import ParticipantError
from .. import problem, schemas, strict_reader
from ..operation import Endpoint, Operation, Parameter, Success
from ..schemas import PATH
from ..service import AdminService
from ..strict_reader import Malformed
from .sessions import IN_QUERY, SCOPE_PARAMETERS, named_scope

MEDIA_TYPE: Final = "application/jose+json"
_SID: Final = {"type": "string", "pattern": "^[A-Za-z0-9_-]{16}$"}

PACKAGE: Final = Operation(
    "keyPackage",
    "GET",
    "/v1/sessions/package",
    "keys",
    "The newest key package of a conversation for a recipient, or that of the session `sid`."
    " Only end-to-end rules make packages; the sender signs them.",
    (
        Success(
            "A JWE in general JSON form (RFC 7516), which the recipient's private key opens.",
            schemas.anything(),
            media_type=MEDIA_TYPE,
            headers={
                "Sealyard-Sid": "The id of the session whose key it holds.",
                "Sealyard-Signer": "The thumbprint of the key that signed it.",
            },
        ),
    ),
    parameters=(
        *SCOPE_PARAMETERS,
        Parameter("recipient", "query", "The id of the participant.", PATH.schema),
        Parameter("sid", "query", "The session id, as in a token.", _SID, required=False),
    ),
    errors=(
        problem.MALFORMED,
        problem.NO_PACKAGE,
        problem.NO_COMMON_STORE,
        problem.KEY_UNAVAILABLE,
    ),
)


class PackageRoutes:
    """Serves one service."""

    def __init__(self, service: AdminService) -> None:
        self._service = service

    def all(self) -> list[Endpoint]:
        """Return the operation."""
        return [Endpoint(PACKAGE, self._package)]

    async def _package(self, request: Request) -> Response:
        members = strict_reader.query(request, (*IN_QUERY, "recipient", "sid"))
        scope, recipient = named_scope(members), strict_reader.required(members, "recipient")
        sid = strict_reader.text(members, "sid")
        try:
            found = await self._service.packages(scope, recipient)
        except ParticipantError as error:
            raise Malformed(error.reason) from None
        for one in found:
            if sid is None or one["sid"] == sid:
                headers = {"Sealyard-Sid": one["sid"], "Sealyard-Signer": one["kid"]}
                body = json.dumps(one["package"], separators=(",", ":")).encode()
                return Response(body=body, content_type=MEDIA_TYPE, headers=headers)
        return problem.answer(problem.NO_PACKAGE)
