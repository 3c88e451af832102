"""The keys of the file outside its rules."""

from __future__ import annotations

from typing import Final

from ..settings import PIN_MODES
from . import tables
from .admin_keys import (
    ADDRESS,
    ADMIN,
    ADMIN_ACCOUNT,
    ADMIN_CLIENT,
    ADMIN_KUBERNETES,
    ADMIN_TOKEN,
    LOG,
)
from .rule_keys import BLOCK, DEFAULTS, FIELD, ITEM, RULE, SOURCES
from .tables import Key, Table
from .traffic_keys import LIMITS, TIMEOUTS

MOST_DATABASE: Final = 99_999

SECRET: Final = Table(
    "secret",
    "A secret, by where it stands; one of the two",
    (
        Key("env", "name", "The environment variable that holds it.", tables.TEXT),
        Key("file", "path", "The file that holds it.", tables.TEXT),
    ),
)

KEYRING: Final = Table(
    "keyring",
    "`keys.keyring`; one of `passphrase` and `key` opens it",
    (
        Key("file", "path", "The keyring's file.", tables.TEXT, required=True),
        Key("passphrase", "secret", "The passphrase that opens it.", tables.table("secret")),
        Key(
            "key",
            "`{file: path}`",
            "The root key that opens it: a file of 32 random bytes in base64url.",
            tables.table("secret"),
        ),
        Key(
            "id",
            "22 characters",
            "The keyring's id, as `sealyard keys list` tells it: no other is taken.",
            tables.TEXT,
            "whichever the file holds",
        ),
    ),
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

STORE: Final = Table(
    "store",
    "`keys.store` as a mapping",
    (
        Key(
            "url",
            "`redis://host:port/db`, `rediss://host:port/db`, `unix:/path`",
            "Which Redis; `rediss` is TLS, verified. One of `url`, `cluster` and `sentinels`.",
            tables.TEXT,
        ),
        Key(
            "cluster",
            "list of `redis://host:port`, `rediss://host:port`",
            "Nodes of a Redis Cluster; one that answers tells of all the others.",
            tables.many(tables.TEXT),
        ),
        Key(
            "sentinels",
            "list of `redis://host:port`, `rediss://host:port`",
            "Sentinels that know which Redis is the master; with `service`.",
            tables.many(tables.TEXT),
        ),
        Key("service", "name", "The master's name among the Sentinels.", tables.TEXT),
        Key(
            "db",
            "whole number",
            "The database of the Sentinels' master; in a `url` it stands at the end.",
            tables.number(0, MOST_DATABASE),
            "0",
        ),
        Key("sentinel_user", "name", "The Sentinels' ACL user.", tables.TEXT),
        Key("sentinel_password", "secret", "Its password.", tables.table("secret")),
        Key("user", "name", "The ACL user.", tables.TEXT, "Redis' default user"),
        Key("password", "secret", "Its password.", tables.table("secret")),
        Key("ca", "path", "Who signs Redis' certificate.", tables.TEXT, "the system's"),
        Key("cert", "path", "The certificate that Sealyard shows (PEM); with `key`.", tables.TEXT),
        Key("key", "path", "Its private key (PEM); with `cert`.", tables.TEXT),
        Key("prefix", "text", "How all names in Redis begin.", tables.TEXT, "`sealyard`"),
    ),
)

KEYS: Final = Table(
    "keys",
    "`keys`",
    (
        Key("keyring", "mapping", "Where the keys are.", tables.table("keyring"), required=True),
        Key(
            "store",
            "`memory`, `sqlite:PATH`, `redis://host:port/db`, `rediss://host:port/db`, mapping",
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

HEALTH: Final = Table(
    "health",
    "`health`",
    (Key("listen", ADDRESS, "Where probes ask, without a token.", tables.TEXT, required=True),),
)

ON_FAILURE: Final = ("block", "warn")

AUDIT: Final = Table(
    "audit",
    "`audit`",
    (
        Key(
            "file",
            "path",
            "The log, a file that every process of this machine appends to.",
            tables.TEXT,
            "the keyring's path and `.audit`",
        ),
        Key(
            "on_failure",
            "`block`, `warn`",
            "What happens to what cannot be written down: it is refused, and so is every message"
            " that would open something; or it is done, counted and told in the log.",
            tables.choice(ON_FAILURE),
            "`block`",
        ),
    ),
)

TLS: Final = Table(
    "tls",
    "`tls` of a listener",
    (
        Key(
            "cert", "path", "The certificate chain that it shows (PEM).", tables.TEXT, required=True
        ),
        Key("key", "path", "Its private key (PEM).", tables.TEXT, required=True),
        Key("client_ca", "path", "Clients must show a certificate of this authority.", tables.TEXT),
    ),
)

UPSTREAM_TLS: Final = Table(
    "upstream_tls",
    "`upstream_tls` of a listener",
    (
        Key("ca", "path", "Who signs the upstream's certificate.", tables.TEXT, "the system's"),
        Key("cert", "path", "The certificate that Sealyard shows (PEM); with `key`.", tables.TEXT),
        Key("key", "path", "Its private key (PEM); with `cert`.", tables.TEXT),
        Key(
            "server_name",
            "name",
            "The name that the certificate must hold.",
            tables.TEXT,
            "the host",
        ),
    ),
)

LISTENER: Final = Table(
    "listener",
    "A listener",
    (
        Key(
            "name",
            "text",
            "Its name in logs and metrics; once in a file.",
            tables.TEXT,
            required=True,
        ),
        Key("listen", ADDRESS, "Where it accepts.", tables.TEXT, required=True),
        Key(
            "upstream",
            "`http://host:port`, `https://host:port`, `unix:/path`, `original-port`",
            "Where it forwards to; `original-port` is 127.0.0.1 at the port that the client of a"
            " redirected connection called (in pods).",
            tables.TEXT,
            required=True,
        ),
        Key(
            "unmatched",
            "`pass`, `reject`",
            "What becomes of requests that no rule matches. `validate` warns where writes among"
            " them pass beside what rules seal: reject them, or end the rules with one for all of"
            " the area.",
            tables.choice(("pass", "reject")),
            required=True,
        ),
        Key(
            "defaults",
            "mapping",
            "Rule keys for every rule that has not its own.",
            tables.table("defaults"),
        ),
        Key(
            "rules",
            "list of rules",
            "The rules; the first match wins.",
            {"type": "array", "items": tables.table("rule")},
        ),
        Key("tls", "mapping", "TLS towards clients.", tables.table("tls")),
        Key(
            "upstream_tls",
            "mapping",
            "TLS towards an `https` upstream.",
            tables.table("upstream_tls"),
        ),
        Key("limits", "mapping", "Sizes and numbers.", tables.table("limits")),
        Key("timeouts", "mapping", "Waits.", tables.table("timeouts")),
        Key(
            "trusted_names",
            "`true`, `false`",
            "Whether a tenant may be read from headers, queries and unverified claims.",
            tables.SWITCH,
            "`false`",
        ),
        Key(
            "trusted_proxies",
            "list of networks, such as `10.0.0.0/8`",
            "Whose word on the client (`X-Forwarded-For` and its like) is passed on and added to;"
            " that of all others is replaced.",
            tables.many(tables.TEXT),
            "none",
        ),
        Key("jwks", "url", "Verifies the claims that `jwt:` reads.", tables.NOT_YET, later=True),
    ),
)

FILE: Final = Table(
    "file",
    "The file",
    (
        Key(
            "version",
            "`2`, `1`",
            "The version of this grammar. In 2, a block whose items are all optional must say"
            " `nothing`.",
            {"enum": [2, 1]},
            required=True,
        ),
        Key("keys", "mapping", "Keys.", tables.table("keys"), required=True),
        Key("admin", "mapping", "The admin API.", tables.table("admin")),
        Key("health", "mapping", "Health for probes.", tables.table("health")),
        Key(
            "audit",
            "mapping",
            "The audit log of running processes. Without it, only changes of the keyring are"
            " written down, beside it.",
            tables.table("audit"),
        ),
        Key(
            "fields",
            "fields by name",
            "What the backend allows.",
            tables.by_name(tables.table("field")),
        ),
        Key(
            "listeners",
            "list of listeners",
            "Where Sealyard accepts.",
            tables.many(tables.table("listener")),
            required=True,
        ),
    ),
)

TABLES: Final = (
    FILE,
    KEYS,
    KEYRING,
    IDENTITY,
    PINS,
    PIN,
    STORE,
    SECRET,
    SESSIONS,
    ADMIN,
    ADMIN_TOKEN,
    ADMIN_CLIENT,
    ADMIN_KUBERNETES,
    ADMIN_ACCOUNT,
    HEALTH,
    AUDIT,
    FIELD,
    LISTENER,
    TLS,
    UPSTREAM_TLS,
    LIMITS,
    TIMEOUTS,
    DEFAULTS,
    RULE,
    LOG,
    SOURCES,
    BLOCK,
    ITEM,
)
