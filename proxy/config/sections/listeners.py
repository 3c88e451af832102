"""The section `listeners`: what each says, and its rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...core.compiled.closed_world import sealed_fields
from ...core.expressions.sources import name_sources
from ...core.rules.model import NAMED_PARTS
from ..checks import (
    binding_names,
    block_coverage,
    end_to_end,
    likely_mistakes,
    route_coverage,
    websockets,
)
from ..declared.composed import ListOf
from ..declared.section import Fields, Section, setting
from ..limits import TrafficLimits
from ..policy import MAX_RULES
from ..rules.audiences import Nameable, with_callers
from ..rules.items import FieldSyntax
from ..rules.resolve import ResolvedRule, Surroundings, resolve
from ..rules.syntax import DEFAULTS, RULE, RuleSyntax, SharedSyntax
from ..settings import (
    Address,
    ListenerSettings,
    OriginalPort,
    TcpAddress,
    UnixAddress,
    UpstreamSettings,
)
from ..yaml.nodes import Place, Problems, show


@dataclass(frozen=True, slots=True)
class _Listener(ListenerSettings):
    """The section, with the rules as they are written."""

    rules: tuple[RuleSyntax, ...] = setting(  # type: ignore[assignment]  # until they are resolved
        ListOf(RULE, "list of rules", empty=True, most=MAX_RULES, what="rules"),
        "The rules; the first match wins.",
        default=(),
    )
    defaults: SharedSyntax = setting(
        DEFAULTS, "Rule keys that apply to every rule that does not set them.", make=SharedSyntax
    )


@dataclass(frozen=True, slots=True)
class WrittenListener:
    """What a listener says, by the names of its settings, and where."""

    values: dict[str, Any]
    fields: Fields


def _written(values: dict[str, Any], fields: Fields, problems: Problems) -> WrittenListener:
    upstream, listen = values.get("upstream"), values.get("listen")
    if values.get("proxy_protocol") and (
        not values.get("trusted_proxies") or isinstance(listen, UnixAddress)
    ):
        problems.add(
            fields["proxy_protocol"],
            "`proxy_protocol` needs a listener on a TCP port, and `trusted_proxies`",
            "list the networks of the proxies in front of it",
        )
    if isinstance(listen, UnixAddress) and upstream == UpstreamSettings(OriginalPort()):
        problems.add(
            fields["upstream"],
            "`original-port` needs a listener on a TCP port, which connections are redirected to",
        )
    if fields.get("callers") is not None or fields.get("caller_order") is not None:
        from ..checks import callers  # noqa: PLC0415 - loaded where a listener has them

        callers.check(values, fields, problems)
    tls = fields.get("upstream_tls")
    if tls is not None and upstream is not None and not upstream.tls:
        hint = "write `https://` or delete it"
        problems.add(tls, "only applies to an `https` upstream", hint)
    return WrittenListener(values, fields)


LISTENER: Final[Section[Any]] = Section(_Listener, "listener", "A listener", make=_written)


@dataclass(frozen=True, slots=True)
class ResolvedListener:
    """A listener's settings, None if they are incomplete, and its rules with their places."""

    place: Place
    settings: ListenerSettings | None
    rules: tuple[ResolvedRule, ...]


def listener(
    written: WrittenListener,
    by_name: Mapping[str, FieldSyntax],
    known: Nameable,
    problems: Problems,
) -> ResolvedListener:
    """Return a listener with its rules; report what is wrong with them."""
    values, fields = dict(written.values), written.fields
    resolved = _rules(values, by_name, known, problems)
    _check_claims(written, resolved, problems)
    if values.get("callers"):
        from ..checks import callers  # noqa: PLC0415 - as above

        callers.check_guesses(resolved, problems)
    passes = bool(values.get("pass_unmatched"))
    at = fields.get("unmatched") or fields.place
    route_coverage.check_open_writes(resolved, at, problems, passes=passes)
    values["rules"] = tuple(one.rule for one in resolved)
    values["log"] = {
        one.rule.name: one.shared.log for one in resolved if one.shared.log is not None
    }
    whole = values.keys() >= {"name", "listen", "upstream", "pass_unmatched"}
    return ResolvedListener(fields.place, ListenerSettings(**values) if whole else None, resolved)


def _check_claims(
    written: WrittenListener, rules: tuple[ResolvedRule, ...], problems: Problems
) -> None:
    """Report names that are read from verified claims where they cannot be."""
    reads = any(
        name.place == "caller"
        for one in rules
        for names in (one.rule.names, *(block.names for block in one.rule.blocks))
        for part in NAMED_PARTS
        for name in name_sources(names.get(part))
    )
    if reads:
        from ..checks import callers  # noqa: PLC0415 - as above

        callers.check_names(written.values, written.fields, rules, problems)


def _rules(
    values: dict[str, Any], by_name: Mapping[str, FieldSyntax], known: Nameable, problems: Problems
) -> tuple[ResolvedRule, ...]:
    """Return the rules of a listener, and leave its settings; report what is wrong with rules."""
    written, defaults = values.pop("rules", ()), values.pop("defaults", SharedSyntax())
    known = with_callers(known, values.get("callers", ()))
    around = Surroundings(by_name, defaults, values.get("limits", TrafficLimits()).body, known)
    trusted = bool(values.get("trusted_names"))
    _check_names(written, problems)
    resolved = tuple(resolve(one, around, problems) for one in written)
    route_coverage.check_reachable(resolved, problems)
    sealed = frozenset(sealed_fields(one.rule for one in resolved))
    for one in resolved:
        block_coverage.check(one, problems)
        binding_names.check(one, trusted_names=trusted, problems=problems)
        end_to_end.check(one, trusted_names=trusted, problems=problems)
        websockets.check(one, problems)
        likely_mistakes.check_graphql(one, problems)
        likely_mistakes.check_searches(one, sealed, problems)
        if any(block.search or block.keep for block in one.shared.blocks):
            from ..checks import searches  # noqa: PLC0415 - loaded with its rules

            searches.check(one, problems)
    return resolved


def _check_names(written: Iterable[RuleSyntax], problems: Problems) -> None:
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
