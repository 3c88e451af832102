"""The keys of the section `keys`: keyring, store, sessions, identities and pins."""

from __future__ import annotations

from typing import Final

from ..settings import PIN_MODES
from . import tables
from .root_kinds import ROOT_KEYS
from .store_kinds import STORE_SYNTAX
from .tables import Key, Table, listed

KEYRING: Final = Table(
    "keyring",
    f"`keys.keyring`; {listed(key.name for key in ROOT_KEYS)} are roots: one of them, or `roots`",
    (
        Key("file", "path", "The keyring file.", tables.TEXT, required=True),
        *ROOT_KEYS,
        Key(
            "roots",
            "list of roots",
            "Several roots, tried in this order; any one of them opens the keyring. Each needs a"
            " wrapping in the keyring's file.",
            tables.many(tables.table("root")),
        ),
        Key(
            "lease",
            "duration",
            "How long the keys may be used until the first root is asked again, 1s to 24h. It is"
            " asked earlier, and an outage that ends in time is only reported. Then messages with"
            " values to seal or open get 503, and the keys are overwritten in memory. With a lease,"
            " only the first root opens the keyring for traffic; it cannot be `shares`.",
            tables.DURATION,
            "for ever",
        ),
        Key(
            "id",
            "22 characters",
            "The keyring's id, as `sealyard keys list` prints it. A keyring with another id is"
            " refused. Required where a key service opens the keyring, which would open another"
            " one too.",
            tables.TEXT,
            "any",
        ),
    ),
    alternatives=(*((key.name,) for key in ROOT_KEYS), ("roots",)),
)

ROOT: Final = Table(
    "root",
    "An element of `keys.keyring.roots`; one of its keys",
    ROOT_KEYS,
    alternatives=tuple((key.name,) for key in ROOT_KEYS),
)

SESSIONS: Final = Table(
    "sessions",
    "`keys.sessions`",
    (
        Key(
            "mode",
            "`durable`, `ephemeral`",
            "How session keys are made: `durable` keys are derived from the keyring; `ephemeral`"
            " keys are random and exist only in the store.",
            tables.choice(("durable", "ephemeral")),
            "`durable`",
        ),
        Key(
            "ttl",
            "duration",
            "How long a session key seals new values; at most 24h.",
            tables.DURATION,
            "1h",
        ),
        Key(
            "grace",
            "duration",
            "How long an ephemeral session key still opens values after `ttl`.",
            tables.DURATION,
            "1h",
        ),
        Key(
            "revocation_max_age",
            "duration",
            "How often the store is checked for revocations; 1s to 1h.",
            tables.DURATION,
            "30s",
        ),
        Key(
            "package_max_age",
            "duration",
            "The maximum lifetime of a key package (end to end), including those that another"
            " Sealyard made: a package that expires later is not opened. At least `ttl`, at most"
            " 366d.",
            tables.DURATION,
            "366d",
        ),
        Key(
            "accept_loss",
            "`true`, `false`",
            "Whether keys that exist nowhere else may be kept in `store: memory`. Each restart"
            " then loses everything that was sealed under them. With that store, required for"
            " `mode: ephemeral` and for rules with `recipients`.",
            tables.SWITCH,
            "`false`",
        ),
    ),
)

KEYS: Final = Table(
    "keys",
    "`keys`",
    (
        Key(
            "keyring",
            "mapping",
            "The keyring and what opens it.",
            tables.table("keyring"),
            required=True,
        ),
        Key(
            "store",
            f"{STORE_SYNTAX}, mapping",
            "Where session records are kept.",
            {"anyOf": [tables.TEXT, tables.table("store")]},
            "`memory`",
        ),
        Key("sessions", "mapping", "Session keys.", tables.table("sessions")),
        Key(
            "identities",
            "list of identities",
            "The participants for whom Sealyard signs and opens end-to-end values. If given, it"
            " does so for no others.",
            tables.many(tables.table("identity")),
            "all participants whose private keys are encrypted under the keyring",
        ),
        Key(
            "pins",
            "mapping",
            "Which public keys of participants are trusted.",
            tables.table("pins"),
        ),
        Key(
            "verify_reports",
            "list of paths",
            "The signed reports of `sealyard migrate verify`: what the last ones counted is in the"
            " metrics. A file that changes, or is not there yet, is read when it has changed.",
            tables.many(tables.TEXT),
        ),
    ),
)

PINS: Final = Table(
    "pins",
    "`keys.pins`: the public keys of participants are pinned on first use",
    (
        Key(
            "mode",
            "`off`, `alert`, `enforce`",
            "What happens with a key that has not been accepted: `off` uses it, `alert`"
            " uses it and reports it, `enforce` reports it and does not use it.",
            tables.choice(PIN_MODES),
            "`alert`",
        ),
        Key(
            "participants",
            "list",
            "Participants whose keys are pinned here: no other keys of theirs are used, in any"
            " mode.",
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
            "All their keys, including signing keys.",
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
            "The passphrase that encrypts the private keys.",
            tables.table("secret"),
            "the keyring",
        ),
        Key(
            "file",
            "path",
            "An encrypted private JWK, if the store holds only the public key.",
            tables.TEXT,
        ),
    ),
)
