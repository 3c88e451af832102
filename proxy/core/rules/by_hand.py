"""What a caller gets of a value, and may seal, outside of any message: by all rules together.

Each rule comes with whom its listener verifies: names of callers are those of one listener alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..callers import ANYONE, VerifiedCaller
from ..crypto.context import Context
from ..crypto.joined_names import Name
from ..crypto.token import Form
from ..errors import CallerMayNotOpen, CallerMayNotSeal, CallerMayNotSearch, PurposeMissing
from ..expressions.sources import (
    ComposedSource,
    FirstSource,
    ListSource,
    MembersSource,
    NameSource,
    SameSource,
    Source,
    name_sources,
)
from .audience import Shown, asks_for_purpose
from .model import EVERY, Block, Rule

Met = tuple[Rule, VerifiedCaller | None]
"""A rule, and who the caller is at its listener; None: anyone."""
_STRICTEST: Final = ("refuse", "absent", "token")


def got_by_hand(rules: Iterable[Met], purpose: str, context: Context) -> Shown:
    """Return what a caller gets of a value: a value or a mask, the least that any rule gives.

    A rule with `tokens` opens all fields. Where no listener has callers, everybody gets the value,
    and where one has, everybody gets what is opened under its field by rules of others alone.
    Raises CallerMayNotOpen where a rule of a listener with callers gives less, where none at all
    opens the field, or where one reads tenant or conversation from another claim than the caller
    has; PurposeMissing where one asks for a purpose of use that is not known.
    """
    every = list(rules)
    opening = [
        (rule, block, item, caller)
        for rule, caller in every
        for block in rule.blocks_of("response")
        for item in block.decrypt
        if item.opens in {context.field, EVERY}
    ]
    some = [one for one in opening if one[0].callers]
    if not any(rule.callers for rule, _ in every) or (opening and not some):
        return "value"
    found = [
        (rule, item.audience, "value" if item.audience is None else item.audience.to(_name(caller)))
        for rule, _, item, caller in some
    ]
    outcomes: list[Shown] = [shown for _, _, shown in found]
    fits = all(_fits(rule, block, caller, context) for rule, block, _, caller in some)
    if not outcomes or not fits or any(one in _STRICTEST for one in outcomes):
        raise CallerMayNotOpen("caller-may-not-open")
    for rule, audience, shown in found:
        asks = audience is not None and audience.purpose is not None and asks_for_purpose(shown)
        if asks and purpose not in rule.purposes:
            raise PurposeMissing("purpose-of-use-missing")
    return next((one for one in outcomes if one != "value"), "value")


def refuse_sealing(rules: Iterable[Met], purpose: str, context: Context, form: Form) -> None:
    """Raise CallerMayNotSeal where a rule lets others seal the field, or reads other names.

    A field that none names is sealed by those that seal what they do not list.
    Who does not get a value may not have it sealed as equal ones are, either: such a token finds it
    in what the backend stores. Raises CallerMayNotSearch and, as `got_by_hand`, PurposeMissing.
    """
    every = list(rules)
    some = [(one, *met) for met in every if met[0].callers for one in met[0].blocks_of("request")]
    named = [each for each in some if any(one.field == context.field for one in each[0].encrypt)]
    for block, rule, caller in named or [each for each in some if each[0].others == "seal"]:
        others = block.callers is not None and _name(caller) not in block.callers
        if others or not _fits(rule, block, caller, context):
            raise CallerMayNotSeal("caller-may-not-seal")
    try:
        seen = form != "equal" or got_by_hand(every, purpose, context) == "value"
    except CallerMayNotOpen:
        seen = False
    if not seen:
        raise CallerMayNotSearch("caller-may-not-search")


def _name(caller: VerifiedCaller | None) -> str:
    return ANYONE if caller is None else caller.name


def _fits(rule: Rule, block: Block, caller: VerifiedCaller | None, context: Context) -> bool:
    """Return whether names that a block reads from claims are those of the caller."""
    own, scope = block.names, context.scope
    return _may_name(own.tenant or rule.names.tenant, caller, scope.tenant) and _may_name(
        own.conversation or rule.names.conversation, caller, scope.conversation
    )


def _may_name(source: Source | None, caller: VerifiedCaller | None, name: Name | None) -> bool:
    """Return whether a source may give a name, as far as the claims of the caller tell."""
    if not _claims(source):
        return True
    known = {} if caller is None else caller.claims
    if isinstance(source, NameSource):
        claim = known.get(source.name)
        return name is not None and (name in claim if isinstance(claim, tuple) else name == claim)
    if isinstance(source, FirstSource):
        part = next((one for one in source.parts if _claims(one) <= known.keys()), None)
        return part is not None and _may_name(part, caller, name)
    if isinstance(source, SameSource):
        return all(_may_name(part, caller, name) for part in source.parts)
    if isinstance(source, ComposedSource):
        around, hole = (source.before, source.after), None
        if isinstance(name, str) and name.startswith(around[0]) and name.endswith(around[1]):
            hole = name.removeprefix(around[0]).removesuffix(around[1])
        return _may_name(source.hole, caller, hole)
    parts = () if name is None or isinstance(name, str) else name.parts
    return _may_join(source, caller, parts)


def _may_join(source: Source | None, caller: VerifiedCaller | None, parts: Sequence[Name]) -> bool:
    if isinstance(source, ListSource):
        return len(parts) == len(source.parts) and all(
            map(_may_name, source.parts, [caller] * len(parts), parts)
        )
    assert isinstance(source, MembersSource)  # noqa: S101 - the last kind that reads claims
    return all(any(_may_name(part, caller, one) for one in parts) for part in source.parts)


def _claims(source: Source | None) -> set[str]:
    return {one.name for one in name_sources(source) if one.place == "caller"}
