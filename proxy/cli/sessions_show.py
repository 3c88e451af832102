"""`sealyard sessions show`: the sessions that a running Sealyard holds for one scope."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from ..core.crypto.joined_names import Name, to_json
from . import base, times
from .at_admin import AdminListener, ca_option, token_file_option
from .keyring_place import context_options


@click.command()
@context_options
@token_file_option
@ca_option
@base.as_json
@base.config_option
def show(  # noqa: PLR0913 - each is one option
    *,
    config: Path | None,
    tenant: Name | None,
    conversation: Name | None,
    token_file: Path | None,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Show the sessions with which the running Sealyard seals for one scope, and its revocation.

    \b
    sealyard sessions show --tenant clinic --conversation c1
    sealyard sessions show --tenant clinic --conversation c1 --json

    Asks the admin listener of the configuration: sessions live in its processes. Those of
    end-to-end rules have key packages: see `sealyard sessions package`. Ends with 1 where there is
    none.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    named = {"tenant": tenant, "conversation": conversation}
    parts = dict(_told_as(name, value) for name, value in named.items() if value is not None)
    if not parts:
        raise click.UsageError("name --tenant, --conversation or both, as the rules bind them")
    told = asyncio.run(_asked(AdminListener(config, token_file, ca), urlencode(parts)))
    if as_json:
        base.print_json(told)
    else:
        click.echo("\n".join(_lines(told)))
    raise click.exceptions.Exit(base.OK if told["sessions"] else base.NEGATIVE)


def _told_as(part: str, name: Name) -> tuple[str, str]:
    """Return the parameter that tells a name: a text as it is, a joined one as JSON."""
    return (part, name) if isinstance(name, str) else (f"{part}_json", json.dumps(to_json(name)))


async def _asked(admin: AdminListener, query: str) -> dict[str, Any]:
    async with admin.get(f"/v1/sessions?{query}") as answer:
        told: dict[str, Any] = await answer.json()
        return told


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"scope    {told['scope']}"
    if told["not_before"]:
        yield f"revoked  what began before {times.utc(told['not_before'])}"
    for one in told["sessions"]:
        under = f"KEK {one['kek']}" if one.get("kek") else "ephemeral"
        began, ends = times.utc(one["began"]), times.utc(one["soft_end"])
        yield f"session  {one['sid']}  {under}  {began} to {ends}  {one['sealed']} sealed"
    if not told["sessions"]:
        yield "no session seals for it"
