"""Rules as one caller meets them: what it gets of each value, and what it may not ask for.

A rule is compiled once for all callers that get the same of it. So whatever reads, streams, tries
or explains messages knows who gets what without being told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ..callers import ANYONE
from ..errors import CallerMayNotOpen, CallerMayNotSeal, MaskedValue, MissingValue, PurposeMissing
from ..expressions.name_readings import fold_header
from ..expressions.sources import NameSource
from ..rules.audience import Mask, Shown, asks_for_purpose
from ..rules.model import EVERY, Block, Item, Rule, Verdict
from .request_names import OVERRIDING, RequestNames, asked_in_query, refuse_second_credential

OPERATOR: Final = ""
"""Who gets every value: a job of whoever holds the keyring. No caller has this name."""


class Returns(NamedTuple):
    """The fields of a listener of which a caller may hold something else than the value.

    Of `unseen` ones it gets something else at least once, of `unread` ones that or nothing, and of
    `valued` ones it gets the value somewhere. EVERY stands for all of them.
    """

    masked: frozenset[str]
    handed: frozenset[str]
    unseen: frozenset[str]
    unread: frozenset[str]
    valued: frozenset[str]


@dataclass(frozen=True, slots=True)
class CallerAccess:
    """What a rule refuses a caller by the head of a request, before the backend acts.

    `purpose` is the header that must name one of the `purposes`, None where none is asked for.
    `unseen` says that the rule seals a field that the caller does not get as a value, `alone` that
    no other credential may be beside the one that names the caller.
    """

    opens: bool
    seals: bool
    purpose: str | None
    purposes: frozenset[str]
    unseen: bool
    alone: bool

    def refuse(self, names: RequestNames) -> None:
        """Refuse a request; raise CallerMayNotOpen, CallerMayNotSeal, PurposeMissing, MaskedValue.

        What replaces a resource would replace what the caller has never seen. Raises
        AmbiguousRequest for a second credential, by which the backend may know another.
        """
        if self.alone:
            refuse_second_credential(names, in_query=True, in_cookies=False)
        if not self.opens:
            raise CallerMayNotOpen("caller-may-not-open")
        if not self.seals:
            raise CallerMayNotSeal("caller-may-not-seal")
        if self.purpose is not None and self.purpose_of(names) not in self.purposes:
            told = f"The header {self.purpose} must name a purpose of use."
            raise PurposeMissing("purpose-of-use-missing", detail=told)
        if self.unseen and _replaces(names):
            raise MaskedValue("unseen-replaced")

    def purpose_of(self, names: RequestNames) -> str | None:
        """Return the purpose of use that a request states; raise AmbiguousRequest for two."""
        if self.purpose is None:
            return None
        try:
            return names.name(NameSource("header", self.purpose))
        except MissingValue:
            return None


def _replaces(names: RequestNames) -> bool:
    """Return whether a request is a PUT, or may be one to a framework."""
    head = names.head
    if head.method != "POST":
        return head.method == "PUT"
    return bool(asked_in_query(head.query)) or any(
        fold_header(name) in _OVERRIDING for name, _ in head.headers
    )


_OVERRIDING: Final = frozenset(map(fold_header, OVERRIDING))


def returns(rules: Iterable[Rule], caller: str) -> Returns:
    """Return of which fields a caller may send back what is no value."""
    masked, handed, unseen, unread, valued = (set[str]() for _ in Returns._fields)
    if caller == OPERATOR:
        valued.add(EVERY)
    for item in _opened(rules):
        if item.audience is None:
            continue
        outcomes = item.audience.outcomes
        if any(isinstance(one, Mask) for one in outcomes):
            masked.add(item.opens)
        if "token" in outcomes:
            handed.add(item.opens)
        shown = "value" if caller == OPERATOR else item.audience.to(caller)
        if shown == "value":
            valued.add(item.opens)
            continue
        unread.add(item.opens)
        if shown != "refuse":
            unseen.add(item.opens)
    return Returns(*map(frozenset, (masked, handed, unseen, unread, valued)))


def _opened(rules: Iterable[Rule]) -> Iterator[Item]:
    for rule in rules:
        for block in rule.blocks_of("response"):
            yield from block.decrypt


def view(rule: Rule, caller: str, back: Returns) -> tuple[Rule, CallerAccess | None]:
    """Return a rule as a caller meets it, and what it is refused by heads; None for nothing."""
    request, response = rule.request, rule.response
    if not isinstance(request, Verdict):
        request = tuple(_sealing(one, back) for one in request)
    if not isinstance(response, Verdict):
        response = tuple(
            replace(one, decrypt=tuple(_shown(item, caller) for item in one.decrypt))
            for one in response
        )
    seen = replace(rule, request=request, response=response)
    if caller == OPERATOR or not rule.callers:
        return seen, None
    opened = [item for block in seen.blocks_of("response") for item in block.decrypt]
    blocks = seen.blocks_of("request")
    purposes = {
        one.audience.purpose
        for one in opened
        if one.audience is not None and one.shown is not None and asks_for_purpose(one.shown)
    }
    access = CallerAccess(
        opens=all(one.shown != "refuse" for one in opened),
        seals=all(one.callers is None or caller in one.callers for one in blocks),
        purpose=next((one for one in purposes if one is not None), None),
        purposes=rule.purposes,
        unseen=any(item.unseen for block in blocks for item in sealed_by(block)),
        alone=not any(one.elsewhere_allowed for one in rule.blocks),
    )
    return seen, access


def sealed_by(block: Block) -> tuple[Item, ...]:
    """Return the items that a block seals by, with that of what it does not list."""
    return block.encrypt if block.rest is None else (*block.encrypt, block.rest)


def _sealing(block: Block, back: Returns) -> Block:
    return replace(
        block,
        encrypt=tuple(_sealed(one, back) for one in block.encrypt),
        rest=None if block.rest is None else _sealed(block.rest, back, named=False),
        search=tuple(_searched(one, back) for one in block.search),
    )


def _searched(item: Item, back: Returns) -> Item:
    """Return an item of a search: who does not get the values may not ask whether there is one."""
    names = {item.field, EVERY}
    return replace(item, unseen=bool(names & back.unread) or not names & back.valued)


def _sealed(item: Item, back: Returns, *, named: bool = True) -> Item:
    """Return an item with what may come back of it; those that are not `named` are of any field."""

    def has(fields: frozenset[str]) -> bool:
        return bool(fields) if not named else item.field in fields or EVERY in fields

    if item.seeks:
        item = _searched(item, back)
    masked, handed, unseen = map(has, (back.masked, back.handed, back.unseen))
    if not (masked or handed or unseen):
        return item
    return replace(item, masked=masked, handed=handed, unseen=unseen or item.unseen)


def _shown(item: Item, caller: str) -> Item:
    audience = item.audience
    if audience is None:
        return item
    return replace(item, shown="value" if caller == OPERATOR else audience.to(caller))


def reader(rule: Rule) -> str | None:
    """Return the caller that gets most of a rule: values, or else at least an answer."""
    if not rule.by_caller:
        return None
    opened = [item for block in rule.blocks_of("response") for item in block.decrypt]

    def gets(name: str) -> list[Shown]:
        return [one.audience.to(name) for one in opened if one.audience is not None]

    return max(
        (ANYONE, *rule.callers),
        key=lambda name: (-gets(name).count("refuse"), gets(name).count("value")),
    )


def viewers(rule: Rule) -> tuple[str, ...]:
    """Return for whom a rule is compiled apart: anyone, each caller, and jobs; nobody if alike."""
    return (ANYONE, *rule.callers, OPERATOR) if rule.callers else ()
