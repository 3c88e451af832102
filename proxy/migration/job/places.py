"""Where the values of a job are stored: streams, databases, and a backend over HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ...config.declared.addresses import SECRET, SecretSource
from ...config.declared.composed import WithPlace
from ...config.declared.kinds import Choice, File, PlainText, WholeNumber
from ...config.declared.section import Fields, Key, Section, one_of, setting
from ...config.settings import ListenerSettings, SecretReference
from ...config.yaml import nodes as yaml
from ...config.yaml.nodes import Problems, show
from ...config.yaml.scalars import text
from .templates import HEADER

if TYPE_CHECKING:  # jobs of databases need no rules, and no memory for them
    from ...core.compiled.rule_table import RuleTable


PipeFormat = Literal["csv", "copy", "ndjson"]
PIPE_FORMATS: Final[tuple[PipeFormat, ...]] = ("csv", "copy", "ndjson")

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+(?:[ \t]+[\x21-\x7e]+)*")
_FOR_CREDENTIALS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
_OWN: Final = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "content-type",
        "expect", "if-match", "if-unmodified-since", "range", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip


Headers = tuple[tuple[str, str | SecretReference], ...]


@dataclass(frozen=True, slots=True)
class _Headers:
    """Headers of requests by their names; credentials are references."""

    syntax = "mapping of names to texts or secrets"
    schema = {  # noqa: RUF012 - it is only read
        "type": "object",
        "propertyNames": {"pattern": f"^{HEADER.pattern}$"},
        "additionalProperties": {
            "anyOf": [{"type": "string", "minLength": 1}, {"$ref": f"#/$defs/{SECRET.name}"}]
        },
    }

    def read(self, place: yaml.Place, problems: Problems) -> Headers | None:
        """Return the headers that are right; each of the others is reported."""
        if not isinstance(place.node, yaml.Mapping):
            problems.add(
                place, f"a {self.syntax} is expected", "for example `{authorization: {file: path}}`"
            )
            return None
        found: list[tuple[str, str | SecretReference]] = []
        for key, node in place.node.entries:
            at = place.member(key.text, node)
            value: str | SecretReference | None = None
            if not HEADER.fullmatch(key.text) or key.text.lower() in _OWN:
                problems.add(
                    at, f"{show(key.text)} is not a header that a job may set", "delete it"
                )
            elif isinstance(node, yaml.Scalar) and key.text.lower() not in _FOR_CREDENTIALS:
                value = text(at, problems)
                if value is not None and not _VISIBLE.fullmatch(value):
                    problems.add(at, "is not the value of a header", "write visible characters")
            else:
                value = SecretSource().read(at, problems)
            if value is not None:
                found.append((key.text, value))
        return tuple(found)


RulesKey = tuple[Path, yaml.Place]
"""The configuration of a sidecar whose rules a job names, and where it does."""


@dataclass(frozen=True, slots=True)
class HttpKeys:
    """The backend of a listener as a job names it; `place` is where it does."""

    place: yaml.Place
    config: tuple[Path, yaml.Place] = setting(
        WithPlace(File()),
        "The configuration of the sidecar: its rules say what is sealed and how, its upstream"
        " is what is read and written.",
    )
    listener: tuple[str, yaml.Place] | None = setting(
        WithPlace(PlainText("name")), "Whose rules and upstream.", absent="the only one"
    )
    headers: Headers = setting(
        _Headers(),
        "Headers of every request, credentials among them. Rules that bind values to names in"
        " headers read them here.",
        default=(),
    )


def _http(values: dict[str, Any], fields: Fields, _: Problems) -> HttpKeys | None:
    return HttpKeys(fields.place, **values) if "config" in values else None


HTTP: Final = Section(HttpKeys, "http", "`http`", make=_http)


@dataclass(frozen=True, slots=True)
class Http:
    """The backend of a listener, and the headers of every request to it.

    `rules` are those of the listener, `digest` is the SHA-256 of the configuration, hex.
    """

    listener: ListenerSettings
    rules: RuleTable
    headers: Headers = ()
    digest: str = ""

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"http:{self.listener.upstream.address}"


@dataclass(frozen=True, slots=True)
class Pipe:
    """Records from stdin to stdout."""

    format: PipeFormat

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"pipe:{self.format}"


@dataclass(frozen=True, slots=True)
class Sqlite:
    """A database file of SQLite."""

    file: Path

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"sqlite:{self.file.resolve()}"


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A database of PostgreSQL: `address` is for libpq, as a URI or `key=value` pairs."""

    address: str
    password: SecretReference | None = None

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"postgresql:{self.address}"


@dataclass(frozen=True, slots=True)
class Mysql:
    """A database of MySQL or MariaDB; with `ca`, over TLS that is verified."""

    database: str = setting(PlainText("name"), "The database.")
    user: str = setting(PlainText("name"), "The user.")
    host: str = setting(PlainText("name"), "The server.", default="127.0.0.1")
    port: int = setting(WholeNumber(1, 65535), "Its port.", default=3306)
    password: SecretReference | None = None
    socket: str | None = setting(
        PlainText("path"), "The Unix socket of the server, instead of host and port.", default=None
    )
    ca: Path | None = setting(
        File(),
        "The CA certificates (PEM) that verify the server. Without it, the connection is not"
        " encrypted.",
        default=None,
    )

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"mysql:{self.socket or f'{self.host}:{self.port}'}/{self.database}"


MYSQL: Final = Section(Mysql, "mysql", "`mysql`")
Place = Pipe | Sqlite | Postgresql | Mysql | Http
_ADDRESS: Final = r"(?![\s\S]*(?:[Pp][Aa][Ss][Ss][Ww][Oo][Rr][Dd]|://[^/@]*:[^/@]*@))[\s\S]*"


def _placed(name: str, value: Any) -> Place | HttpKeys:  # noqa: ANN401 - what a key was read to
    if name == "sqlite":
        return Sqlite(value)
    if name == "postgresql":
        return Postgresql(value)
    place: Place | HttpKeys = value
    return place


@dataclass(frozen=True, slots=True)
class _SourceKeys:
    """Where the values of a job are stored."""

    place: Place | HttpKeys = one_of(
        Key(
            "pipe",
            Choice(**{one: Pipe(one) for one in PIPE_FORMATS}),
            "Records from stdin to stdout: CSV (RFC 4180), the text form of PostgreSQL's `COPY`, or"
            " a JSON object a line.",
        ),
        Key("sqlite", File(), "A database file of SQLite."),
        Key(
            "postgresql",
            PlainText(
                "address",
                re.compile(_ADDRESS),
                "a password must not be written in the file",
                "write `password: {file: path}`",
                secret=True,
            ),
            "A database of PostgreSQL, as libpq reads it: `host=db dbname=clinic user=sealyard"
            " sslmode=verify-full`, or a URI. It must not hold a password.",
        ),
        Key("mysql", MYSQL, "A database of MySQL or MariaDB."),
        Key("http", HTTP, "The backend of a sidecar, by its rules."),
        make=_placed,
    )
    password: SecretReference | None = setting(
        SecretSource(),
        "The password of `postgresql` or `mysql`; libpq also looks where it always does.",
        default=None,
    )


def _stored(values: dict[str, Any], _: Fields, __: Problems) -> Place | HttpKeys | None:
    place = values.get("place")
    if isinstance(place, Postgresql | Mysql):
        return replace(place, password=values.get("password"))
    return place


SOURCE: Final[Section[Any]] = Section(_SourceKeys, "source", "`source`", make=_stored)
