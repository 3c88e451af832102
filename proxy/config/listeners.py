"""The section `listeners`: each with its addresses, TLS, limits and rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from . import open_writes
from .addresses import Files
from .fields import Fields
from .file_keys import LISTENER
from .positions import Place
from .problems import Problems, show
from .rulebook import ResolvedRule
from .rules_section import rules
from .settings import (
    Address,
    ListenerSettings,
    OriginalPort,
    TcpAddress,
    UnixAddress,
    Upstream,
)
from .syntax import CommonSyntax
from .traffic_section import limits, listener_tls, networks, timeouts, upstream_tls
from .values import choice, switch, text

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class ResolvedListener:
    """A listener's settings, None where they lack something, and its rules with their places."""

    place: Place
    settings: ListenerSettings | None
    rules: tuple[ResolvedRule, ...]


def listener(
    place: Place, common: CommonSyntax, files: Files, problems: Problems
) -> ResolvedListener:
    """Return a listener; what is wrong with it is told."""
    fields = Fields(place, LISTENER, problems)
    trusted = bool(_read(fields, "trusted_names", switch, problems))
    bounds = limits(fields.get("limits"), problems)
    resolved = rules(fields, common, bounds, trusted_names=trusted, problems=problems)
    name = _read(fields, "name", text, problems)
    listen = _read(fields, "listen", files.listen, problems)
    upstream = _read(fields, "upstream", files.upstream, problems)
    unmatched = _read(fields, "unmatched", _unmatched, problems)
    if unmatched == "pass":
        open_writes.check(resolved, fields.get("unmatched") or place, problems)
    plain = upstream is not None and not upstream.tls
    tls = listener_tls(fields.get("tls"), files, problems)
    towards = upstream_tls(fields.get("upstream_tls"), files, problems, plain=plain)
    waits = timeouts(fields.get("timeouts"), problems)
    proxies = networks(fields.get("trusted_proxies"), problems)
    if isinstance(listen, UnixAddress) and upstream == Upstream(OriginalPort()):
        problems.add(
            fields.get("upstream") or place,
            "`original-port` needs a listener with a port, since connections are redirected to one",
        )
    if name is None or listen is None or upstream is None or unmatched is None:
        return ResolvedListener(place, None, resolved)
    settings = ListenerSettings(
        name=name,
        listen=listen,
        upstream=upstream,
        pass_unmatched=unmatched == "pass",
        rules=tuple(one.rule for one in resolved),
        tls=tls,
        upstream_tls=towards,
        limits=bounds,
        timeouts=waits,
        trusted_names=trusted,
        trusted_proxies=proxies,
        log={one.rule.name: one.shared.log for one in resolved if one.shared.log is not None},
    )
    return ResolvedListener(place, settings, resolved)


def check_together(listeners: Iterable[ResolvedListener], problems: Problems) -> None:
    """Tell of listeners that have the same name, or accept at the same address."""
    names: dict[str, int] = {}
    addresses: dict[Address, int] = {}
    for one in listeners:
        if one.settings is None:
            continue
        line = one.place.node.position.line
        name, listen = one.settings.name, one.settings.listen
        if names.setdefault(name, line) != line:
            message = f"the listener {show(name)} stands on line {names[name]} already"
            problems.add(one.place, message)
        anywhere = isinstance(listen, TcpAddress) and listen.port == 0
        if not anywhere and addresses.setdefault(listen, line) != line:
            message = f"the listener on line {addresses[listen]} accepts at the same address"
            problems.add(one.place, message)


def _read(
    fields: Fields, name: str, reader: Callable[[Place, Problems], Read], problems: Problems
) -> Read | None:
    place = fields.get(name)
    return None if place is None else reader(place, problems)


def _unmatched(place: Place, problems: Problems) -> str | None:
    return choice(place, ("pass", "reject"), problems)
