"""The keys of the section `admin`."""

from __future__ import annotations

from typing import Final

from ..settings import ADMIN_SCOPES
from . import tables
from .addresses import ADDRESS
from .tables import Key, Table

_SCOPES: Final = Key(
    "scopes",
    "list of `read`, `keys`, `accept`, `reload`, `seal`, `open`",
    "What its holder may do.",
    tables.many(tables.choice(ADMIN_SCOPES)),
    required=True,
)

ADMIN_TOKEN: Final = Table(
    "admin_token",
    "An element of `admin.tokens`",
    (
        Key("name", "text", "Its name in logs; once in a file.", tables.TEXT, required=True),
        Key("token", "secret", "The bearer token.", tables.table("secret"), required=True),
        _SCOPES,
        Key(
            "expires",
            "`2027-06-01`, `2027-06-01T12:00:00Z`",
            "From when on it is refused (UTC).",
            tables.TEXT,
            "never",
        ),
    ),
)

ADMIN_CLIENT: Final = Table(
    "admin_client",
    "An element of `admin.clients`; one of `subject`, `dns` and `uri`",
    (
        Key("name", "text", "Its name in logs; once in a file.", tables.TEXT, required=True),
        Key(
            "subject",
            "such as `CN=ops,O=Clinic`",
            "The subject of the client's certificate, as RFC 4514 writes it.",
            tables.TEXT,
        ),
        Key("dns", "name", "A DNS name in its subjectAltName.", tables.TEXT),
        Key("uri", "such as `spiffe://clinic/ops`", "A URI in its subjectAltName.", tables.TEXT),
        _SCOPES,
    ),
    alternatives=(("subject",), ("dns",), ("uri",)),
)

ADMIN_ACCOUNT: Final = Table(
    "admin_account",
    "An element of `admin.kubernetes.accounts`",
    (
        Key("account", "`namespace/name`", "The service account.", tables.TEXT, required=True),
        _SCOPES,
    ),
)

ADMIN_KUBERNETES: Final = Table(
    "admin_kubernetes",
    "`admin.kubernetes`: tokens of service accounts, which the cluster reviews",
    (
        Key(
            "accounts",
            "list",
            "Which service accounts may do what.",
            tables.many(tables.table("admin_account")),
            required=True,
        ),
        Key(
            "audience",
            "text",
            "For whom the tokens must have been made.",
            tables.TEXT,
            required=True,
        ),
        Key(
            "api",
            "`https://host:port`",
            "The API server.",
            tables.TEXT,
            "`https://kubernetes.default.svc`",
        ),
        Key("ca", "path", "Who signs its certificate.", tables.TEXT, "the pod's"),
        Key(
            "token_file",
            "path",
            "What Sealyard shows the API server; read for each review.",
            tables.TEXT,
            "the pod's",
        ),
    ),
)

ADMIN: Final = Table(
    "admin",
    "`admin`; at least one of `token`, `tokens`, `clients` and `kubernetes`",
    (
        Key("listen", ADDRESS, "Where the admin API listens.", tables.TEXT, required=True),
        Key(
            "token",
            "secret",
            "A bearer token with the scopes `read`, `keys` and `reload`.",
            tables.table("secret"),
        ),
        Key(
            "tokens",
            "list",
            "Bearer tokens, each with its scopes.",
            tables.many(tables.table("admin_token")),
        ),
        Key(
            "tls",
            "mapping",
            "TLS towards callers. With `client_ca`, they must show a certificate; where there are"
            " `clients`, they may show one instead of a token.",
            tables.table("tls"),
        ),
        Key(
            "clients",
            "list",
            "Certificates of callers, each with its scopes; needs `tls` with `client_ca`.",
            tables.many(tables.table("admin_client")),
        ),
        Key(
            "kubernetes",
            "mapping",
            "Service accounts as callers.",
            tables.table("admin_kubernetes"),
        ),
        Key(
            "status_page",
            "`true`, `false`",
            "Whether `/` serves the status page.",
            tables.SWITCH,
            "`false`",
        ),
        Key(
            "tap",
            "`true`, `false`",
            "Whether `GET /v1/tap` shows messages as they pass, by shape and size.",
            tables.SWITCH,
            "`false`",
        ),
    ),
)
