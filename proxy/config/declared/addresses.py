"""Kinds of address, and references to secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from typing import Final

from ..values import Address, OriginalPort, TcpAddress, UnixAddress, UpstreamSettings
from ..values import Network as NetworkValue
from ..yaml.nodes import Place, Problems, Scalar, show
from ..yaml.scalars import text
from .kinds import File
from .section import Section, setting

HOST: Final = (
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?))"
)
PORT: Final = "(?P<port>[0-9]{1,5})"
UNIX: Final = r"unix:/*[^/][\s\S]*"
_LISTEN: Final = re.compile(f"{HOST}:{PORT}")
_EVERYWHERE: Final = re.compile(rf"\*:{PORT}")
_UPSTREAM: Final = re.compile(rf"(?P<scheme>https?)://{HOST}(?::{PORT})?/?")
_PORTS: Final = 65536
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on."""

    syntax = "`host:port`, `'*:port'`, `unix:/path`"
    pattern = f"{UNIX}|{_EVERYWHERE.pattern}|{_LISTEN.pattern}"

    def read(self, place: Place, problems: Problems) -> Address | None:
        """Return the address."""
        written = _written(place, "an address", "`127.0.0.1:8080`", problems)
        if written is None:
            return None
        if written.startswith("unix:"):
            return unix(written, place, problems)
        match = _EVERYWHERE.fullmatch(written) or _LISTEN.fullmatch(written)
        if match is not None:
            return _tcp(match, int(match["port"]), place, problems)
        hint = f"`0.0.0.0{written}`" if re.fullmatch(r":[0-9]+", written) else "`127.0.0.1:8080`"
        told = f"{show(written)} is not `host:port` or `unix:/path`"
        problems.add(place, told, f"for example {hint}")
        return None


@dataclass(frozen=True, slots=True)
class Upstream:
    """An address to forward to."""

    syntax = "`http://host:port`, `https://host:port`, `unix:/path`, `original-port`"
    secure = _UPSTREAM.pattern.replace("https?", "https")
    pattern = f"original-port|{UNIX}|{_UPSTREAM.pattern}"

    def read(self, place: Place, problems: Problems) -> UpstreamSettings | None:
        """Return the address, and whether TLS is used."""
        written = _written(place, "an upstream", "`http://127.0.0.1:3000`", problems)
        if written is None:
            return None
        if written == "original-port":
            return UpstreamSettings(OriginalPort())
        if written.startswith("unix:"):
            socket = unix(written, place, problems)
            return None if socket is None else UpstreamSettings(socket)
        match = _UPSTREAM.fullmatch(written)
        if match is None:
            _not_an_upstream(written, place, problems)
            return None
        port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[match["scheme"]]
        address = connected(match, port, place, problems)
        tls = match["scheme"] == "https"
        return None if address is None else UpstreamSettings(address, tls=tls)


@dataclass(frozen=True, slots=True)
class Network:
    """A network with its prefix length; a single address is a network of one."""

    syntax: str = "network, such as `10.0.0.0/8`"

    def read(self, place: Place, problems: Problems) -> NetworkValue | None:
        """Return the network."""
        written = text(place, problems)
        try:
            return None if written is None else ip_network(written)
        except ValueError:
            hint = (
                "write `10.0.0.0/8`, `192.0.2.7` or `fd00::/8`, with no bits set after the prefix"
            )
            problems.add(place, f"{show(written or '')} is not a network", hint)
            return None


@dataclass(frozen=True, slots=True)
class _Variable:
    """The name of an environment variable; not shown, since it may be the secret itself."""

    syntax = "name"
    form = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

    def read(self, place: Place, problems: Problems) -> str | None:
        """Return the name."""
        node = place.node
        word = (
            node.text if isinstance(node, Scalar) and node.kind in {"text", "substituted"} else ""
        )
        if self.form.fullmatch(word):
            return word
        hint = "write `{env: NAME}`, with the name of a variable and not its value"
        problems.add(place, "is not the name of an environment variable", hint)
        return None


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is: in the environment variable `env` or in `file`; one of the two."""

    env: str | None = setting(_Variable(), "The environment variable that holds it.", default=None)
    file: Path | None = setting(File(), "The file that holds it.", default=None)

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly one of the two is given."""
        if (self.env is None) == (self.file is None):
            message = "a secret reference has either env or file"
            raise ValueError(message)


SECRET: Final = Section(
    SecretReference, "secret", "A secret; one of `env` and `file`", one_of=("env", "file")
)


@dataclass(frozen=True, slots=True)
class SecretSource:
    """A reference to a secret; one that is written in the file is a mistake.

    `in_file`: only `{file: path}`, since it is read again, and in the environment it would stay
    readable while the process runs.
    """

    in_file: bool = False

    @property
    def syntax(self) -> str:
        """How it is written."""
        return "`{file: path}`" if self.in_file else "secret"

    def read(self, place: Place, problems: Problems) -> SecretReference | None:
        """Return the reference."""
        if isinstance(place.node, Scalar):
            hint = "refer to it: `{env: NAME}` or `{file: path}`"
            problems.add(place, "a secret must not be written in the file", hint)
            return None
        found = SECRET.read(place, problems)
        if self.in_file and found is not None and found.file is None:
            problems.add(place, "must be in a file", "write `{file: path}`")
            return None
        return found


def unix(written: str, place: Place, problems: Problems) -> UnixAddress | None:
    """Return the socket that `unix:/path` names."""
    path = written.removeprefix("unix:")
    if not path.strip("/"):
        problems.add(place, f"{show(written)} lacks the path of a socket", "write `unix:/path`")
        return None
    return UnixAddress(problems.folder / path)


def connected(
    match: re.Match[str], port: int, place: Place, problems: Problems
) -> TcpAddress | None:
    """Return the host of a match, and a port to connect to."""
    if port == 0:
        problems.add(place, "port 0 is not a port to connect to", "write the server's port")
        return None
    return _tcp(match, port, place, problems)


def _written(place: Place, what: str, example: str, problems: Problems) -> str | None:
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
        problems.add(
            place, f"{show(match['six'])} is not an IPv6 address", "for example `[::1]:8080`"
        )
        return None
    return TcpAddress(match["six"], port)


def _not_an_upstream(written: str, place: Place, problems: Problems) -> None:
    if "@" in written:
        problems.add(place, "an upstream must not contain a user or password", "delete it")
    elif re.match(r"https?://[^/]+/.", written):
        problems.add(place, f"{show(written)}: an upstream has no path", "delete the path")
    else:
        hint = f"`http://{written}`" if _LISTEN.fullmatch(written) else "`http://127.0.0.1:3000`"
        told = f"{show(written)} is not `http://host:port`, `https://host:port` or `unix:/path`"
        problems.add(place, told, f"for example {hint}")
