"""What the ladder has counted: for each rule its mode, since when, and what it has met in it.

What the counts mean for a step up, whoever reads them decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from ...config.settings import Settings
from ...core.expressions.selectors import Selector, Whole
from ...core.expressions.sources import JsonSource, NameSource
from ...core.rules.model import Behaviour, Rule
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Samples
from ..policy import LADDER_REFUSALS, LADDER_UNLISTED, UNLISTED_CLIENTS

Key = tuple[str, str]
"""Listener and rule; the rule is empty for what is counted of a listener without naming a rule."""
Mode = Literal["observe", "permissive", "enforce"]
Refusal = tuple[str, str, str]
"""Direction, reason and client name."""

OTHER: Final = ("other", "other", "other")
OVERFLOWN: Final = ("other", "other")
"""The key of what metrics count together, since they have too many series."""
VERSION: Final = 1


@dataclass(slots=True)
class Counts:
    """Messages of one rule, those refused, plain values, and what one step up would refuse."""

    messages: int = 0
    refused: int = 0
    plain: int = 0
    would_refuse: dict[Refusal, int] = field(default_factory=dict)

    def less(self, before: Counts) -> Counts:
        """Return what was counted after `before`."""
        more = {
            refusal: number - before.would_refuse.get(refusal, 0)
            for refusal, number in self.would_refuse.items()
        }
        return Counts(
            max(0, self.messages - before.messages),
            max(0, self.refused - before.refused),
            max(0, self.plain - before.plain),
            {refusal: number for refusal, number in more.items() if number > 0},
        )

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return not (self.messages or self.refused or self.plain or self.would_refuse)


class RefusalCount(NamedTuple):
    """How many messages would be refused one step up, and when the last of them was counted."""

    messages: int
    last: int


@dataclass(slots=True)
class UnlistedCount:
    """How many requests that succeeded had an unlisted name, and of which clients, some at most.

    `selector` is the place as a rule lists it, empty where there is no evidence that it is no data;
    `sensitive` says that a value at it has looked so.
    """

    messages: int = 0
    clients: tuple[str, ...] = ()
    sensitive: bool = False
    selector: str = ""

    def add(self, row: Mapping[str, Any], messages: int) -> None:
        """Add what a process has seen, and so many messages of it."""
        self.messages += messages
        self.clients = tuple(sorted({*self.clients, *row["clients"]})[:UNLISTED_CLIENTS])
        self.sensitive = self.sensitive or row["sensitive"]
        self.selector = "" if self.sensitive else self.selector or row["selector"]


@dataclass(slots=True)
class RuleStage:
    """One rule in one mode, and what was counted since then. Times are in seconds since 1970.

    `rule` is the fingerprint of the rule: another one begins anew. `seen` says that the ladder has
    seen the rule enter the mode, so that `since` is no later. `last` is when anything was counted.
    """

    mode: Mode
    rule: str
    since: int
    seen: bool
    last: int = 0
    messages: int = 0
    refused: int = 0
    plain: int = 0
    would_refuse: dict[Refusal, RefusalCount] = field(default_factory=dict)
    unlisted: dict[str, UnlistedCount] = field(default_factory=dict)

    def add(self, more: Counts, now: int) -> None:
        """Add what was counted until `now`."""
        self.last = now
        self.messages += more.messages
        self.refused += more.refused
        self.plain += more.plain
        held = self.would_refuse
        for each, number in more.would_refuse.items():
            refusal = each if each in held or len(held) < LADDER_REFUSALS else OTHER
            before = held.get(refusal, RefusalCount(0, now))
            held[refusal] = RefusalCount(before.messages + number, now)

    def add_unlisted(self, row: Mapping[str, Any], messages: int) -> None:
        """Add what a process has seen of an unlisted name; the rarest make room."""
        held, place = self.unlisted, row["place"]
        if place not in held and len(held) >= LADDER_UNLISTED:
            del held[min(held, key=lambda one: held[one].messages)]
        held.setdefault(place, UnlistedCount()).add(row, messages)


class Ledger:
    """Adds what metrics have counted to the mode of each rule. One object serves one process."""

    def __init__(self, stages: Mapping[Key, RuleStage]) -> None:
        """Begin with the stages of earlier processes."""
        self.stages = dict(stages)
        self._totals: dict[Key, Counts] = {}
        self._unlisted: dict[tuple[object, ...], int] = {}
        self._begun = bool(stages)

    def take(
        self,
        settings: Settings,
        samples: Samples,
        now: float,
        unlisted: Iterable[Mapping[str, Any]] = (),
    ) -> bool:
        """Add what was counted since the last call; return whether anything has changed.

        `settings` are those in force, `samples` count from the start of this process, and
        `unlisted` are the rows of all processes, from the start of each.
        """
        totals, changed = _totals(samples), False
        stages: dict[Key, RuleStage] = {}
        for key, mode, rule in _rules(settings, now):
            stage = self.stages.get(key)
            if stage is None or (stage.mode, stage.rule) != (mode, rule):
                stage = RuleStage(mode, rule, int(now), self._begun)
                changed = True
            stages[key] = stage
            new = totals.get(key, Counts()).less(self._totals.get(key, Counts()))
            if not new.empty:
                stage.add(new, int(now))
                changed = True
        self.stages, self._totals, self._begun = stages, totals, True
        return self._take_unlisted(unlisted) or changed

    def _take_unlisted(self, unlisted: Iterable[Mapping[str, Any]]) -> bool:
        before, self._unlisted, changed = self._unlisted, {}, False
        for row in unlisted:
            key = row["process"], row["listener"], row["rule"], row["place"]
            self._unlisted[key] = total = row["messages"]
            held = before.get(key, 0)
            # A place that had to make room, and came again, is counted from 1.
            more = total - held if total >= held else total
            stage = self.stages.get((row["listener"], row["rule"]))
            if more and stage is not None and stage.mode == "observe":
                stage.add_unlisted(row, more)
                changed = True
        return changed

    @property
    def overflown(self) -> bool:
        """Whether refusals were counted of which the rule is not known."""
        return bool(self._totals.get(OVERFLOWN, Counts()).would_refuse)


def _rules(settings: Settings, now: float) -> Iterator[tuple[Key, Mode, str]]:
    """Yield key, mode and fingerprint of every rule, and of what no rule is named for."""
    for listener in settings.listeners:
        for rule in listener.rules:
            yield (listener.name, rule.name), mode_of(rule, now), fingerprint(rule)
        observing = [fingerprint(rule) for rule in listener.rules if rule.observes]
        if observing:
            yield (listener.name, ""), "observe", _hashed(observing)


def mode_of(rule: Rule, now: float) -> Mode:
    """Return the mode of a rule; `permissive` ends by itself."""
    if rule.observes:
        return "observe"
    ends = (one.permissive_until for one in rule.blocks if one.permissive_until is not None)
    return "permissive" if any(end > now for end in ends) else "enforce"


def fingerprint(rule: Rule) -> str:
    """Return a text that differs between rules which do something else, whatever their mode."""
    plain = replace(
        rule, observes=False, request=_enforced(rule.request), response=_enforced(rule.response)
    )
    return _hashed(plain)


def _enforced(behaviour: Behaviour) -> Behaviour:
    if not isinstance(behaviour, tuple):
        return behaviour
    return tuple(replace(one, permissive_until=None) for one in behaviour)


def _hashed(value: object) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()[:32]


def _canonical(value: object) -> str:
    """Return a text that is the same in every process."""
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if is_dataclass(value):
        parts = (f"{one.name}={_canonical(getattr(value, one.name))}" for one in fields(value))
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, AbstractSet):
        return f"{{{', '.join(sorted(map(_canonical, value)))}}}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_canonical, value))})"
    return repr(value)


def _totals(samples: Samples) -> dict[Key, Counts]:
    found: dict[Key, Counts] = {}
    for name, labels, values in samples:
        number = int(values[0])
        if not number or name not in _COUNTED:
            continue
        counts = found.setdefault((labels[0], labels[1]), Counts())
        if name == table.WOULD_REFUSE.name:
            direction, reason, client_name = labels[2:]
            counts.would_refuse[direction, reason, client_name] = number
        elif name == table.MESSAGES.name:
            counts.messages += number
            counts.refused += number if labels[2] == "refused" else 0
        elif labels[3] == "plain":
            counts.plain += number
    return found


_COUNTED: Final = frozenset({table.WOULD_REFUSE.name, table.MESSAGES.name, table.VALUES.name})


def rows(settings: Settings, stages: Mapping[Key, RuleStage]) -> list[dict[str, Any]]:
    """Return for each rule its mode and what was counted in it, for JSON.

    The rule is empty for requests of which no rule is named.
    """
    rules = {(one.name, rule.name): rule for one in settings.listeners for rule in one.rules}
    return [{**_row(key, stage), **_of_rule(rules.get(key))} for key, stage in stages.items()]


def _of_rule(rule: Rule | None) -> dict[str, Any]:
    blocks = () if rule is None else rule.blocks
    ends = (one.permissive_until for one in blocks if one.permissive_until is not None)
    opens = any(one.decrypt for one in blocks)
    return {"until": max(ends, default=None), "opens": opens, "lists": _lists(rule)}


def _lists(rule: Rule | None) -> dict[str, Any] | None:
    """Return what a rule of one path and one block of requests says, for a proposal of lists."""
    blocks = () if rule is None else rule.blocks_of("request")
    if rule is None or len(blocks) != 1 or len(rule.patterns) != 1:
        return None
    (block,) = blocks
    source = block.names.conversation or rule.names.conversation
    if isinstance(source, NameSource):
        conversation = f"{source.place}:{source.name}"
    elif isinstance(source, JsonSource):
        conversation = source.selector.text + "~" * source.member_name
    else:
        return None
    return {
        "match": rule.patterns[0].text,
        "conversation": conversation,
        "encrypt": [
            f"{'optional ' if one.optional else ''}{_text(one.selector)}" for one in block.encrypt
        ],
        "plain": [_text(one) for one in block.plain],
        "query": sorted((block.query or frozenset()) - block.naming),
    }


def _text(selector: Selector) -> str:
    return selector.value if isinstance(selector, Whole) else selector.text


def _row(key: Key, stage: RuleStage) -> dict[str, Any]:
    listener, rule = key
    return {
        "listener": listener,
        "rule": rule,
        "mode": stage.mode,
        "fingerprint": stage.rule,
        "since": stage.since,
        "seen": stage.seen,
        "last": stage.last,
        "messages": stage.messages,
        "refused": stage.refused,
        "plain": stage.plain,
        "would_refuse": [
            {**dict(zip(_REFUSAL, refusal, strict=True)), **foretold._asdict()}
            for refusal, foretold in stage.would_refuse.items()
        ],
        "unlisted": [{"place": place, **asdict(one)} for place, one in stage.unlisted.items()],
    }


_REFUSAL: Final = ("direction", "reason", "client_name")


def to_json(settings: Settings, stages: Mapping[Key, RuleStage]) -> dict[str, Any]:
    """Return the stages for a file."""
    return {"version": VERSION, "rules": rows(settings, stages)}


def from_json(document: Any) -> dict[Key, RuleStage]:  # noqa: ANN401 - whatever the file holds
    """Return the stages of a file; raise ValueError where it is not one of this version."""
    try:
        if document["version"] != VERSION:
            raise ValueError("version")
        return dict(map(_stage, document["rules"]))
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not a ladder file") from None


def _stage(one: Any) -> tuple[Key, RuleStage]:  # noqa: ANN401 - whatever the file holds
    mode: Mode = one["mode"]
    if mode not in {"observe", "permissive", "enforce"}:
        raise ValueError("mode")
    numbers = {name: int(one[name]) for name in ("last", "messages", "refused", "plain")}
    since, seen = int(one["since"]), bool(one["seen"])
    refusals: dict[Refusal, RefusalCount] = {}
    for each in one["would_refuse"]:
        direction, reason, client_name = (str(each[name]) for name in _REFUSAL)
        foretold = RefusalCount(int(each["messages"]), int(each["last"]))
        refusals[direction, reason, client_name] = foretold
    unlisted: dict[str, UnlistedCount] = {}
    for each in one["unlisted"]:
        clients = tuple(map(str, each["clients"]))
        told = bool(each["sensitive"]), str(each["selector"])
        unlisted[str(each["place"])] = UnlistedCount(int(each["messages"]), clients, *told)
    fingerprint = str(one["fingerprint"])
    stage = RuleStage(
        mode, fingerprint, since, seen, would_refuse=refusals, unlisted=unlisted, **numbers
    )
    return (str(one["listener"]), str(one["rule"])), stage
