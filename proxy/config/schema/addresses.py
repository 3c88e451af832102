"""Addresses to listen on and to forward to, paths of files and references to secrets.

Each reader returns the value, or None after reporting what is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

from ..settings import (
    Address,
    OriginalPort,
    SecretReference,
    TcpAddress,
    UnixAddress,
    UpstreamSettings,
)
from ..yaml.nodes import Place, Problems, Scalar, show
from ..yaml.scalars import text
from . import tables
from .tables import Fields, Key, Table

ADDRESS: Final = "`host:port`, `'*:port'`, `unix:/path`"

SECRET: Final = Table(
    "secret",
    "A secret; one of `env` and `file`",
    (
        Key("env", "name", "The environment variable that holds it.", tables.TEXT),
        Key("file", "path", "The file that holds it.", tables.TEXT),
    ),
    alternatives=(("env",), ("file",)),
)

_HOST: Final = (
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?))"
)
_LISTEN: Final = re.compile(rf"{_HOST}:(?P<port>[0-9]{{1,5}})")
_EVERYWHERE: Final = re.compile(r"\*:(?P<port>[0-9]{1,5})")
_UPSTREAM: Final = re.compile(rf"(?P<scheme>https?)://{_HOST}(?::(?P<port>[0-9]{{1,5}}))?/?")
_PORTS: Final = 65536
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Files:
    """Reads paths and addresses; relative paths are relative to `folder`."""

    folder: Path

    def path(self, place: Place, problems: Problems) -> Path | None:
        """Return the path of a file."""
        written = text(place, problems)
        return None if written is None else self.folder / written

    def listen(self, place: Place, problems: Problems) -> Address | None:
        """Return an address to listen on."""
        written = _address_text(place, "an address", "`127.0.0.1:8080`", problems)
        if written is None:
            return None
        if written.startswith("unix:"):
            return self._unix(written, place, problems)
        if match := _EVERYWHERE.fullmatch(written):
            return _tcp(match, int(match["port"]), place, problems)
        match = _LISTEN.fullmatch(written)
        if match is None:
            hint = (
                f"`0.0.0.0{written}`" if re.fullmatch(r":[0-9]+", written) else "`127.0.0.1:8080`"
            )
            problems.add(
                place, f"{show(written)} is not `host:port` or `unix:/path`", f"for example {hint}"
            )
            return None
        return _tcp(match, int(match["port"]), place, problems)

    def upstream(self, place: Place, problems: Problems) -> UpstreamSettings | None:
        """Return the address to forward to."""
        written = _address_text(place, "an upstream", "`http://127.0.0.1:3000`", problems)
        if written is None:
            return None
        if written == "original-port":
            return UpstreamSettings(OriginalPort())
        if written.startswith("unix:"):
            socket = self._unix(written, place, problems)
            return None if socket is None else UpstreamSettings(socket)
        match = _UPSTREAM.fullmatch(written)
        if match is None:
            _upstream_problem(written, place, problems)
            return None
        port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[match["scheme"]]
        if port == 0:
            problems.add(place, "port 0 is not a port to connect to")
            return None
        address = _tcp(match, port, place, problems)
        return (
            None if address is None else UpstreamSettings(address, tls=match["scheme"] == "https")
        )

    def secret(self, place: Place, problems: Problems) -> SecretReference | None:
        """Return a reference to a secret; a secret that is written in the file is a mistake."""
        if isinstance(place.node, Scalar):
            problems.add(
                place,
                "a secret must not be written in the file",
                "refer to it: `{env: NAME}` or `{file: path}`",
            )
            return None
        fields = Fields(place, SECRET, problems)
        chosen = fields.alternative(problems)
        if chosen is None:
            return None
        if chosen == "env":
            return _variable(fields["env"], problems)
        path = self.path(fields["file"], problems)
        return None if path is None else SecretReference(file=path)

    def _unix(self, written: str, place: Place, problems: Problems) -> UnixAddress | None:
        path = written.removeprefix("unix:")
        if not path.strip("/"):
            problems.add(place, f"{show(written)} lacks the path of a socket", "write `unix:/path`")
            return None
        return UnixAddress(self.folder / path)


def _variable(place: Place, problems: Problems) -> SecretReference | None:
    node = place.node
    name = node.text if isinstance(node, Scalar) and node.kind in {"text", "substituted"} else ""
    if not _VARIABLE.fullmatch(name):
        # It may be the secret itself, so it is not shown.
        hint = "write `{env: NAME}`, with the name of a variable and not its value"
        problems.add(place, "is not the name of an environment variable", hint)
        return None
    return SecretReference(env=name)


def _address_text(place: Place, what: str, example: str, problems: Problems) -> str | None:
    node = place.node
    if isinstance(node, Scalar) and node.kind == "number":
        problems.add(place, f"{show(node.text)} is not {what}", f"for example {example}")
        return None
    return text(place, problems)


def _tcp(match: re.Match[str], port: int, place: Place, problems: Problems) -> TcpAddress | None:
    if port >= _PORTS:
        problems.add(place, f"{port} is not a port; the highest is {_PORTS - 1}")
        return None
    if match.re is _EVERYWHERE:
        return TcpAddress("*", port)
    if match["six"] is None:
        return TcpAddress(match["host"], port)
    try:
        IPv6Address(match["six"])
    except ValueError:
        problems.add(place, f"{show(match['six'])} is not an IPv6 address")
        return None
    return TcpAddress(match["six"], port)


def _upstream_problem(written: str, place: Place, problems: Problems) -> None:
    if "@" in written:
        problems.add(place, "an upstream must not contain a user or password", "delete it")
    elif re.match(r"https?://[^/]+/.", written):
        problems.add(place, f"{show(written)}: an upstream has no path", "delete the path")
    else:
        hint = f"`http://{written}`" if _LISTEN.fullmatch(written) else "`http://127.0.0.1:3000`"
        problems.add(
            place,
            f"{show(written)} is not `http://host:port`, `https://host:port` or `unix:/path`",
            f"for example {hint}",
        )
