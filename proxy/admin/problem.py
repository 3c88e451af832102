"""The errors of the admin API, and how they are returned (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp.web_response import Response

from ..core.errors import (
    CallerKeysAway,
    CallerMayNotOpen,
    CallerMayNotSeal,
    CallerOpensLimited,
    CallersThrottled,
    CallerUnverified,
    KeyMakerBusy,
    KeyUnavailable,
    NotErasable,
    OpenFailed,
    OperatorError,
    ParticipantError,
    ParticipantsUnavailable,
    PurposeMissing,
    UnfitValue,
    UnknownParticipantKey,
    WorkerGone,
)


@dataclass(frozen=True, slots=True)
class AdminError:
    """One error of the admin API: code, HTTP status and title."""

    code: str
    status: int
    title: str


MALFORMED: Final = AdminError("malformed-call", 400, "The request is malformed; `detail` says how.")
UNAUTHORIZED: Final = AdminError(
    "unauthorized", 401, "The credentials are missing, wrong or expired."
)
FORBIDDEN_HOST: Final = AdminError(
    "forbidden-host",
    403,
    "The Host header is neither an IP address, `localhost` nor the configured host.",
)
FORBIDDEN_ORIGIN: Final = AdminError(
    "forbidden-origin", 403, "Requests from a page of another origin are not allowed."
)
FORBIDDEN_SCOPE: Final = AdminError(
    "forbidden-scope", 403, "The credentials are valid but lack the scope of this operation."
)
NOT_FOUND: Final = AdminError("not-found", 404, "There is no such resource.")
METHOD_NOT_ALLOWED: Final = AdminError(
    "method-not-allowed", 405, "The resource does not support this method."
)
TOO_LARGE: Final = AdminError("body-too-large", 413, "The request body is too large.")
CONFIGURATION: Final = AdminError(
    "configuration-error", 422, "The configuration was refused; the previous one stays in force."
)
TOO_MANY: Final = AdminError("too-many-requests", 429, "Too many requests; try again later.")
NOT_REVIEWED: Final = AdminError(
    "token-not-reviewed", 503, "The Kubernetes API server did not review the token; try again."
)
NOT_AUDITED: Final = AdminError(
    "audit-failed",
    503,
    "The audit log could not be written; the operation may have been carried out.",
)
WORKER_GONE: Final = AdminError(
    "worker-gone",
    503,
    "A worker process ended or did not answer; the operation may have been carried out. Repeat it.",
)
INTERNAL: Final = AdminError("internal-error", 500, "The admin API failed; the log says where.")

KEY_UNAVAILABLE: Final = AdminError(
    "key-unavailable", 503, "The store does not answer, so no session key is available."
)
UNKNOWN_KEY: Final = AdminError("unknown-participant-key", 404, "The participant has no such key.")
PARTICIPANT: Final = AdminError(
    "participant-error",
    409,
    "The participant's keys cannot be changed in this way; `detail` says why.",
)
NO_COMMON_STORE: Final = AdminError(
    "store-not-shared",
    409,
    "`keys.store: memory` is of one process alone: set `sqlite:` or `redis:`.",
)
PARTICIPANTS_UNAVAILABLE: Final = AdminError(
    "participants-unavailable", 503, "The store does not answer, or its records are not authentic."
)
KEY_MAKER_BUSY: Final = AdminError(
    "key-maker-busy", 503, "Too many key pairs are being generated; try again later."
)
NO_PACKAGE: Final = AdminError(
    "no-package", 404, "The conversation has no such key package for this recipient."
)
NOT_KEPT: Final = AdminError(
    "revocation-not-kept",
    503,
    "No store, keyring or file took the revocation: it is retried, and lost if this Sealyard ends.",
)
CLOCK_SKEW: Final = AdminError(
    "clock-skew",
    503,
    "The clock of this Sealyard is too far from that of the store to revoke: synchronise both.",
)

_AS_FOR_CLIENTS: Final = {  # a caller of the traffic port reads the same title
    OpenFailed: 400,
    PurposeMissing: 400,
    CallerUnverified: 403,
    CallerMayNotOpen: 403,
    CallerMayNotSeal: 403,
    NotErasable: 409,
    CallerOpensLimited: 429,
    CallersThrottled: 429,
    CallerKeysAway: 503,
}
OF_CLASS: Final[dict[type[Exception], AdminError]] = {  # a class stands before its base
    UnknownParticipantKey: UNKNOWN_KEY,
    ParticipantsUnavailable: PARTICIPANTS_UNAVAILABLE,
    KeyMakerBusy: KEY_MAKER_BUSY,
    ParticipantError: PARTICIPANT,
    UnfitValue: MALFORMED,
    KeyUnavailable: KEY_UNAVAILABLE,
    WorkerGone: WORKER_GONE,
    **{one: AdminError(one.code, status, one.title) for one, status in _AS_FOR_CLIENTS.items()},
}
"""What an error is that a verb, a worker or a store raises."""
_NAMED: Final = [one for one in list(globals().values()) if isinstance(one, AdminError)]
BY_CODE: Final = {one.code: one for one in (*_NAMED, *OF_CLASS.values())}
"""All errors above."""
_MALFORMED_REASONS: Final = frozenset({"not-before-in-the-future"})


class RefusedCall(Exception):
    """A call that ends with an error of the admin API; `detail` is a sentence for the caller.

    `code` replaces that of the error.
    """

    def __init__(self, error: AdminError, *, detail: str = "", code: str = "") -> None:
        super().__init__(detail)
        self._error = error
        self._code = code
        self._members = {"detail": detail} if detail else None

    def answer(self) -> Response:
        """Return the response."""
        return answer(self._error, code=self._code, members=self._members)


def refused(error: Exception) -> RefusedCall | None:
    """Return what a verb, a worker or a store raised as an error of the API, if it is known."""
    for kind, known in OF_CLASS.items():
        if isinstance(error, kind):
            return RefusedCall(known, detail=_detail(error))
    if isinstance(error, OperatorError):
        if error.reason in _MALFORMED_REASONS:
            return RefusedCall(MALFORMED, code=error.reason)
        if error.reason in BY_CODE:
            return RefusedCall(BY_CODE[error.reason], detail=error.detail)
    return None


def _detail(error: Exception) -> str:
    """Return the sentence for the caller: nothing of what failed to open, or of a store."""
    if isinstance(error, ParticipantError):
        return error.reason
    return error.detail if isinstance(error, UnfitValue) else ""


def answer(
    error: AdminError,
    *,
    code: str = "",
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, object] | None = None,
) -> Response:
    """Return the response; `code` replaces that of the error where the cause has its own."""
    shown = code or error.code
    body = {
        "type": f"urn:sealyard:error:{shown}",
        "title": error.title,
        "status": error.status,
        **(members or {}),
    }
    return Response(
        status=error.status,
        body=json.dumps(body).encode(),
        content_type="application/problem+json",
        headers={"Sealyard-Error": shown, **(headers or {})},
    )
