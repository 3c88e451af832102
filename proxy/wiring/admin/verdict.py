"""The verdict of the ladder: whether a rule may go one step up, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ...config.settings import ListenerSettings, Settings
from ...core.rules.model import Rule
from .ladder_days import DAY, Counts, Ledger, Mode, RuleStage, mode_of

MOST_SHOWN: Final = 20
"""So many kinds of refusals are shown of one rule, those of most messages first."""


def ladder(settings: Settings, ledger: Ledger, now: float, days: int) -> list[dict[str, Any]]:
    """Return for each rule its mode, what was counted in the last `days`, and its verdict.

    `days` 0: since the rule entered its mode, however short that is.
    """
    return [
        _rule(listener, rule, ledger, now, days)
        for listener in settings.listeners
        for rule in listener.rules
    ]


def next_mode(rule: Rule, mode: Mode) -> Mode | None:
    """Return the mode one step up; a rule that opens nothing needs no `permissive`."""
    if mode == "enforce":
        return None
    opens = any(block.decrypt for block in rule.blocks)
    return "permissive" if mode == "observe" and opens else "enforce"


def _rule(
    listener: ListenerSettings, rule: Rule, ledger: Ledger, now: float, days: int
) -> dict[str, Any]:
    mode = mode_of(rule, now)
    above = next_mode(rule, mode)
    stage = ledger.stages.get((listener.name, rule.name), RuleStage(mode, "", now, seen=False))
    counts = stage.within(now, days)
    unnamed = Counts()
    if mode == "observe" and (beside := ledger.stages.get((listener.name, ""))) is not None:
        unnamed = beside.within(now, days)
    because = [] if above is None else list(_because(stage, counts, unnamed, now, days))
    if above is not None and ledger.overflown:
        because.append("there are more kinds of refusals than can be counted")
    ends = [one.permissive_until for one in rule.blocks if one.permissive_until is not None]
    return {
        "listener": listener.name,
        "rule": rule.name,
        "mode": mode,
        "until": max(ends, default=None),
        "since": int(stage.since),
        "seen": stage.seen,
        "messages": counts.messages,
        "refused": counts.refused,
        "plain": counts.plain,
        "next": above,
        "would_refuse": [*_refusals(counts, rule.name), *_refusals(unnamed, None)][:MOST_SHOWN],
        "safe": None if above is None else not because,
        "because": because,
    }


def _because(
    stage: RuleStage, counts: Counts, unnamed: Counts, now: float, days: int
) -> Iterator[str]:
    """Yield the reasons against a step up."""
    number = sum(counts.would_refuse.values())
    messages = max(counts.messages, number)  # a WebSocket is counted at its end
    if number:
        yield f"{number} of {messages} messages would be refused"
    if number := sum(unnamed.would_refuse.values()):
        yield f"{number} requests beside the rules would be refused for their path or method"
    if not messages:
        yield "no message came"
    passed = (now - stage.since) / DAY
    if passed < days:
        yield f"{passed:.1f} of {days} days are over"


def _refusals(counts: Counts, rule: str | None) -> list[dict[str, Any]]:
    found = sorted(counts.would_refuse.items(), key=lambda one: -one[1])
    return [
        {
            "rule": rule,
            "direction": direction,
            "reason": reason,
            "client_name": client_name or None,
            "messages": number,
        }
        for (direction, reason, client_name), number in found
    ]
