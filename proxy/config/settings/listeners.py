"""The settings of a listener: its addresses, TLS, and what is logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from ...core.rules.model import Rule
from ..declared.addresses import Listen, Network, Upstream
from ..declared.composed import ListOf
from ..declared.kinds import Choice, File, PlainText, Portion, Switch
from ..declared.section import LazySection, Section, inline, setting
from ..ladder_settings import LadderSettings
from ..limits import LIMITS, TIMEOUTS, Timeouts, TrafficLimits
from ..values import Address, UpstreamSettings
from ..values import Network as NetworkValue

if TYPE_CHECKING:  # loaded where a listener has callers
    from .callers import CallerSettings


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """The certificate of a listener; with `client_ca`, clients must present one as well."""

    cert: Path = setting(File(), "The certificate chain (PEM).")
    key: Path = setting(File(), "Its private key (PEM).")
    client_ca: Path | None = setting(
        File(),
        "The CA certificates (PEM) that client certificates must be issued by; clients must then"
        " present one.",
        default=None,
    )
    client_crl: Path | None = setting(
        File(),
        "The revocation lists (PEM) of the authorities that issue client certificates. Each of"
        " them needs one that has not expired, or its clients are refused. With `client_ca` only.",
        default=None,
    )


@dataclass(frozen=True, slots=True)
class Cors:
    """Whose pages may read refusals; the answers of the backend keep its own headers."""

    origins: tuple[str, ...] = setting(
        ListOf(
            PlainText(
                "origin",
                re.compile(r"\*|https?://[^/\s]+"),
                "is not an origin",
                "write `https://app.example`, without a path, or `*`",
            ),
            "list of origins, or `['*']`",
        ),
        "The origins of pages that may read a refusal: it gets `Access-Control-Allow-Origin`"
        " (Fetch, section 3.3). Without it a browser tells a page nothing but that it failed.",
    )


CORS: Final = Section(Cors, "cors", "`cors` of a listener")
TLS: Final = Section(
    ListenerTls, "tls", "`tls` of a listener", needs=(("client_crl", "client_ca"),)
)


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """How the upstream is verified (`ca` None: the system's CAs), and Sealyard's certificate."""

    ca: Path | None = setting(
        File(), "The CA certificates that verify the upstream (PEM).", absent="the system's CAs"
    )
    cert: Path | None = setting(
        File(), "Sealyard's client certificate (PEM); with `key`.", default=None
    )
    key: Path | None = setting(File(), "Its private key (PEM); with `cert`.", default=None)
    server_name: str | None = setting(
        PlainText("name"),
        "The name that the upstream's certificate must be valid for.",
        absent="the host of `upstream`",
    )


UPSTREAM_TLS: Final = Section(
    UpstreamTls,
    "upstream_tls",
    "`upstream_tls` of a listener",
    needs=(("cert", "key"), ("key", "cert")),
)


@dataclass(frozen=True, slots=True)
class RuleLog:
    """Which successful messages of a rule are logged: a share of them, or none."""

    sample: float = setting(
        Portion(),
        "The share of successful messages that is logged; their lines have it as `sample`. Refused,"
        " failed and aborted messages are always logged, and every message is counted.",
        default=1.0,
    )
    errors_only: bool = setting(
        Choice(info=False, warning=True),
        "The lowest level that is logged; `warning` leaves only refused, failed and aborted"
        " messages.",
        default=False,
        name="level",
    )


LOG: Final = Section(
    RuleLog, "log", "`log` of a rule or of `defaults`: which log lines its messages get"
)

ClientClose = Literal["probe", "abort", "finish"]
"""What a client is taken for that closes its sending half while its response is awaited.

`probe`: it is asked by an interim response; `abort`: it has left; `finish`: it is answered.
"""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One listener: its address, its upstream, and its rules in order.

    `upstream_names` are authorities in lower case that the backend gives itself.
    `on_client_close` says what a client is taken for that closes its sending half. `log` has the
    log settings of rules by name, for those that have any.
    """

    name: str = setting(PlainText(), "Its name in logs and metrics; unique in the file.")
    listen: Address = setting(Listen(), "The address it listens on.", restart=True)
    upstream: UpstreamSettings = setting(
        Upstream(),
        "Where it forwards to. `original-port` is the address and the port that the client of a"
        " redirected connection called (in pods).",
    )
    pass_unmatched: bool = setting(
        Choice(**{"pass": True, "reject": False}),
        "What happens with requests that no rule matches. `validate` warns if writes pass beside"
        " routes that rules seal: use `reject`, or end the rules with one that covers the rest of"
        " the area.",
        name="unmatched",
    )
    rules: tuple[Rule, ...] = ()
    tls: ListenerTls | None = setting(TLS, "TLS for clients.", default=None)
    upstream_tls: UpstreamTls | None = setting(
        UPSTREAM_TLS, "TLS to an `https` upstream.", default=None
    )
    limits: TrafficLimits = setting(LIMITS, "Limits of sizes and numbers.", default=TrafficLimits())
    timeouts: Timeouts = setting(TIMEOUTS, "Timeouts.", default=Timeouts())
    trusted_names: bool = setting(
        Switch(),
        "Whether a tenant may be read from headers, query parameters and unverified claims, which"
        " clients choose.",
        default=False,
    )
    callers: tuple[CallerSettings, ...] = setting(
        ListOf(LazySection("settings.callers:CALLER"), "list of callers", most=64, what="callers"),
        "Who is told from others by a credential that is verified. For one credential it is the"
        " first that fits; a client without any is `anyone`.",
        default=(),
    )
    caller_order: tuple[str, ...] = setting(
        ListOf(
            Choice("jwt", "certificate", "xfcc", "header"),
            "list of kinds of credential",
            distinct=lambda one: one,
        ),
        "Which credential names the caller of a request that has several, the first that is there;"
        " all of them must be valid.",
        default=(),
        absent="they must be of the same caller",
    )
    trusted_proxies: tuple[NetworkValue, ...] = setting(
        ListOf(Network(), "list of networks, such as `10.0.0.0/8`"),
        "The proxies whose forwarding headers (`X-Forwarded-For` and the like) are kept and"
        " extended; those of other clients are replaced. Their addresses are no clients:"
        " `limits.clients_per_address` does not apply to them.",
        default=(),
    )
    upstream_names: tuple[str, ...] = setting(
        ListOf(
            PlainText(
                "host",
                re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"),
                "is not a host with or without a port",
                "write `app.internal`, `app.internal:3000` or `[fd00::1]:3000`",
                parse=str.lower,
            ),
            "list of `host` or `host:port`",
        ),
        "Names that the backend gives itself, besides the address in `upstream`. Where `Location`,"
        " `Content-Location`, `Link` or `Refresh` of a response point at one of them, they point at"
        " the address that the client used instead. A name without a port is that of the default"
        " port of `http` or `https`.",
        default=(),
    )
    on_client_close: ClientClose = setting(
        Choice(*get_args(ClientClose)),
        "What a client is taken for that closes its sending half (FIN) while its response is"
        " awaited. `probe` sends it one `100 Continue`: the request of a client that has closed the"
        " connection is aborted within a second, that of a client that still reads is answered."
        " `abort` takes it for a client that has left, as nginx and Envoy do. `finish` answers it."
        " A reset, and a FIN before the end of the request, abort always.",
        default="probe",
    )
    proxy_protocol: bool = setting(
        Switch(),
        "Whether each connection begins with a header of the PROXY protocol (version 1 or 2), which"
        " names the client. Connections are then accepted only from `trusted_proxies`, and only"
        " with such a header.",
        default=False,
    )
    add_request_id: bool = setting(
        Switch(),
        "Whether requests and responses that have no `X-Request-Id` get one: the request id in"
        " Sealyard's log line. Those that have one are forwarded as they came.",
        default=False,
    )
    accept: tuple[str, ...] = setting(
        ListOf(Choice("header-underscores", "raw-targets"), "list of words"),
        "What lax clients send that is taken all the same. `header-underscores`: names of headers"
        " with `_`, unless CGI takes one for a standard header or for another of the request;"
        " servers such as nginx drop them. `raw-targets`: paths and queries in UTF-8 that are not"
        " percent-encoded; they are forwarded encoded.",
        default=(),
    )
    cors: Cors | None = setting(
        CORS, "Which pages may read what Sealyard itself answers to their requests.", absent="none"
    )
    log: Mapping[str, RuleLog] = field(default_factory=dict)
    ladder: LadderSettings = inline(LadderSettings)
