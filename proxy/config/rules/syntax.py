"""Rules as they are written, before defaults are applied. None means: not given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ...core.expressions.routes import Pattern, parse_pattern
from ..declared.composed import OneOrMore, WithPlace
from ..declared.kinds import Choice, PlainText, Switch, WholeNumber
from ..declared.section import Fields, Section, inline, setting
from ..settings.listeners import LOG, RuleLog
from ..yaml.nodes import Place, Problems
from .blocks import Behaviour, BehaviourSyntax, BlockSyntax
from .options import BindSyntax, NamesSyntax, OptionsSyntax, bind, overlay

READING: Final = frozenset({"GET", "HEAD", "QUERY"})
"""The methods of requests that change nothing."""


@dataclass(frozen=True, slots=True)
class SharedSyntax:
    """The keys that `defaults` and rules share."""

    log: RuleLog | None = setting(LOG, "Which log lines its messages get.", absent="all")
    names: NamesSyntax = inline(
        NamesSyntax, of={"where": "read from the request, also for its response", "to_open": ""}
    )
    purpose: tuple[str, Place] | None = setting(
        WithPlace(PlainText()), "A constant that values can be bound to.", default=None
    )
    request: BehaviourSyntax | None = setting(
        Behaviour("request"),
        "What happens with the requests of the route; in a list, the first block that applies.",
        absent="`pass`",
    )
    response: BehaviourSyntax | None = setting(
        Behaviour("response"),
        "What happens with the responses of the route; in a list, the first block that applies.",
        absent="`pass`",
    )
    options: OptionsSyntax = inline(OptionsSyntax)
    bind: BindSyntax | None = bind()
    shuts_on_poison: bool | None = setting(
        Choice(alert=False, shut=True),
        "What happens, besides the alert, when a poison token is to be opened: `alert`: nothing"
        " more; `shut`: the rule refuses all messages (403) until the next reload.",
        absent="`alert`",
        name="poison",
    )

    @property
    def blocks(self) -> tuple[BlockSyntax, ...]:
        """All blocks, those of requests first."""
        both = (one for one in (self.request, self.response) if isinstance(one, tuple))
        return tuple(block for blocks in both for block in blocks)


DEFAULTS: Final = Section(SharedSyntax, "defaults", "`defaults` of a listener")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSyntax:
    """A rule as it is written. `place` is the place of its name."""

    place: Place
    name: str = setting(PlainText(), "Its name in logs and errors; unique in the listener.")
    patterns: tuple[tuple[Pattern, Place], ...] = setting(
        OneOrMore(
            WithPlace(PlainText("pattern", parse=parse_pattern)),
            "`[METHOD,METHOD ]/path`, `WS /path`, or a list of them",
        ),
        "Which requests the rule applies to: literal segments, `{name}`, `*`, and `/**` at the end."
        " `WS` is for WebSockets: messages from clients are requests, messages to them are"
        " responses.",
        name="match",
    )
    connections: int = setting(
        WholeNumber(1, 1_000_000),
        "The largest number of its requests that are under way at the upstream, in place of"
        " `limits.connections_per_route`.",
        default=0,
        absent="none",
    )
    reads: bool = setting(
        Switch(),
        "Whether its requests only read, whatever their method: needed to search by words with"
        " methods other than GET, HEAD and QUERY.",
        default=False,
    )
    shared: SharedSyntax = inline(SharedSyntax)


def reads_only(rule: RuleSyntax) -> bool:
    """Return whether the requests of a rule change nothing: by their method, or as it says."""
    methods = [pattern.methods for pattern, _ in rule.patterns]
    return rule.reads or all(each and set(each) <= READING for each in methods)


def _rule(values: dict[str, Any], fields: Fields, _: Problems) -> RuleSyntax | None:
    if "name" not in values:
        return None
    return RuleSyntax(place=fields["name"], **{"patterns": (), **values})


RULE: Final = Section(RuleSyntax, "rule", "A rule", make=_rule)


def inherit(defaults: SharedSyntax, own: SharedSyntax) -> SharedSyntax:
    """Return a rule's keys, with those of the defaults that it does not give, except `bind`."""
    return SharedSyntax(
        names=overlay(defaults.names, own.names),
        purpose=own.purpose or defaults.purpose,
        request=defaults.request if own.request is None else own.request,
        response=defaults.response if own.response is None else own.response,
        options=overlay(defaults.options, own.options),
        shuts_on_poison=(
            defaults.shuts_on_poison if own.shuts_on_poison is None else own.shuts_on_poison
        ),
        bind=own.bind,
        log=own.log or defaults.log,
    )
