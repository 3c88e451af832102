"""`sealyard status`: what a running Sealyard does, and what its counts say."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import click

from ..policy import MOST_COUNTED, STEP_DAYS, ExitCode
from ..support import console, figures, leaks, steps
from ..support.admin_client import AdminListener, ca_option, token_file_option
from ..support.configuration import config_option
from ..support.follow import follow


@click.command()
@config_option
@token_file_option
@ca_option
@click.option("--follow", "following", is_flag=True, help="Show messages as they pass.")
@click.option(
    "--steps", "stepping", is_flag=True, help="Tell which rules are safe to take one step up."
)
@click.option(
    "--leaks", "leaking", is_flag=True, help="Tell what no rule seals, and what rules would do."
)
@click.option(
    "--count", type=console.COUNT, metavar="N", help="With --follow, exit after N messages."
)
@click.option(
    "--days",
    type=click.IntRange(0, MOST_COUNTED),
    metavar="N",
    help=f"With --steps, judge by the last N days, {STEP_DAYS} by default; 0: by all in the mode.",
)
@console.as_json
def status(  # noqa: PLR0913 - each is one option
    *,
    config: Path | None,
    token_file: Path | None,
    ca: Path | None,
    following: bool,
    stepping: bool,
    leaking: bool,
    count: int | None,
    days: int | None,
    as_json: bool,
) -> None:
    """Show what a running Sealyard does: health, configuration, keys, and counts of each rule.

    \b
    sealyard status
    sealyard status --steps --days 14

    --follow shows messages as they pass, by kind and size, never by value, if `admin.tap` is true.
    Names are shown only if they are in the rules. Above twenty messages per second, some are shown
    and the rest is counted. Press Ctrl-C to stop.

    --steps tells for each rule whether one step up, from `observe` over `permissive` to `enforce`,
    is safe, or why not: its mode and since when, what it has met, which messages the next mode
    would refuse, and from which clients. Exits with 1 if a step is not safe.

    --leaks tells what rules in mode `observe` would have done since the start, which messages no
    rule covers, by the shape of their path and the media types of their bodies, and which members
    look sensitive though no rule seals them (`find_sensitive`). Exits with 1 if there is such a
    message or member, or if a message would have been refused.

    Calls the admin listener of the configuration.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    _one_mode(follow=following, steps=stepping, leaks=leaking)
    if count is not None and not following:
        raise click.UsageError("--count is for --follow")
    if days is not None and not stepping:
        raise click.UsageError("--days is for --steps")
    admin = AdminListener(config, token_file, ca)
    if following:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(follow(admin, as_json=as_json, count=count))
    elif stepping:
        counted = admin.asked("/v1/status/steps")
        report = steps.judged(counted, STEP_DAYS if days is None else days)
        console.answer(report, steps.lines(report), as_json=as_json)
        if any(rule["safe"] is False for rule in report["rules"]):
            sys.exit(ExitCode.NEGATIVE)
    elif leaking:
        counted = admin.asked("/v1/status/leaks")
        console.answer(counted, leaks.lines(counted), as_json=as_json)
        if leaks.any_of(counted):
            sys.exit(ExitCode.NEGATIVE)
    else:
        told = admin.asked("/v1/status")
        console.answer(told, figures.lines(told), as_json=as_json)


def _one_mode(**modes: bool) -> None:
    given = [f"--{name}" for name, wanted in modes.items() if wanted]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other: give one")
