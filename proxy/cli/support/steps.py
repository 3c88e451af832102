"""The verdict on each rule: whether one step up is safe, and why not.

The running process counts; what its counts mean is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..policy import SHOWN_REFUSALS

_DAY: Final = 86_400

Row = Mapping[str, Any]
"""A rule of `GET /v1/status/steps`, with what it has met; or a rule with its verdict."""


def judged(counted: Row, days: int) -> dict[str, Any]:
    """Return what the process has counted, with a verdict on each rule by the last `days`.

    `counted` is the answer of `GET /v1/status/steps`. 0 days: since each rule is in its mode.
    """
    at: int = counted["at"]
    first = at - days * _DAY if days else 0
    rows = [_since(first, row) for row in counted["rules"]]
    beside = {row["listener"]: row["would_refuse"] for row in rows if not row["rule"]}
    rules = []
    for row in rows:
        if row["rule"]:
            unnamed = beside.get(row["listener"], ()) if row["mode"] == "observe" else ()
            because = list(_because(row, unnamed))
            if (passed := (at - row["since"]) / _DAY) < days:
                because.append(f"{passed:.1f} of {days} days are over")
            if counted["overflown"]:
                because.append("there are more kinds of refusals than can be counted")
            rules.append(_rule(row, unnamed, because))
    head = {name: counted[name] for name in ("at", "counted_since", "kept")}
    return {"days": days, **head, "rules": rules}


def _since(first: int, row: Row) -> Row:
    """Return a row without the refusals of which the last was earlier."""
    refusals = [one for one in row["would_refuse"] if one["last"] >= first]
    return {**row, "would_refuse": refusals, "came": row["messages"] and row["last"] >= first}


def next_mode(row: Row) -> str | None:
    """Return the mode one step up; a rule that opens nothing needs no `permissive`."""
    if row["mode"] == "enforce":
        return None
    return "permissive" if row["mode"] == "observe" and row["opens"] else "enforce"


def _rule(row: Row, unnamed: Iterable[Row], because: list[str]) -> dict[str, Any]:
    above = next_mode(row)
    refusals = [*_sorted(row["would_refuse"], row["rule"]), *_sorted(unnamed, None)]
    return {
        **{name: row[name] for name in _SHOWN},
        "next": above,
        "would_refuse": refusals[:SHOWN_REFUSALS],
        "unlisted": sorted(row["unlisted"], key=lambda one: -one["messages"])[:SHOWN_REFUSALS],
        "safe": None if above is None else not because,
        "because": [] if above is None else because,
    }


_SHOWN: Final = (
    *("listener", "rule", "mode", "until", "since", "seen", "last"),
    *("messages", "refused", "plain"),
)


def _because(row: Row, unnamed: Iterable[Row]) -> Iterator[str]:
    """Yield the reasons against a step up that lie in what came."""
    number = _sum(row["would_refuse"])
    if number:
        messages = max(row["messages"], number)  # a WebSocket is counted at its end
        yield f"{number} of {messages} messages would be refused"
    if beside := _sum(unnamed):
        yield f"{beside} requests beside the rules would be refused for their path or method"
    if not (number or row["came"]):
        yield "no message came"


def _sum(refusals: Iterable[Row]) -> int:
    return sum(one["messages"] for one in refusals)


def _sorted(refusals: Iterable[Row], rule: str | None) -> list[dict[str, Any]]:
    found = sorted(refusals, key=lambda one: -one["messages"])
    return [{"rule": rule, **one} for one in found]


def lines(report: Row) -> Iterator[str]:
    """Yield a report with its verdicts, for a person."""
    for rule in report["rules"]:
        yield f"{rule['listener']} / {rule['rule']}: {_mode(rule, report['at'])}"
        yield f"  met:   {_met(rule)}"
        for one in rule["would_refuse"]:
            yield f"         {_refusal(one)}"
        for one in rule["unlisted"]:
            yield f"         {_unlisted(one)}"
        if rule["next"] is not None:
            verdict = "yes" if rule["safe"] else f"no, because {' and '.join(rule['because'])}"
            yield f"  safe to {rule['next']}: {verdict}"
    kept = "" if report["kept"] else ", the start of the process (see `admin.ladder_file`)"
    yield f"Counted since {_day(report['counted_since'])}{kept}."


def _mode(rule: Row, at: int) -> str:
    until = f" until {_day(rule['until'])}" if rule["mode"] == "permissive" else ""
    ended = " (permissive has ended)" if rule["mode"] == "enforce" and rule["until"] else ""
    days = (at - rule["since"]) / _DAY
    least = "" if rule["seen"] else "at least "
    return f"{rule['mode']}{until}{ended}, for {least}{days:.1f} days"


def _met(rule: Row) -> str:
    met = f"{rule['messages']} messages, {rule['refused']} refused"
    return f"{met}, {rule['plain']} plain values" if rule["plain"] else met


def _refusal(one: Row) -> str:
    client = f" from {one['client_name']}" if one["client_name"] else ""
    beside = " (beside the rules)" if one["rule"] is None else ""
    return f"{one['messages']} would be refused: {one['direction']} {one['reason']}{client}{beside}"


_CLIENTS: Final = ("one client", "two clients", "three clients or more")


def _unlisted(one: Row) -> str:
    clients = _CLIENTS[min(len(one["clients"]), len(_CLIENTS)) - 1]
    looks = ", looks sensitive" if one["sensitive"] else ""
    place = one["selector"] or one["place"]
    return f"{one['messages']} had a name that is not listed: {place}, of {clients}{looks}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
