"""What a caller gets of a value, and may seal, outside of any message: by all rules together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..callers import ANYONE, VerifiedCaller
from ..crypto.context import Context
from ..errors import CallerMayNotOpen, CallerMayNotSeal, PurposeMissing
from ..expressions.sources import NameSource, Source
from .audience import Shown, asks_for_purpose
from .model import Item, Rule

_STRICTEST: Final = ("refuse", "absent", "token")


def got_by_hand(
    rules: Iterable[Rule], caller: VerifiedCaller | None, purpose: str, context: Context
) -> Shown:
    """Return what a caller gets of a value: a value or a mask, the least that any rule gives.

    Where no listener has callers, everybody gets the value, and where one has, everybody gets what
    is opened under its field by rules of others alone. Raises CallerMayNotOpen where a rule of a
    listener with callers gives less, where none at all opens the field, or where one reads tenant
    or conversation from another claim than the caller has; PurposeMissing where one asks for a
    purpose of use that is not known.
    """
    every = list(rules)
    opening = [(rule, item) for rule, item in _opened(every) if item.field == context.field]
    some = [(rule, item) for rule, item in opening if rule.callers]
    if not any(one.callers for one in every) or (opening and not some):
        return "value"
    name = ANYONE if caller is None else caller.name
    found = [
        (rule, item.audience, "value" if item.audience is None else item.audience.to(name))
        for rule, item in some
    ]
    outcomes: list[Shown] = [shown for _, _, shown in found]
    fits = all(_fits(rule, caller, context) for rule, _, _ in found)
    if not outcomes or not fits or any(one in _STRICTEST for one in outcomes):
        raise CallerMayNotOpen("caller-may-not-open")
    for rule, audience, shown in found:
        asks = audience is not None and audience.purpose is not None and asks_for_purpose(shown)
        if asks and purpose not in rule.purposes:
            raise PurposeMissing("purpose-of-use-missing")
    return next((one for one in outcomes if one != "value"), "value")


def refuse_sealing(rules: Iterable[Rule], caller: VerifiedCaller | None, context: Context) -> None:
    """Raise CallerMayNotSeal where a rule lets others seal the field, or reads other names."""
    name = ANYONE if caller is None else caller.name
    for rule in rules:
        for block in rule.blocks_of("request") if rule.callers else ():
            sealed = any(one.field == context.field for one in block.encrypt)
            others = block.callers is not None and name not in block.callers
            if sealed and (others or not _fits(rule, caller, context)):
                raise CallerMayNotSeal("caller-may-not-seal")


def _opened(rules: Iterable[Rule]) -> Iterator[tuple[Rule, Item]]:
    for rule in rules:
        for block in rule.blocks_of("response"):
            for item in block.decrypt:
                yield rule, item


def _fits(rule: Rule, caller: VerifiedCaller | None, context: Context) -> bool:
    """Return whether names that a rule reads from claims are those of the caller."""
    scope = context.scope
    return all(
        _claimed(source, caller, name)
        for source, name in (
            (rule.names.tenant, scope.tenant),
            (rule.names.conversation, scope.conversation),
        )
    )


def _claimed(source: Source | None, caller: VerifiedCaller | None, name: object) -> bool:
    if not isinstance(source, NameSource) or source.place != "caller":
        return True
    claim = None if caller is None else caller.claims.get(source.name)
    return name is not None and (name in claim if isinstance(claim, tuple) else name == claim)
