"""The errors of the admin API, and the one way to answer with one (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from ..core.errors import NotErasable, OpenFailed


@dataclass(frozen=True, slots=True)
class AdminError:
    """One thing that the admin API says no with."""

    code: str
    status: int
    title: str


MALFORMED: Final = AdminError("malformed-call", 400, "The call does not say what it must.")
UNAUTHORIZED: Final = AdminError(
    "unauthorized", 401, "The credentials are missing, wrong or have ended."
)
FORBIDDEN_HOST: Final = AdminError(
    "forbidden-host", 403, "The Host header names neither this machine nor an address."
)
FORBIDDEN_ORIGIN: Final = AdminError(
    "forbidden-origin", 403, "A page of another origin may not call."
)
FORBIDDEN_SCOPE: Final = AdminError(
    "forbidden-scope", 403, "The credentials are right and do not allow this call."
)
NOT_FOUND: Final = AdminError("not-found", 404, "There is nothing here.")
METHOD_NOT_ALLOWED: Final = AdminError("method-not-allowed", 405, "The method is not allowed.")
TOO_LARGE: Final = AdminError("body-too-large", 413, "The body of the call is too large.")
CONFIGURATION: Final = AdminError(
    "configuration-error", 422, "The configuration cannot be taken; the old one stays in force."
)
TOO_MANY: Final = AdminError("too-many-requests", 429, "Too many calls; wait a moment.")
NOT_REVIEWED: Final = AdminError(
    "token-not-reviewed", 503, "Kubernetes did not tell whose the token is; try again."
)
NOT_AUDITED: Final = AdminError(
    "audit-failed", 503, "The call could not be written to the audit log; it may have been done."
)
INTERNAL: Final = AdminError("internal-error", 500, "The admin API failed; the log tells where.")

KEY_UNAVAILABLE: Final = AdminError(
    "key-unavailable", 503, "The store does not answer, so there is no session to be had."
)
OPEN_FAILED: Final = AdminError(OpenFailed.code, 400, OpenFailed.title)
UNKNOWN_KEY: Final = AdminError("unknown-participant-key", 404, "There is no such key.")
PARTICIPANT: Final = AdminError(
    "participant-error", 409, "The participant's keys cannot be changed so; `detail` says why."
)
NO_COMMON_STORE: Final = AdminError(
    "store-not-shared", 409, "The workers have no store in common: set sqlite: or redis:."
)
PARTICIPANTS_UNAVAILABLE: Final = AdminError(
    "participants-unavailable", 503, "The store does not answer, or holds what is not ours."
)
KEY_MAKER_BUSY: Final = AdminError(
    "key-maker-busy", 503, "So many key pairs are being made that another would wait for long."
)
NOT_ERASABLE: Final = AdminError("not-erasable", 409, NotErasable.title)
NO_PACKAGE: Final = AdminError(
    "no-package", 404, "The conversation has no such key package for that recipient."
)
NOT_KEPT: Final = AdminError(
    "revocation-not-kept",
    503,
    "This Sealyard refuses the sessions until it restarts; neither store nor keyring took it.",
)

ERRORS: Final = (
    MALFORMED,
    UNAUTHORIZED,
    FORBIDDEN_HOST,
    FORBIDDEN_ORIGIN,
    FORBIDDEN_SCOPE,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    TOO_LARGE,
    CONFIGURATION,
    TOO_MANY,
    INTERNAL,
    NOT_REVIEWED,
    NOT_AUDITED,
    KEY_UNAVAILABLE,
    OPEN_FAILED,
    UNKNOWN_KEY,
    PARTICIPANT,
    NO_COMMON_STORE,
    PARTICIPANTS_UNAVAILABLE,
    KEY_MAKER_BUSY,
    NOT_ERASABLE,
    NO_PACKAGE,
    NOT_KEPT,
)


def answer(
    error: AdminError,
    *,
    code: str = "",
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, object] | None = None,
) -> web.Response:
    """Return the response; `code` replaces the error's own where the cause has a better one."""
    shown = code or error.code
    body = {
        "type": f"urn:sealyard:error:{shown}",
        "title": error.title,
        "status": error.status,
        **(members or {}),
    }
    return web.Response(
        status=error.status,
        body=json.dumps(body).encode(),
        content_type="application/problem+json",
        headers={"Sealyard-Error": shown, **(headers or {})},
    )
