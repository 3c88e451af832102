"""The keys of the file, and of its small sections."""

from __future__ import annotations

from typing import Final

from . import tables
from .addresses import ADDRESS
from .tables import Key, Table

VERSION: Final = 1
"""The one version of the format that this program reads."""

HEALTH: Final = Table(
    "health",
    "`health`",
    (
        Key(
            "listen",
            ADDRESS,
            "Where probes and scrapers connect, without a token.",
            tables.TEXT,
            required=True,
        ),
        Key(
            "stalled_after",
            "duration",
            "After how long without a heartbeat of the event loop that carries the traffic (of any"
            " worker) `/livez` and `/readyz` return 503. No load should hold it up for as long.",
            tables.DURATION,
            "10s",
        ),
    ),
)

ON_FAILURE: Final = ("block", "warn")

AUDIT: Final = Table(
    "audit",
    "`audit`",
    (
        Key(
            "file",
            "path",
            "The log file; all processes on this machine append to it.",
            tables.TEXT,
            "the path of the keyring with `.audit` added",
        ),
        Key(
            "on_failure",
            "`block`, `warn`",
            "What happens if a record cannot be written: `block` refuses the operation and every"
            " message in which a value would be opened; `warn` continues, counts the failure and"
            " logs it.",
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
            f"`{VERSION}`",
            "The version of the configuration format.",
            {"const": VERSION},
            required=True,
        ),
        Key(
            "keys",
            "mapping",
            "The keyring, the store and session keys.",
            tables.table("keys"),
            required=True,
        ),
        Key("admin", "mapping", "The admin API.", tables.table("admin")),
        Key("health", "mapping", "The health listener.", tables.table("health")),
        Key(
            "audit",
            "mapping",
            "The audit log of running processes. Without it, only changes of the keyring are"
            " recorded, in a file beside it.",
            tables.table("audit"),
        ),
        Key(
            "fields",
            "fields by name",
            "What the backend accepts in each field.",
            tables.by_name(tables.table("field")),
        ),
        Key(
            "listeners",
            "list of listeners",
            "The listeners.",
            tables.many(tables.table("listener")),
            required=True,
        ),
    ),
)
