"""`sealyard ladder`: which rules are safe to take one step up, and why others are not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from ..support import console
from ..support.admin_client import AdminListener, ca_option, token_file_option
from ..support.configuration import config_option

_DAYS: Final = 7
_MOST_DAYS: Final = 90
_DAY: Final = 86_400


@click.command()
@config_option
@token_file_option
@ca_option
@click.option(
    "--days",
    type=click.IntRange(0, _MOST_DAYS),
    default=_DAYS,
    show_default=True,
    help="Count so many days, and ask for as many in the mode; 0: since the mode began.",
)
@console.as_json
def ladder(
    *, config: Path | None, token_file: Path | None, ca: Path | None, days: int, as_json: bool
) -> None:
    """Report for each rule whether one step up is safe, or why not.

    \b
    sealyard ladder
    sealyard ladder --days 14

    The steps are `observe`, `permissive` and `enforce`. For each rule: its mode and since when,
    what it has met, which messages the next mode would refuse, and from which clients. Calls the
    admin listener of the configuration. Exits with 1 if a rule is not safe to step up.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    report = asyncio.run(_report(AdminListener(config, token_file, ca), days))
    click.echo(json.dumps(report) if as_json else "\n".join(_lines(report)))
    if any(rule["safe"] is False for rule in report["rules"]):
        raise click.exceptions.Exit(console.NEGATIVE)


async def _report(admin: AdminListener, days: int) -> dict[str, Any]:
    async with admin.get(f"/v1/ladder?days={days}") as answer:
        report: dict[str, Any] = await answer.json()
    return report


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    for rule in report["rules"]:
        yield f"{rule['listener']} / {rule['rule']}: {_mode(rule, report['at'])}"
        yield f"  met:   {_met(rule)}"
        for one in rule["would_refuse"]:
            yield f"         {_refusal(one)}"
        if rule["next"] is not None:
            verdict = "yes" if rule["safe"] else f"no, because {' and '.join(rule['because'])}"
            yield f"  safe to {rule['next']}: {verdict}"
    if report["unruled"]:
        yield "Not sealed by any rule, and looks sensitive:"
    for one in report["unruled"] or ():
        where = one["rule"] or f"{one['method']} {one['shape']}"
        place = f"{one['listener']} / {where}, {one['direction']}"
        yield f"  {one['messages']:>8}  {one['member']}  ({one['kind']}; {place})"
    kept = "" if report["kept"] else ", the start of the process (see `admin.ladder_file`)"
    yield f"Counted since {_day(report['counted_since'])}{kept}."


def _mode(rule: Mapping[str, Any], at: int) -> str:
    until = f" until {_day(rule['until'])}" if rule["mode"] == "permissive" else ""
    ended = " (permissive has ended)" if rule["mode"] == "enforce" and rule["until"] else ""
    days = (at - rule["since"]) / _DAY
    least = "" if rule["seen"] else "at least "
    return f"{rule['mode']}{until}{ended}, for {least}{days:.1f} days"


def _met(rule: Mapping[str, Any]) -> str:
    met = f"{rule['messages']} messages, {rule['refused']} refused"
    return f"{met}, {rule['plain']} plain values" if rule["plain"] else met


def _refusal(one: Mapping[str, Any]) -> str:
    client = f" from {one['client_name']}" if one["client_name"] else ""
    beside = " (beside the rules)" if one["rule"] is None else ""
    return f"{one['messages']} would be refused: {one['direction']} {one['reason']}{client}{beside}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
