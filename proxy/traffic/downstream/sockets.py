"""Listening sockets: opened before anything is served, and shared by the processes that accept."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Final

from ...config.settings import Address, TcpAddress, UnixAddress
from ...core.errors import AddressUnavailable
from ..policy import BACKLOG, PROBE_SECONDS, UNSENT_BYTES

EVERY: Final = "*"
_SOCKET_MASK: Final = 0o117  # leaves 0660

Sockets = tuple[socket.socket, ...]


def open_sockets(address: Address, *, reuse_port: bool = False) -> Sockets:
    """Return sockets that listen at `address`: one, or one for each address of a host's name.

    The host `*` is every address, of IPv4 and, where the machine has it, of IPv6.
    With `reuse_port`, others may listen at the same address. It blocks while a name is looked
    up. Raises AddressUnavailable, naming the address, where it cannot be bound.
    """
    if isinstance(address, UnixAddress):
        sock = _bind_path(str(address.path))
        sock.listen(BACKLOG)
        return (sock,)
    opened: list[socket.socket] = []
    try:
        for family, place in _places(address):
            if address.host == EVERY and family == socket.AF_INET6 and not _has_ipv6():
                continue
            opened.append(_bind(family, place, reuse_port=reuse_port))
    except OSError as error:
        close(opened)
        reason = error.strerror or "cannot be bound"
        raise AddressUnavailable("listen", detail=f"{address}: {reason.lower()}") from None
    return tuple(opened)


def close(sockets: list[socket.socket] | Sockets, address: Address | None = None) -> None:
    """Close sockets; with the address of a Unix socket, remove its path as well."""
    for sock in sockets:
        sock.close()
    if isinstance(address, UnixAddress):
        Path(address.path).unlink(missing_ok=True)


def port_of(sockets: Sockets) -> int:
    """Return the TCP port that the system chose; 0 for a Unix socket."""
    name = sockets[0].getsockname() if sockets else ""
    return int(name[1]) if isinstance(name, tuple) else 0


def _places(address: TcpAddress) -> list[tuple[int, tuple[object, ...]]]:
    host = None if address.host == EVERY else address.host
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), place) for family, _, _, _, place in found))


def _has_ipv6() -> bool:
    """Return whether an IPv6 socket can be bound at all; a kernel may be built without IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _bind(family: int, place: tuple[object, ...], *, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # What an accepted client does not read is to wait where the budget counts it: the kernel
        # would keep 4 MiB, which a control group counts to this process, too.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        sock.bind(place)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)  # noqa: FBT003 - the signature of the standard library
    return sock


def _bind_path(path: str) -> socket.socket:
    """Return a socket at `path` that only owner and group may use."""
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right from the start; chmod would come too late.
    mask = os.umask(_SOCKET_MASK)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)  # a path that is too long has no errno
        raise AddressUnavailable("socket", detail=f"{path}: {reason}") from None
    finally:
        os.umask(mask)
    sock.setblocking(False)  # noqa: FBT003 - the signature of the standard library
    return sock


def _remove_stale(path: str) -> None:
    """Remove the socket that a killed process left, and no other file."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise AddressUnavailable("socket", detail=f"{path} exists and is not a socket.")
    except FileNotFoundError:
        return
    except OSError as error:
        raise AddressUnavailable("socket", detail=f"{path}: {error.strerror}") from None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(path)
        except OSError:
            Path(path).unlink(missing_ok=True)
            return
    raise AddressUnavailable("socket", detail=f"{path} is in use by another process.")
