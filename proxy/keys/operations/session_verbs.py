"""The verbs about the sessions of one scope: show, create, rotate, revoke, erase, and packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from ...core.errors import NotErasable
from . import schemas
from .schemas import FLAG, TEXT
from .verb import Argument, Command, Done, Route, Verb, late

StillOpen = Literal[
    "others-late", "others-not-told", "not-stored-yet", "lost-with-store", "lost-with-process"
]
STILL_OPEN: Final[Mapping[StillOpen, str]] = {
    "others-late": (
        "processes that missed the notification may open for `others_within` seconds more"
    ),
    "others-not-told": "no store notifies other processes: they open until they load the keyring",
    "not-stored-yet": (
        "the store has not taken it: it is retried until the store has, and until then other"
        " processes open"
    ),
    "lost-with-process": (
        "no file holds it: if this process ends before the store takes it, the revocation is lost"
    ),
    "lost-with-store": (
        "it is not in the keyring: if the store loses its data, the revocation is lost"
    ),
}
"""What a revocation does not cover yet, or not permanently."""

_NUMBER: Final = {"type": "integer", "minimum": 0}
_SESSION: Final = schemas.record(
    {
        "sid": TEXT,
        "kek": schemas.nullable(TEXT),
        "began": _NUMBER,
        "soft_end": _NUMBER,
        "sealed": _NUMBER,
    }
)
_KEPT: Final = {
    "store": schemas.record(
        {"master": FLAG, "replicas": _NUMBER, "disk": FLAG}, ("replicas", "disk")
    ),
    "kept": FLAG,
    "durable": FLAG,
    "problem": TEXT,
    "open": schemas.many({"type": "string", "enum": list(STILL_OPEN)}),
    "others_within": {"type": "number", "minimum": 0},
    "unknown": FLAG,
    "complete": FLAG,
    "processes": _NUMBER,
    "missed": schemas.many(TEXT),
    "fresh": schemas.FRESH,
}
"""What keeps a revocation, where it does not hold yet, if its scope is unknown here, and whether
all processes know of it."""
_EXPECT: Final = Argument(
    "expect",
    "number",
    "How many processes there are at least: with fewer, it is not known whether all were reached.",
    schemas.nullable({"type": "integer", "minimum": 0, "maximum": 100_000}),
)
_INCOMPLETE: Final = (
    "Done, and `complete` is false: it is not known that every process which may seal knows of it."
    " `missed` names those that were not reached."
)
_SCOPE_AFTER: Final = {"scope": TEXT, "not_before": _NUMBER, "sessions": schemas.many(_SESSION)}
_RESULT: Final = schemas.record({**_SCOPE_AFTER, "agreed": FLAG, **_KEPT}, ("agreed", *_KEPT))
_ERASED: Final = {"erased": schemas.many(TEXT), "receipt": TEXT, "key": schemas.anything()}
_RECEIPT: Final = schemas.record({**_SCOPE_AFTER, **_KEPT, **_ERASED}, ("sessions", *_KEPT))
_AFTER: Final = "The sessions of the scope, after this call."
_NAMED: Final = "--tenant clinic --conversation c1"
_PATH: Final = "/v1/sessions"


def _verb(
    name: str,
    summary: str,
    route: Route,
    command: Command | None = None,
    *,
    arguments: tuple[Argument, ...] = (),
    **more: Any,  # noqa: ANN401 - any field of a verb
) -> Verb:
    """Return a verb about a scope that every worker does, since each has sessions of its own."""
    return Verb(
        f"sessions.{name}",
        summary,
        late("session_operations", name),
        (Argument("scope", "scope"), *arguments),
        route,
        command,
        **{"reach": "all", "join": _joined, "shared": "", **more},
    )


def _joined(one: Done, other: Done) -> Done:
    """Return what two workers have done as if one had."""
    mine, theirs = dict(one.answer), other.answer
    held = {session["sid"]: session for session in mine["sessions"]}
    for session in theirs["sessions"]:
        before = held[session["sid"]]["sealed"] if session["sid"] in held else 0
        held[session["sid"]] = {**session, "sealed": before + session["sealed"]}
    mine |= {
        "not_before": max(mine["not_before"], theirs["not_before"]),
        "sessions": list(held.values()),
    }
    told = dict(one.told)
    if not theirs.get("unknown"):  # known to one of them
        mine.pop("unknown", None)
        told |= dict.fromkeys(told.keys() & {"unknown"})
    return replace(one, answer=mine, told=told)


SHOW: Final = _verb(
    "show",
    "Show the sessions that a running Sealyard holds for one scope, and its revocation.",
    Route("showSessions", "GET", _PATH, "read", _AFTER, _RESULT),
    Command(
        (_NAMED, f"{_NAMED} --json"),
        "Calls the admin listener of the configuration, since sessions are in its processes."
        " Sessions of end-to-end rules have key packages: see `sealyard sessions package`. Exits"
        " with 1 if there is no session.",
        running=True,
    ),
    touches=frozenset({"sessions"}),
)
CREATE: Final = _verb(
    "create",
    "Create a session for a scope, unless it has one.",
    Route("createSession", "POST", _PATH, "keys", _AFTER, _RESULT),
    touches=frozenset({"sessions"}),
)
ROTATE: Final = _verb(
    "rotate",
    "Begin a new session for a scope; what the old one sealed still opens.",
    Route("rotateSession", "POST", f"{_PATH}/rotate", "keys", _AFTER, _RESULT),
    Command(
        (_NAMED, f"{_NAMED} --json"),
        "It begins in the shared store. Subscribed processes use it at once, others within"
        " `revocation_max_age`. Exits with 1 if the store is not shared or does not accept it.",
    ),
    touches=frozenset({"sessions", "packages"}),
)
REVOKE: Final = _verb(
    "revoke",
    "Revoke the sessions of a scope that began before a time: they no longer seal or open.",
    Route(
        "revokeSessions",
        "POST",
        f"{_PATH}/revoke",
        "keys",
        _AFTER,
        _RESULT,
        incomplete=_INCOMPLETE,
    ),
    Command(
        (_NAMED, f"{_NAMED} --not-before 2026-11-24T18:00:00Z"),
        "The revocation is written to the shared store, published, and written to the keyring, so"
        " that it outlives the store. What the store does not take is kept in a file, from which a"
        " Sealyard that runs beside the same keyring or audit log retries it. It cannot be undone,"
        " so the command asks for confirmation. It waits until every process that may seal has said"
        " that it knows, or its lease has ended. Exits with 1 if the store or the keyring did not"
        " accept it, or a process was not reached.",
        asks="{scope}: sessions that began before {not_before} never seal or open again, in any"
        " process",
    ),
    arguments=(
        Argument(
            "not_before",
            "time",
            "Revoke sessions that began before this time; default: now.",
            schemas.nullable(schemas.SECONDS),
            past=True,
        ),
        _EXPECT,
    ),
    alone=True,
    raises=("revocation-not-kept", "clock-skew"),
    logged="key.revoked",
    touches=frozenset({"sessions", "keyring"}),
)
ERASE: Final = _verb(
    "erase",
    "Destroy the ephemeral session keys and the key packages of a scope, with a signed receipt.",
    Route(
        "eraseSessions",
        "DELETE",
        _PATH,
        "keys",
        "The keys are erased. `receipt` is a compact JWS (RFC 7515) that `key` verifies.",
        _RECEIPT,
        incomplete=_INCOMPLETE,
    ),
    Command(
        (f"{_NAMED} --receipt c1.jws", f"{_NAMED} --yes > c1.jws"),
        "Asks for confirmation. What the keys sealed never opens again. The sessions are also"
        " revoked, so that a copy of a key from a backup does not open either. Verify the receipt"
        " with `sealyard audit verify-receipt`. Durable keys are derived from the KEK: under"
        " `mode: durable`, only the key packages of end-to-end sealing are erased, without a"
        " revocation. It waits for processes as `revoke` does. Exits with 1 if there are none, if a"
        " process was not reached, or if the store or the keyring did not accept the revocation:"
        " then revoke the sessions, too.",
        asks="{scope}: its ephemeral session keys and key packages are destroyed; what they sealed"
        " never opens again",
        receipt=True,
    ),
    arguments=(_EXPECT,),
    raises=(NotErasable, "clock-skew"),
    logged="key.erased",
    touches=frozenset({"sessions", "packages", "keyring"}),
)
PACKAGE: Final = _verb(
    "package",
    "Show the key packages of a conversation for one participant, newest first.",
    Route(
        "keyPackage",
        "GET",
        f"{_PATH}/package",
        "keys",
        "The newest package: a JWE in general JSON form (RFC 7516), signed by the sender, which the"
        " recipient's private key opens. Only end-to-end rules make packages.",
        schemas.anything(),
        media_type="application/jose+json",
        headers={
            "Sealyard-Sid": "The id of the session whose key it holds.",
            "Sealyard-Signer": "The thumbprint of the key that signed it.",
        },
    ),
    Command(
        (f"{_NAMED} --recipient bob", f"{_NAMED} --recipient bob --sid SID"),
        "Any JOSE library opens a package with the participant's private key. Exits with 1 if there"
        " is no package.",
    ),
    arguments=(
        Argument("recipient", "participant", "The id of the participant.", required=True),
        Argument(
            "sid",
            "text",
            "Only the package of this session, as the `kid` of a token names it.",
            {"type": "string", "pattern": "^[A-Za-z0-9_-]{16}$"},
        ),
    ),
    reach="one",
    join=None,
    shared="always",
    raises=("no-package",),
    touches=frozenset({"packages"}),
)

SESSIONS: Final = (SHOW, ROTATE, REVOKE, PACKAGE, ERASE, CREATE)
"""The family `sessions`."""
