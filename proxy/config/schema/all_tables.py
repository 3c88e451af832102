"""All tables of keys, for the JSON Schema and the reference: a process that serves needs few."""

from __future__ import annotations

from typing import Final

from .addresses import SECRET
from .admin_keys import ADMIN, ADMIN_ACCOUNT, ADMIN_CLIENT, ADMIN_KUBERNETES, ADMIN_TOKEN
from .file_keys import AUDIT, FILE, HEALTH
from .keys_section import IDENTITY, KEYRING, KEYS, PIN, PINS, ROOT, SESSIONS
from .listener_keys import CLIENT_NAME, LIMITS, LISTENER, LOG, TIMEOUTS, TLS, UPSTREAM_TLS
from .root_kinds import ROOT_KINDS
from .rule_keys import BLOCK, DEFAULTS, FIELD, ITEM, RULE, SOURCES
from .store_kinds import STORE_TABLES
from .stream_keys import BATCH

TABLES: Final = (
    FILE,
    KEYS,
    KEYRING,
    IDENTITY,
    PINS,
    PIN,
    ROOT,
    *(table for kind in ROOT_KINDS.values() for table in kind.options().tables),
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
    CLIENT_NAME,
    DEFAULTS,
    RULE,
    LOG,
    SOURCES,
    BLOCK,
    BATCH,
    ITEM,
)
