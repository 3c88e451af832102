"""Warnings about settings that are valid and hardly meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..settings import AdminSettings, ListenerSettings, TcpAddress, UnixAddress
from ..yaml.nodes import Place, Problems, show, suggest

_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "WS"}
    | {"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"}
)
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - compared, not bound
_HERE: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def check_listeners(
    place: Place, listeners: Sequence[ListenerSettings], problems: Problems
) -> None:
    """Warn of methods that no client sends, and of an upstream that is a listener."""
    for listener in listeners:
        name = f"listener {show(listener.name)}"
        for rule in listener.rules:
            for method in sorted(
                {one for each in rule.patterns for one in each.methods} - _METHODS
            ):
                text = f"{name}: rule {show(rule.name)} has the unusual method {show(method)}"
                hint = suggest(method, _METHODS)
                problems.warn(place, f"{text}; {hint}" if hint.startswith("did") else text)
        if any(_same(listener.upstream.address, one.listen) for one in listeners):
            problems.warn(place, f"{name}: its upstream is a listener of this file: a loop")


def check_admin(place: Place, admin: AdminSettings | None, problems: Problems) -> None:
    """Warn of an admin API that is open to the network without TLS."""
    if admin is None or admin.tls is not None or not isinstance(admin.listen, TcpAddress):
        return
    if admin.listen.host in _EVERYWHERE:
        text = f"the admin API listens on {show(str(admin.listen))} without TLS"
        problems.warn(place, f"{text}: tokens cross the network in plaintext; add `tls`")


def _same(upstream: object, listen: TcpAddress | UnixAddress) -> bool:
    if not isinstance(upstream, TcpAddress) or not isinstance(listen, TcpAddress):
        return upstream == listen
    near = listen.host in _EVERYWHERE | _HERE and upstream.host in _HERE
    return upstream.port == listen.port and (upstream.host == listen.host or near)
