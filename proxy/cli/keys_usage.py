"""`sealyard keys usage`: what still depends on each KEK."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import click

from ..config.settings import KeySettings
from ..keys.keyring.keyring import Keyring
from ..keys.sessions import kek_usage
from ..keys.sessions.kek_usage import Use, Uses
from ..keys.stores import StoreFailed
from ..keys.stores.records import RecordRefused
from . import base, times
from .at_store import at_store
from .keyring_changes import facts
from .keyring_place import Place, keyring_options

_NO_STORE = (
    "keys.store is memory, so each process counts for itself: see sealyard_kek_opened_total and"
    " sealyard_kek_last_opened_timestamp_seconds in its /metrics"
)


@click.command()
@base.as_json
@keyring_options
def usage(place: Place, *, as_json: bool) -> None:
    """Tell how often each KEK was used and when last, over all processes of the shared store.

    \b
    sealyard keys usage
    sealyard keys usage --json

    It counts what was read, not what is stored: a token that nobody has asked for still needs its
    KEK. Ends with 1 where the store is not shared.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    keys = place.keys()
    if keys.store == "memory":
        raise base.Failure(_NO_STORE, base.NEGATIVE)
    keyring, uses = asyncio.run(_read(place, keys))
    if as_json:
        told = {"since": uses.since, "keks": list(_rows(keyring, uses))}
        base.print_json(facts(keyring) | told)
        return
    if not uses.of:
        base.say("nothing has been counted yet: processes tell the store every 10 seconds")
    else:
        base.say(f"counted since {times.utc(uses.since)}")
    click.echo(f"{'KEK':<32} {'state':<8} {'opened':>10} {'last opened':<20} {'sessions':>8} last")
    for row in _rows(keyring, uses):
        opened, began = _at(row["last_opened"]), _at(row["last_session"])
        click.echo(
            f"{row['id']:<32} {row['state']:<8} {row['opened']:>10} {opened:<20}"
            f" {row['sessions']:>8} {began}"
        )


async def _read(place: Place, keys: KeySettings) -> tuple[Keyring, Uses]:
    async with at_store(place, keys) as at:
        keyring = at.sessions.keyring
        try:
            uses = await kek_usage.read(at.sessions.store, keyring.record_key)
        except StoreFailed as failed:
            raise base.Failure(f"the store does not answer: {failed}", base.ENVIRONMENT) from None
        except RecordRefused as refused:
            reason = f"the store's note is not to be trusted or of another version: {refused}"
            raise base.Failure(reason, base.ENVIRONMENT) from None
        return keyring, uses or Uses(0, {})


def _rows(keyring: Keyring, uses: Uses) -> list[dict[str, Any]]:
    return [
        {"id": kek.id, "number": kek.number, "state": kek.state}
        | asdict(uses.of.get(kek.number, Use()))
        for kek in keyring.keks
    ]


def _at(seconds: int) -> str:
    return times.utc(seconds) if seconds else "never"
