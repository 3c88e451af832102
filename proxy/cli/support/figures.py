"""The figures of a running Sealyard, for a person: health, configuration, keys, rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .console import utc

Row = Mapping[str, Any]
"""The answer of `GET /v1/status`, or a part of it."""

_ENDS: Final = ("forwarded", "refused", "failed", "aborted")
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "messages": _ENDS,
    "sealed": ("sealed",),
    "opened": ("opened",),
    "withheld": ("masked", "token", "absent"),
    "plain": ("plain", "kept", "in_markup"),
    "refused": ("refused",),
    "failed": ("failed",),
}
"""The columns of the rules, each with the counts that it adds up."""
_WIDTH: Final = 9


def lines(status: Row) -> Iterator[str]:
    """Yield the status, for a person."""
    yield f"Sealyard {status['version']}: {_state(status)}, up {_span(status['uptime_s'])}"
    for check in status["checks"]:
        mark = "-" if not check["ok"] else "!" if check["degraded"] else "+"
        yield f"  [{mark}] {check['name']}{': ' if check['detail'] else ''}{check['detail']}"
    yield from _configuration(status)
    yield from _keys(status["keys"])
    yield ""
    yield from _rules(status["rules"])


def _state(status: Row) -> str:
    if status.get("draining"):
        return "draining"
    if not status["ready"]:
        return "not ready"
    degraded = any(check["degraded"] for check in status["checks"])
    return "ready, degraded" if degraded else "ready"


def _configuration(status: Row) -> Iterator[str]:
    read, last = status["configuration"], status["last_reload"]
    yield f"configuration  {read['file']}, loaded {utc(int(read['loaded_at']))}"
    yield f"  sha256 {read['sha256']}, {read['rules']} rules, {read['warnings']} warnings"
    if last is not None and not last["accepted"]:
        yield f"  the last reload was refused ({last['code']}): {'; '.join(last['problems'])}"
    for one in status["listeners"]:
        yield f"listener       {one['name']}, {one['listen']} -> {one['upstream']}"


def _keys(keys: Row) -> Iterator[str]:
    used = [f"keyring {one['id']}, generation {one['generation']}" for one in keys["keyrings"]]
    parts = [f"{keys['mode']} sessions for {_span(keys['ttl_s'])}", f"store {keys['store']}"]
    sealing = f"{keys['sealing']} sessions seal"
    yield f"keys           {', '.join([*parts, *used, *keys['keyring_states'], sealing])}"
    for one in keys["keks"]:
        last = f", last {utc(int(one['last_opened']))}" if one["last_opened"] else ""
        made = f"created {utc(int(one['created']))}"
        yield f"  KEK {one['kek']}, {one['state']}, {made}, {one['opened']} values opened{last}"


def _rules(rules: list[Row]) -> Iterator[str]:
    names = [f"{row['listener']} / {row['rule'] or '(no rule)'}" for row in rules]
    width = max(map(len, (*names, "rule")))
    heads = "".join(title.rjust(_WIDTH) for title in _COLUMNS)
    yield f"{'rule'.ljust(width)}{heads}  last match"
    for name, row in zip(names, rules, strict=True):
        numbers = [sum(row["counts"].get(one, 0) for one in each) for each in _COLUMNS.values()]
        last = utc(int(row["last_matched"])) if row["last_matched"] else "-"
        yield f"{name.ljust(width)}{''.join(str(one).rjust(_WIDTH) for one in numbers)}  {last}"
        yield from (f"  {one}" for one in row["does"] if one.startswith("makes equal tokens"))
        if searched := row["counts"].get("searched"):
            found, filtered = (row["counts"].get(one, 0) for one in ("found", "filtered"))
            yield f"  searched {searched} times: {found} found, {filtered} filtered"


def _span(seconds: float) -> str:
    """Return a time as its two largest units: `3 h 20 min`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    parts = [f"{number} {unit}" for number, unit in units if number]
    return " ".join(parts[:2]) or "0 s"
