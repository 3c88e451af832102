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
    "What the caller may do.",
    tables.many(tables.choice(ADMIN_SCOPES)),
    required=True,
)

ADMIN_TOKEN: Final = Table(
    "admin_token",
    "An element of `admin.tokens`",
    (
        Key("name", "text", "Its name in logs; unique in the file.", tables.TEXT, required=True),
        Key("token", "secret", "The bearer token.", tables.table("secret"), required=True),
        _SCOPES,
        Key(
            "expires",
            "`2027-06-01`, `2027-06-01T12:00:00Z`",
            "When it expires: a day in UTC, or a time with its offset.",
            tables.TEXT,
            "never",
        ),
    ),
)

ADMIN_CLIENT: Final = Table(
    "admin_client",
    "An element of `admin.clients`; one of `subject`, `dns` and `uri`",
    (
        Key("name", "text", "Its name in logs; unique in the file.", tables.TEXT, required=True),
        Key(
            "subject",
            "such as `CN=ops,O=Clinic`",
            "The subject of the client certificate, as an RFC 4514 string.",
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
    "`admin.kubernetes`: service account tokens, checked with the TokenReview API",
    (
        Key(
            "accounts",
            "list",
            "The service accounts that are admitted, each with its scopes.",
            tables.many(tables.table("admin_account")),
            required=True,
        ),
        Key(
            "audience",
            "text",
            "The audience that tokens must be issued for.",
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
        Key(
            "ca",
            "path",
            "The CA certificate that verifies the API server (PEM).",
            tables.TEXT,
            "the pod's",
        ),
        Key(
            "token_file",
            "path",
            "The token that Sealyard authenticates with; read for each review.",
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
            "TLS for callers. With `client_ca`, a client certificate is required, or, if there are"
            " `clients`, accepted in place of a token.",
            tables.table("tls"),
        ),
        Key(
            "clients",
            "list",
            "Client certificates of callers, each with its scopes; needs `tls` with `client_ca`.",
            tables.many(tables.table("admin_client")),
        ),
        Key(
            "kubernetes",
            "mapping",
            "Kubernetes service accounts as callers.",
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
            "Whether `GET /v1/status/follow` shows live messages: shapes and sizes, no values.",
            tables.SWITCH,
            "`false`",
        ),
        Key(
            "ladder_file",
            "path",
            "The file that keeps what `GET /v1/status/steps` has counted, so that it outlives the"
            " process. Without it, the ladder knows what was counted since the start.",
            tables.TEXT,
        ),
    ),
)
