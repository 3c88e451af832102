"""The section `listeners`: addresses, TLS, limits and rules of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from ..checks import (
    binding_names,
    block_coverage,
    end_to_end,
    likely_mistakes,
    route_coverage,
    websockets,
)
from ..ladder_settings import LadderSettings
from ..limits import TrafficLimits
from ..rules import rule_reader
from ..rules.resolve import ResolvedRule, Surroundings, resolve
from ..rules.syntax import FieldSyntax, RuleSyntax
from ..schema.addresses import Files
from ..schema.listener_keys import LISTENER, ON_CLIENT_CLOSE
from ..schema.tables import Fields
from ..settings import (
    Address,
    ClientClose,
    ListenerSettings,
    OriginalPort,
    TcpAddress,
    UnixAddress,
    UpstreamSettings,
)
from ..yaml.nodes import Place, Problems, Sequence, show
from ..yaml.scalars import choice, elements, expected, switch, text, texts
from .traffic import client_names, limits, listener_tls, networks, timeouts, upstream_tls

MAX_RULES: Final = 100_000
_AUTHORITY: Final = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def rules(
    fields: Fields,
    by_name: Mapping[str, FieldSyntax],
    limits: TrafficLimits,
    *,
    trusted_names: bool,
    problems: Problems,
) -> tuple[ResolvedRule, ...]:
    """Return the rules of the listener in `fields`; report what is wrong with them."""
    defaults = rule_reader.defaults(fields.get("defaults"), problems)
    around = Surroundings(by_name, defaults, limits.body)
    written = fields.read("rules", _written, problems) or []
    _check_names(written, problems)
    resolved = tuple(resolve(one, around, problems) for one in written)
    route_coverage.check_reachable(resolved, problems)
    for one in resolved:
        block_coverage.check(one, problems)
        binding_names.check(one, trusted_names=trusted_names, problems=problems)
        end_to_end.check(one, trusted_names=trusted_names, problems=problems)
        websockets.check(one, problems)
        likely_mistakes.check_graphql(one, problems)
    return resolved


def _written(place: Place, problems: Problems) -> list[RuleSyntax]:
    node = place.node
    if not isinstance(node, Sequence):
        expected(place, "a list of rules", problems)
        return []
    if len(node.items) > MAX_RULES:
        problems.add(place, f"{len(node.items)} rules are too many; the limit is {MAX_RULES}")
        return []
    found = [
        rule_reader.rule(place.element(at, one), problems) for at, one in enumerate(node.items)
    ]
    return [one for one in found if one is not None]


def _check_names(written: list[RuleSyntax], problems: Problems) -> None:
    first: dict[str, RuleSyntax] = {}
    for one in written:
        earlier = first.setdefault(one.name, one)
        if earlier is not one:
            line = earlier.place.node.position.line
            problems.add(
                one.place,
                f"the name {show(one.name)} is already used by the rule on line {line}",
                "give each its own",
            )


@dataclass(frozen=True, slots=True)
class ResolvedListener:
    """A listener's settings, None if they are incomplete, and its rules with their places."""

    place: Place
    settings: ListenerSettings | None
    rules: tuple[ResolvedRule, ...]


def listener(
    place: Place, by_name: Mapping[str, FieldSyntax], files: Files, problems: Problems
) -> ResolvedListener:
    """Return a listener; report what is wrong with it."""
    fields = Fields(place, LISTENER, problems)
    trusted = bool(fields.read("trusted_names", switch, problems))
    bounds = limits(fields.get("limits"), problems)
    resolved = rules(fields, by_name, bounds, trusted_names=trusted, problems=problems)
    name = fields.read("name", text, problems)
    listen = fields.read("listen", files.listen, problems)
    upstream = fields.read("upstream", files.upstream, problems)
    unmatched = fields.read("unmatched", choice, ("pass", "reject"), problems)
    route_coverage.check_open_writes(
        resolved, fields.get("unmatched") or place, problems, passes=unmatched == "pass"
    )
    plain = upstream is not None and not upstream.tls
    tls = listener_tls(fields.get("tls"), files, problems)
    towards = upstream_tls(fields.get("upstream_tls"), files, problems, plain=plain)
    waits = timeouts(fields.get("timeouts"), problems)
    proxies = networks(fields.get("trusted_proxies"), problems)
    named = client_names(fields.get("client_names"), problems)
    sensitive = bool(fields.read("find_sensitive", switch, problems))
    names = _upstream_names(fields.get("upstream_names"), problems)
    on_client_close = fields.read("on_client_close", choice, ON_CLIENT_CLOSE, problems)
    protocol = bool(fields.read("proxy_protocol", switch, problems))
    adds_ids = bool(fields.read("add_request_id", switch, problems))
    if protocol and (not proxies or isinstance(listen, UnixAddress)):
        problems.add(
            fields.get("proxy_protocol") or place,
            "`proxy_protocol` needs a listener on a TCP port, and `trusted_proxies`",
            "list the networks of the proxies in front of it",
        )
    if isinstance(listen, UnixAddress) and upstream == UpstreamSettings(OriginalPort()):
        problems.add(
            fields.get("upstream") or place,
            "`original-port` needs a listener on a TCP port, which connections are redirected to",
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
        upstream_names=names,
        on_client_close=cast("ClientClose", on_client_close or "probe"),
        proxy_protocol=protocol,
        add_request_id=adds_ids,
        log={one.rule.name: one.shared.log for one in resolved if one.shared.log is not None},
        ladder=LadderSettings(named, finds_sensitive=sensitive),
    )
    return ResolvedListener(place, settings, resolved)


def check_together(listeners: Iterable[ResolvedListener], problems: Problems) -> None:
    """Report listeners that have the same name or the same address."""
    names: dict[str, int] = {}
    addresses: dict[Address, int] = {}
    for one in listeners:
        if one.settings is None:
            continue
        line = one.place.node.position.line
        name, listen = one.settings.name, one.settings.listen
        if names.setdefault(name, line) != line:
            message = f"the name {show(name)} is already used by the listener on line {names[name]}"
            problems.add(one.place, message, "give each its own")
        anywhere = isinstance(listen, TcpAddress) and listen.port == 0
        if not anywhere and addresses.setdefault(listen, line) != line:
            message = f"the listener on line {addresses[listen]} has the same address"
            problems.add(one.place, message, "give each its own")


def _upstream_names(place: Place | None, problems: Problems) -> tuple[str, ...]:
    """Return authorities in lower case, as they are compared."""
    found: list[str] = []
    for written, one in () if place is None else texts(elements(place, problems), problems):
        if _AUTHORITY.fullmatch(written):
            found.append(written.lower())
        else:
            hint = "write `app.internal`, `app.internal:3000` or `[fd00::1]:3000`"
            problems.add(one, f"{show(written)} is not a host with or without a port", hint)
    return tuple(found)
