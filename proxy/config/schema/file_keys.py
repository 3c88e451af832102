"""The keys of the file, of its small sections, and the list of all tables of keys."""

from __future__ import annotations

from typing import Final

from . import tables
from .addresses import ADDRESS, SECRET
from .admin_keys import ADMIN, ADMIN_ACCOUNT, ADMIN_CLIENT, ADMIN_KUBERNETES, ADMIN_TOKEN
from .keys_section import IDENTITY, KEYRING, KEYS, PIN, PINS, SESSIONS
from .listener_keys import LIMITS, LISTENER, LOG, TIMEOUTS, TLS, UPSTREAM_TLS
from .root_kinds import ROOT_TABLES
from .rule_keys import BLOCK, DEFAULTS, FIELD, ITEM, RULE, SOURCES
from .store_kinds import STORE_TABLES
from .tables import Key, Table

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
    *ROOT_TABLES,
    *STORE_TABLES,
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
