"""What the ladder has counted: for each rule its mode, since when, and the counts of each day."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from typing import Any, Final, Literal

from ...config.settings import Settings
from ...core.rules.model import Behaviour, Rule
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Samples

Key = tuple[str, str]
"""Listener and rule; the rule is empty for what is counted of a listener without naming a rule."""
Mode = Literal["observe", "permissive", "enforce"]
Refusal = tuple[str, str, str]
"""Direction, reason and client name."""

DAY: Final = 86_400
MOST_DAYS: Final = 90
MOST_REFUSALS: Final = 64
"""So many kinds of refusals are kept of one rule and day; others are counted together."""
MOST_UNRULED: Final = 200
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

    def add(self, more: Counts) -> None:
        """Add other counts."""
        self.messages += more.messages
        self.refused += more.refused
        self.plain += more.plain
        for refusal, number in more.would_refuse.items():
            self.refuses(refusal, number)

    def refuses(self, refusal: Refusal, number: int) -> None:
        """Add messages that would be refused."""
        held = self.would_refuse
        if refusal not in held and len(held) >= MOST_REFUSALS:
            refusal = OTHER
        held[refusal] = held.get(refusal, 0) + number

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


@dataclass(slots=True)
class RuleStage:
    """One rule in one mode, and what was counted since then, by days since 1970.

    `rule` is the fingerprint of the rule: another one begins anew. `since` is in seconds since
    1970; `seen` says that the ladder has seen the rule enter the mode, so that it is no later.
    """

    mode: Mode
    rule: str
    since: float
    seen: bool
    days: dict[int, Counts] = field(default_factory=dict)

    def within(self, now: float, days: int) -> Counts:
        """Return what was counted in the last `days`; 0: since the stage began."""
        first = int(now // DAY) - days if days else 0
        found = Counts()
        for day, counts in self.days.items():
            if day >= first:
                found.add(counts)
        return found


class Ledger:
    """Adds what metrics have counted to the days of each rule. One object serves one process."""

    def __init__(self, stages: Mapping[Key, RuleStage]) -> None:
        """Begin with the stages of earlier processes."""
        self.stages = dict(stages)
        self._totals: dict[Key, Counts] = {}
        self._begun = bool(stages)
        self.unruled: list[dict[str, str | int | None]] = []

    def take(self, settings: Settings, samples: Samples, now: float) -> bool:
        """Add what was counted since the last call; return whether anything has changed.

        `settings` are those in force, `samples` count from the start of this process.
        """
        totals, today, changed = _totals(samples), int(now // DAY), False
        stages: dict[Key, RuleStage] = {}
        for key, mode, rule in _rules(settings, now):
            stage = self.stages.get(key)
            if stage is None or (stage.mode, stage.rule) != (mode, rule):
                stage = RuleStage(mode, rule, now, self._begun)
                changed = True
            stages[key] = stage
            new = totals.get(key, Counts()).less(self._totals.get(key, Counts()))
            if not new.empty:
                stage.days.setdefault(today, Counts()).add(new)
                changed = True
            for day in [day for day in stage.days if day <= today - MOST_DAYS]:
                del stage.days[day]
        self.stages, self._totals, self._begun = stages, totals, True
        self.unruled = _unruled(samples)
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


def _unruled(samples: Samples) -> list[dict[str, str | int | None]]:
    """Return the members that look sensitive and that no rule seals, the most frequent first."""
    found = [
        (int(values[0]), labels) for name, labels, values in samples if name == table.SENSITIVE.name
    ]
    found.sort(reverse=True)
    return [
        {**{key: text or None for key, text in zip(table.SENSITIVE.labels, labels, strict=True)},
         "messages": number}
        for number, labels in found[:MOST_UNRULED]
    ]  # fmt: skip


_COUNTED: Final = frozenset({table.WOULD_REFUSE.name, table.MESSAGES.name, table.VALUES.name})


def to_json(stages: Mapping[Key, RuleStage]) -> dict[str, Any]:
    """Return the stages for a file."""
    return {
        "version": VERSION,
        "rules": [
            {
                "listener": listener,
                "rule": rule,
                "mode": stage.mode,
                "fingerprint": stage.rule,
                "since": stage.since,
                "seen": stage.seen,
                "days": [
                    [day, one.messages, one.refused, one.plain, _refusals(one)]
                    for day, one in sorted(stage.days.items())
                ],
            }
            for (listener, rule), stage in stages.items()
        ],
    }


def _refusals(counts: Counts) -> list[list[str | int]]:
    return [[*refusal, number] for refusal, number in counts.would_refuse.items()]


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
    days = {
        int(day): Counts(
            int(messages),
            int(refused),
            int(plain),
            {(str(a), str(b), str(c)): int(number) for a, b, c, number in refusals},
        )
        for day, messages, refused, plain, refusals in one["days"]
    }
    stage = RuleStage(mode, str(one["fingerprint"]), float(one["since"]), bool(one["seen"]), days)
    return (str(one["listener"]), str(one["rule"])), stage
