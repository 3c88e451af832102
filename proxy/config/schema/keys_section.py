"""The keys of the section `keys`: keyring, store, sessions, identities and pins."""

from __future__ import annotations

from typing import Final

from ..settings import PIN_MODES
from . import tables
from .root_kinds import ROOT_KEYS
from .store_kinds import STORE_SYNTAX
from .tables import Key, Table

_ROOTS: Final = " and ".join(f"`{key.name}`" for key in ROOT_KEYS)
KEYRING: Final = Table(
    "keyring",
    f"`keys.keyring`; one of {_ROOTS} opens it",
    (
        Key("file", "path", "The keyring's file.", tables.TEXT, required=True),
        *ROOT_KEYS,
        Key(
            "id",
            "22 characters",
            "The keyring's id, as `sealyard keys list` tells it: no other is taken.",
            tables.TEXT,
            "whichever the file holds",
        ),
    ),
    alternatives=tuple((key.name,) for key in ROOT_KEYS),
)

SESSIONS: Final = Table(
    "sessions",
    "`keys.sessions`",
    (
        Key(
            "mode",
            "`durable`, `ephemeral`",
            "How session keys are made: derived from the keyring, or random and only in the store.",
            tables.choice(("durable", "ephemeral")),
            "`durable`",
        ),
        Key("ttl", "duration", "How long a session key seals; at most 24h.", tables.DURATION, "1h"),
        Key(
            "grace",
            "duration",
            "How long an ephemeral one opens after that.",
            tables.DURATION,
            "1h",
        ),
        Key(
            "revocation_max_age",
            "duration",
            "After how long the store is asked again for revocations; 1s to 1h.",
            tables.DURATION,
            "30s",
        ),
        Key(
            "package_max_age",
            "duration",
            "How long a key package (end to end) may live, also one that another Sealyard made: one"
            " that names a later end is not opened. At least `ttl`, at most 366d.",
            tables.DURATION,
            "366d",
        ),
        Key(
            "accept_loss",
            "`true`, `false`",
            "Whether keys that no other place holds may stand in `store: memory`: with each restart"
            " all that was sealed under them is lost. Must be said for `mode: ephemeral` there, and"
            " in files of `version: 2` for rules with `recipients`.",
            tables.SWITCH,
            "`false`",
        ),
    ),
)

KEYS: Final = Table(
    "keys",
    "`keys`",
    (
        Key("keyring", "mapping", "Where the keys are.", tables.table("keyring"), required=True),
        Key(
            "store",
            f"{STORE_SYNTAX}, mapping",
            "Where session records live.",
            {"anyOf": [tables.TEXT, tables.table("store")]},
            "`memory`",
        ),
        Key("sessions", "mapping", "Session keys.", tables.table("sessions")),
        Key(
            "identities",
            "list of identities",
            "For whom Sealyard signs and opens what is end to end; no one else, where it is given.",
            tables.many(tables.table("identity")),
            "every participant whose private keys are under the keyring",
        ),
        Key(
            "pins",
            "mapping",
            "Which keys of participants are believed to be theirs.",
            tables.table("pins"),
        ),
    ),
)

PINS: Final = Table(
    "pins",
    "`keys.pins`: keys of participants are pinned when they are first used",
    (
        Key(
            "mode",
            "`off`, `alert`, `enforce`",
            "What becomes of a key that nobody accepted: it is used, it is used and told of, or it"
            " is told of and not used.",
            tables.choice(PIN_MODES),
            "`alert`",
        ),
        Key(
            "participants",
            "list",
            "Participants whose keys stand here: no others of theirs are used, in any mode.",
            tables.many(tables.table("pin")),
        ),
    ),
)

PIN: Final = Table(
    "pin",
    "An element of `keys.pins.participants`",
    (
        Key("participant", "text", "The participant's id.", tables.TEXT, required=True),
        Key(
            "keys",
            "list of thumbprints (RFC 7638)",
            "Their keys, those they sign with among them.",
            tables.many(tables.TEXT),
            required=True,
        ),
    ),
)

IDENTITY: Final = Table(
    "identity",
    "An element of `keys.identities`: a participant whose private keys Sealyard may use",
    (
        Key("participant", "text", "The participant's id.", tables.TEXT, required=True),
        Key(
            "passphrase",
            "secret",
            "What opens the private keys.",
            tables.table("secret"),
            "the keyring",
        ),
        Key(
            "file",
            "path",
            "An encrypted private JWK, where the store holds the public one alone.",
            tables.TEXT,
        ),
    ),
)
