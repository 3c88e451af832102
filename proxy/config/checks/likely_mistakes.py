"""Warnings about settings that are valid and hardly meant."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final

from ...core.compiled.closed_world import closed_query, fields_of
from ...core.expressions.name_readings import fold_member
from ...core.formats.graphql.body import GRAPHQL
from ...core.rules.conditions import text_value
from ...core.rules.model import Rule
from ..rules.blocks import BlockSyntax
from ..rules.resolve import ResolvedRule
from ..settings import AdminSettings, ListenerSettings, TcpAddress, UnixAddress
from ..yaml.nodes import Mapping, Place, Problems, show, suggest

_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "WS"}
    | {"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"}
)
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - compared, not bound
_HERE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_CHOOSING: Final = ("field", "persisted")
"""Names by which a condition says which operation of GraphQL it is for."""
_MUTATION: Final = text_value("mutation")


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
            problems.warn(
                place, f"{name}: its upstream is a listener of this file; name the backend"
            )


SEARCHING: Final = frozenset({"keyword", "keywords", "q", "query", "search", "term", "words"})
"""Names of a query by which clients search."""


def check_searches(one: ResolvedRule, sealed: frozenset[str], problems: Problems) -> None:
    """Warn of names in query and path that seek what is sealed: `sealed` by any rule."""
    blocks = one.rule.blocks
    if not any(block.seals or block.decrypt for block in blocks):
        return
    listed = (one.rule.query, *(block.query for block in blocks))
    query = closed_query(one.rule, sealed)
    for name in sorted({name for names in listed for name in names or ()}):
        if name in SEARCHING or (query and query.seeks_sealed(name, name)):
            problems.warn(
                one.syntax.place,
                f"rule {show(one.rule.name)} lists {show(name)} in the query: the words of a search"
                " reach the backend in plaintext, and find nothing in what is sealed",
            )
    fields = frozenset(map(fold_member, fields_of(one.rule, sealed)))
    for name in sorted({name for each in one.rule.patterns for _, name in each.names}):
        if fold_member(name) in fields:
            problems.warn(
                one.syntax.place,
                f"rule {show(one.rule.name)} has {show(name)} in its path, and seals or opens it:"
                " there it reaches the backend in plaintext, and finds nothing in what is sealed",
            )


def check_fields(place: Place | None, rules: Iterable[Rule], problems: Problems) -> None:
    """Warn of settings of a field that no rule has: a typing mistake would lose `max_chars`."""
    if place is None or not isinstance(place.node, Mapping):
        return
    blocks = [one for rule in rules for one in rule.blocks]
    used = {item.field for one in blocks for item in one.items}
    for key, node in place.node.entries:
        if key.text not in used:
            text = f"no rule has a field {show(key.text)}, so its settings have no effect"
            hint = suggest(key.text, used)
            named = f"{text}; {hint}" if hint.startswith("did") else text
            problems.warn(place.member(key.text, node), named)


def check_modes(
    place: Place, listeners: Sequence[ListenerSettings], now: float, problems: Problems
) -> None:
    """Warn of `permissive until` a day that has passed; `now` is in seconds since 1970."""
    for listener in listeners:
        for rule in listener.rules:
            ends = {one.permissive_until for one in rule.blocks} - {None}
            for end in sorted(one for one in ends if one is not None and one <= now):
                day = time.strftime("%Y-%m-%d", time.gmtime(end))
                text = f"listener {show(listener.name)}: rule {show(rule.name)} is permissive until"
                problems.warn(
                    place, f"{text} {day}, which has passed: it enforces; write `enforce`"
                )


def check_admin(place: Place, admin: AdminSettings | None, problems: Problems) -> None:
    """Warn of an admin API that is open to the network without TLS."""
    if admin is None or admin.tls is not None or not isinstance(admin.listen, TcpAddress):
        return
    if admin.listen.host in _EVERYWHERE:
        text = f"the admin API listens on {show(str(admin.listen))} without TLS"
        problems.warn(place, f"{text}: tokens cross the network in plaintext; add `tls`")


def check_graphql(resolved: ResolvedRule, problems: Problems) -> None:
    """Warn of blocks of a rule for GraphQL that take mutations, whatever their fields are."""
    blocks = resolved.shared.request
    if not isinstance(blocks, tuple) or resolved.rule.observes:
        return
    for block in blocks:
        if block.format is not None and block.format[0] == GRAPHQL.kind and _takes_any(block):
            problems.warn(
                block.place,
                "takes mutations with any fields, and passes what it does not select; add"
                " `$.field` to `when`, or `$.type: [query, subscription]`",
            )


def _takes_any(block: BlockSyntax) -> bool:
    """Return whether no condition says of which field, type or document an operation is."""
    for selector, values in ((one.selector, one.values) for one in block.when):
        name = selector.steps[0].key if len(selector.steps) == 1 else None
        if name in _CHOOSING or (name == "type" and _MUTATION not in values):
            return False
    return True


def _same(upstream: object, listen: TcpAddress | UnixAddress) -> bool:
    if not isinstance(upstream, TcpAddress) or not isinstance(listen, TcpAddress):
        return upstream == listen
    near = listen.host in _EVERYWHERE | _HERE and upstream.host in _HERE
    return upstream.port == listen.port and (upstream.host == listen.host or near)
