"""The keys of the section `admin`."""

from __future__ import annotations

from typing import Final

from . import shapes
from .settings import ADMIN_SCOPES
from .tables import Key, Table

ADDRESS: Final = "`host:port`, `'*:port'`, `unix:/path`"
_SCOPES: Final = Key(
    "scopes",
    "list of `read`, `keys`, `accept`, `reload`, `seal`, `open`",
    "What its holder may do.",
    shapes.many(shapes.choice(ADMIN_SCOPES)),
    required=True,
)

ADMIN_TOKEN: Final = Table(
    "admin_token",
    "An element of `admin.tokens`",
    (
        Key("name", "text", "Its name in logs; once in a file.", shapes.TEXT, required=True),
        Key("token", "secret", "The bearer token.", shapes.table("secret"), required=True),
        _SCOPES,
        Key(
            "expires",
            "`2027-06-01`, `2027-06-01T12:00:00Z`",
            "From when on it is refused (UTC).",
            shapes.TEXT,
            "never",
        ),
    ),
)

ADMIN_CLIENT: Final = Table(
    "admin_client",
    "An element of `admin.clients`; one of `subject`, `dns` and `uri`",
    (
        Key("name", "text", "Its name in logs; once in a file.", shapes.TEXT, required=True),
        Key(
            "subject",
            "such as `CN=ops,O=Clinic`",
            "The subject of the client's certificate, as RFC 4514 writes it.",
            shapes.TEXT,
        ),
        Key("dns", "name", "A DNS name in its subjectAltName.", shapes.TEXT),
        Key("uri", "such as `spiffe://clinic/ops`", "A URI in its subjectAltName.", shapes.TEXT),
        _SCOPES,
    ),
)

ADMIN_ACCOUNT: Final = Table(
    "admin_account",
    "An element of `admin.kubernetes.accounts`",
    (
        Key("account", "`namespace/name`", "The service account.", shapes.TEXT, required=True),
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
            shapes.many(shapes.table("admin_account")),
            required=True,
        ),
        Key(
            "audience",
            "text",
            "For whom the tokens must have been made.",
            shapes.TEXT,
            required=True,
        ),
        Key(
            "api",
            "`https://host:port`",
            "The API server.",
            shapes.TEXT,
            "`https://kubernetes.default.svc`",
        ),
        Key("ca", "path", "Who signs its certificate.", shapes.TEXT, "the pod's"),
        Key(
            "token_file",
            "path",
            "What Sealyard shows the API server; read for each review.",
            shapes.TEXT,
            "the pod's",
        ),
    ),
)

ADMIN: Final = Table(
    "admin",
    "`admin`; at least one of `token`, `tokens`, `clients` and `kubernetes`",
    (
        Key("listen", ADDRESS, "Where the admin API listens.", shapes.TEXT, required=True),
        Key(
            "token",
            "secret",
            "A bearer token with the scopes `read`, `keys` and `reload`.",
            shapes.table("secret"),
        ),
        Key(
            "tokens",
            "list",
            "Bearer tokens, each with its scopes.",
            shapes.many(shapes.table("admin_token")),
        ),
        Key(
            "tls",
            "mapping",
            "TLS towards callers. With `client_ca`, they must show a certificate; where there are"
            " `clients`, they may show one instead of a token.",
            shapes.table("tls"),
        ),
        Key(
            "clients",
            "list",
            "Certificates of callers, each with its scopes; needs `tls` with `client_ca`.",
            shapes.many(shapes.table("admin_client")),
        ),
        Key(
            "kubernetes",
            "mapping",
            "Service accounts as callers.",
            shapes.table("admin_kubernetes"),
        ),
        Key(
            "status_page",
            "`true`, `false`",
            "Whether `/` serves the status page.",
            shapes.SWITCH,
            "`false`",
        ),
        Key(
            "tap",
            "`true`, `false`",
            "Whether `GET /v1/tap` shows messages as they pass, by shape and size.",
            shapes.SWITCH,
            "`false`",
        ),
    ),
)
