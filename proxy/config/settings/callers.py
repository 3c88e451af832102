"""The settings of `callers`: who sends a request, and what verifies it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...core.callers import ANYONE
from ..declared.composed import ByName, ListOf
from ..declared.kinds import Choice, File, PlainText, WholeNumber
from ..declared.section import Fields, Key, Section, one_of, setting
from ..yaml.nodes import Problems

CREDENTIALS: Final = ("jwt", "certificate", "xfcc", "header")
"""The kinds of credential, in the order in which they name a caller where none is given."""
_ALGORITHMS: Final = tuple(
    f"{kind}{size}" for kind in ("ES", "PS", "RS") for size in (256, 384, 512)
)


@dataclass(frozen=True, slots=True)
class CallerKeys:
    """The public keys of an issuer: a JWK Set at an address or in a file."""

    place: str | Path = one_of(
        Key(
            "url",
            PlainText(
                "`https://host/path`",
                re.compile(r"https://[A-Za-z0-9.\[\]:_-]+(?:/[!-~]*)?"),
                "is not an address that begins with `https://`",
                "such as `https://id.example/jwks`; keys without TLS could be anybody's",
            ),
            "The address of the JWK Set. It is asked over TLS, without redirects.",
        ),
        Key("file", File(), "The JWK Set, as a file; it is read again when it changes."),
    )
    ca: Path | None = setting(
        File(),
        "The CA certificates that verify the server of `url` (PEM).",
        absent="the system's CAs",
    )


@dataclass(frozen=True, slots=True)
class CallerTenants:
    """Which tenants an issuer may name: those listed, any behind a prefix, or those of a table."""

    claim: str = setting(PlainText(), "The claim that names the tenant, exact and as text.")
    names: tuple[str, ...] | str | Path = one_of(
        Key("allow", ListOf(PlainText()), "The tenants that the issuer may name."),
        Key("prefix", PlainText(), "What is put before each name, such as `idp2:`."),
        Key(
            "map",
            File(),
            "A JSON object of names of the issuer and the tenants that they mean; the issuer may"
            " name no others.",
        ),
        make=lambda name, value: f"{value}" if name == "prefix" else value,
    )
    one_of: str | None = setting(
        PlainText(
            "`path:label`",
            re.compile(r"path:[^\s:]+"),
            "is not a label of the path",
            "such as `path:org`",
        ),
        "Where the claim is a list: the label of the path that says which of its names is meant."
        " Without it, a list names no tenant.",
        default=None,
    )


@dataclass(frozen=True, slots=True)
class CallerJwt:
    """A signed JWT in `Authorization: Bearer` (RFC 7519), of one issuer for one audience."""

    issuer: str = setting(PlainText(), "What the claim `iss` must be.")
    audience: str = setting(PlainText(), "What the claim `aud` must be, or have in its list.")
    jwks: CallerKeys = setting(
        Section(CallerKeys, "caller_keys", "`jwks` of a caller; one of `url` and `file`"),
        "The public keys of the issuer.",
    )
    algorithms: tuple[str, ...] = setting(
        ListOf(
            Choice("EdDSA", *_ALGORITHMS),
            "list of `EdDSA`, `ES256`, `PS256`, `RS256` and the like",
            distinct=lambda one: one,
        ),
        "The signatures that are accepted (RFC 7518). Name those that the issuer uses.",
    )
    claims: tuple[tuple[str, str], ...] = setting(
        ByName(PlainText(), "mapping of claims to texts", make=tuple),
        "Claims that tell this caller from others of the issuer: each must be the text, or a list"
        " that has it.",
        default=(),
        absent="any token of the issuer",
    )
    tenants: CallerTenants | None = setting(
        Section(
            CallerTenants,
            "caller_tenants",
            "`tenants` of a caller; one of `allow`, `prefix` and `map`",
        ),
        "Which tenants the issuer may name. Required where rules read names from `caller:` and"
        " callers have more than one issuer.",
        default=None,
    )


def _identity() -> Any:  # noqa: ANN401 - as `one_of`
    return one_of(
        Key(
            "uri",
            PlainText("such as `spiffe://clinic/ns/*/sa/chat`"),
            "A URI in its subjectAltName. `*` stands for any text without `/`.",
        ),
        Key("dns", PlainText("name"), "A DNS name in its subjectAltName."),
        Key("subject", PlainText("such as `CN=reader,O=Clinic`"), "Its subject (RFC 4514)."),
        make=lambda name, value: (name, value),
    )


@dataclass(frozen=True, slots=True)
class CallerCertificate:
    """A client certificate of the listener's mutual TLS, by a name in it."""

    identity: tuple[str, str] = _identity()


@dataclass(frozen=True, slots=True)
class CallerXfcc:
    """What Envoy writes into `X-Forwarded-Client-Cert` of a certificate that it has verified."""

    identity: tuple[str, str] = _identity()
    by: str = setting(
        PlainText("URI"),
        "The identity of the Envoy before this listener: `By` of the last element must be it.",
    )
    hops: int = setting(
        WholeNumber(1, 8),
        "Which element, counted from the last, is the caller's: 2 behind a gateway that appends.",
        default=1,
    )
    through: str | None = setting(
        PlainText("URI"),
        "With `hops` above 1: the identity of the gateways that write the elements before the"
        " last. `*` stands for any text without `/`.",
        default=None,
    )


def _check_xfcc(made: CallerXfcc, fields: Fields, problems: Problems) -> None:
    if (made.hops > 1) != (made.through is not None):
        told = "`hops` above 1 and `through` need each other: anybody in the mesh can write the"
        problems.add(fields.place, f"{told} elements before the last", "name the gateways")


_CERTIFICATE: Final = Section(
    CallerCertificate,
    "caller_certificate",
    "`certificate` of a caller; one of `uri`, `dns` and `subject`",
)
_XFCC: Final = Section(
    CallerXfcc,
    "caller_xfcc",
    "`xfcc` of a caller; one of `uri`, `dns` and `subject`",
    check=_check_xfcc,
)


@dataclass(frozen=True, slots=True)
class CallerHeader:
    """A header that a gateway sets, after it has verified who calls."""

    name: str = setting(
        PlainText(
            "name",
            re.compile(r"[A-Za-z0-9-]{1,64}"),
            "is not the name of a header",
            "letters, digits and hyphens",
        ),
        "The header. It is dropped where the connection is not that of `over`.",
    )
    equals: str = setting(PlainText(), "What its value must be.")


@dataclass(frozen=True, slots=True)
class CallerOver:
    """The connection that a header counts on."""

    by: CallerCertificate | CallerXfcc = one_of(
        Key("certificate", _CERTIFICATE, "A client certificate of the listener's mutual TLS."),
        Key("xfcc", _XFCC, "What Envoy writes of the certificate of the gateway."),
    )


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """One caller: its name, and the credential that it is known by."""

    name: str = setting(
        PlainText(
            "name",
            re.compile(r"[a-z][a-z0-9_-]{0,63}"),
            "is not the name of a caller",
            "lower-case letters, digits, `-` and `_`",
        ),
        "Its name in rules, logs and metrics. Elements of the same name are one caller, known by"
        " any of their credentials.",
    )
    by: CallerJwt | CallerCertificate | CallerXfcc | CallerHeader = one_of(
        Key(
            "jwt",
            Section(CallerJwt, "caller_jwt", "`jwt` of a caller"),
            "A signed JWT in `Authorization: Bearer`.",
        ),
        Key("certificate", _CERTIFICATE, "A client certificate; needs `tls` with `client_ca`."),
        Key(
            "xfcc",
            _XFCC,
            "What Envoy writes into `X-Forwarded-Client-Cert`; needs `trusted_proxies`, or a"
            " listener on a Unix socket.",
        ),
        Key(
            "header",
            Section(CallerHeader, "caller_header", "`header` of a caller"),
            "A header that a gateway sets; needs `over`.",
        ),
    )
    over: CallerOver | None = setting(
        Section(CallerOver, "caller_over", "`over` of a caller; one of `certificate` and `xfcc`"),
        "The connection that the header counts on: whose, and verified by what.",
        absent="only for `header`, which needs it",
    )
    opens_per_minute: int | None = setting(
        WholeNumber(1, 1_000_000),
        "How many values each of its subjects may open in a minute, as values or masks, in each"
        " worker; more are refused (429). Messages of WebSockets and streams count, too.",
        absent="no limit",
    )


def _check(made: CallerSettings, fields: Fields, problems: Problems) -> None:
    if made.name == ANYONE:
        told = f"`{ANYONE}` is a client without credentials"
        problems.add(fields["name"], told, "give it another name")
    if isinstance(made.by, CallerHeader) != (made.over is not None):
        told = "`header` and `over` need each other: on its own, any client can send a header"
        problems.add(fields.place, told, "write `over: {certificate: {dns: gateway.example}}`")


CALLER: Final = Section(
    CallerSettings,
    "caller",
    "An element of `callers` of a listener; one of `jwt`, `certificate`, `xfcc` and `header`",
    check=_check,
)
