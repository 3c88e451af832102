"""`sealyard keys rotate-records`: another key for what authenticates records of the store."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import click

from ...config.settings import KeySettings
from ...core.crypto.derivation import audit_key
from ...core.crypto.secret import RecordKey
from ...core.errors import KeyringError
from ...keys.audit import head_record
from ...keys.keyring.file import open_keyring
from ...keys.keyring.kek import Revocation, latest
from ...keys.keyring.keyring import Keyring
from ...keys.operations import record_rotation
from ...keys.operations.record_rotation import Resigned, Signers
from ...keys.participants.participant import ParticipantKey
from ...keys.stores import StoreFailed
from ..support import console
from ..support.console import FILE, ask, yes_option
from ..support.keyring_changes import (
    expect_option,
    fence,
    opened,
    require_state,
    tell_reach,
    update,
)
from ..support.keyring_options import KeyringPlace, keyring_options

Mode = Literal["scheduled", "compromised"]


@click.command("rotate-records")
@click.option("--scheduled", "mode", flag_value="scheduled", help="In three runs; nothing is lost.")
@click.option(
    "--compromised",
    "mode",
    flag_value="compromised",
    help="At once: the key of now may be in the hands of others, and counts for nothing any more.",
)
@click.option(
    "--fingerprints",
    type=FILE,
    help="With --compromised: take over the keys of participants whose fingerprints (kid) are in"
    " this file, one a line.",
)
@click.option("--anyway", is_flag=True, help="Go on even if not every process has the last run.")
@expect_option
@yes_option
@keyring_options
def rotate_records(  # noqa: PLR0913 - its options
    place: KeyringPlace,
    mode: Mode | None,
    fingerprints: Path | None,
    expect: int | None,
    *,
    anyway: bool,
    yes: bool,
) -> None:
    """Rotate the key that authenticates records of the store, receipts and the audit log.

    \b
    sealyard keys rotate-records --scheduled
    sealyard keys rotate-records --compromised --fingerprints confirmed.txt

    By schedule, run it three times, and distribute the keyring after each: the first run adds a key
    that is next, the second signs with it while the former one still verifies, for a day at most,
    and the third signs anew what the store holds, and ends the former one. Each waits for the run
    before it to be everywhere.

    Where the key has leaked, nothing that it signed proves anything. One run makes another, takes
    the revocations of the store into the keyring, and takes over the keys of participants that
    people have confirmed: without --fingerprints, it lists them. Other records count no more, and
    the audit log begins anew after a line that names the last one of before.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if mode is None:
        raise click.UsageError("give --scheduled or --compromised")
    if mode == "compromised":
        _compromised(place, fingerprints, expect, yes=yes)
    elif fingerprints is not None:
        raise click.UsageError("--fingerprints goes with --compromised")
    else:
        _scheduled(place, expect, anyway=anyway)


def _scheduled(place: KeyringPlace, expect: int | None, *, anyway: bool) -> None:
    now, keyring = int(time.time()), open_keyring(place.path, place.roots)
    under_way = keyring.record_state("next") or keyring.record_state("former")
    if under_way is not None and not anyway:
        require_state(place, expect, "the last state of the record keys")
    if under_way is None:
        begin = partial(Keyring.begin_records, now=now, random=os.urandom)
        changed = update(place, "keys.records-next", begin)
        said = "a record key is next; distribute the keyring, and run this command again"
    elif under_way.state == "next":
        changed = update(place, "keys.rotate-records", partial(Keyring.turn_records, now=now))
        said = "records are signed with the new key; distribute, and run this command again"
    else:
        keys = place.shared()
        if keys is not None:
            _tell(asyncio.run(_resigned(keys, record_rotation.signers(keyring))))
        changed = update(place, "keys.records-end", partial(Keyring.end_records, now=now))
        said = "the former record key verifies no record any more; distribute the keyring"
    console.say(said)
    tell_reach(fence(place, changed, expect), "know of it", expect=expect)


def _compromised(
    place: KeyringPlace, fingerprints: Path | None, expect: int | None, *, yes: bool
) -> None:
    now, keyring = int(time.time()), open_keyring(place.path, place.roots)
    keys = place.shared()
    dumped = {} if keys is None else asyncio.run(_dumped(keys))
    old = record_rotation.leaked(keyring)
    people = record_rotation.fingerprints(dumped, old)
    if people and fingerprints is None:
        for name, listed in people.items():
            for key in listed:
                click.echo(f"{key.public.kid}  {key.public.use}  {key.device}  {name}")
        raise console.Failure(
            "have each participant confirm the fingerprints above by a way that no store is part"
            " of, write the confirmed ones into a file, and give --fingerprints FILE"
        )
    confirmed = frozenset(() if fingerprints is None else fingerprints.read_text().split())
    revoked = record_rotation.revocations(dumped, old)
    if not yes:
        ask(*_consequences(people, confirmed, len(revoked)))
    head = head_record.load_beside(place.audit.path, audit_key(old))

    def change(before: Keyring) -> Keyring:
        # Again: others may have revoked while somebody read the question.
        dumped = {} if keys is None else asyncio.run(_dumped(keys))
        revoked = record_rotation.revocations(dumped, old)
        with_all = latest(before.revocations, tuple(Revocation(*one) for one in revoked.items()))
        whole = replace(before, revocations=with_all)
        return whole.leak_records(now=now, random=os.urandom)

    changed = update(place, "keys.rotate-records", change, mode="compromised")
    place.write_down(changed, "audit.continues", head="none" if head is None else head.anchor)
    if keys is not None:
        new = RecordKey(changed.record_key.reveal())
        _tell(asyncio.run(_resigned(keys, Signers(old, new, changed, confirmed))))
    console.say("the former record key counts for nothing any more; distribute the keyring now")
    if keys is not None:
        console.say("until a process has it, that one believes what the former key has signed")
    tell_reach(fence(place, changed, expect), "know of it", expect=expect)


def _consequences(
    people: dict[str, list[ParticipantKey]], confirmed: frozenset[str], revoked: int
) -> Iterator[str]:
    kids = [key.public.kid for listed in people.values() for key in listed]
    yield f"{sum(kid in confirmed for kid in kids)} of {len(kids)} keys of participants are kept"
    yield f"the keyring gets {revoked} revocations of the store"
    yield (
        "key packages of other signers never open again; receipts of before hold only where an"
        " anchor from before the leak covers their line; plant poison tokens anew"
    )
    yield "whoever has read the store has private keys that have no passphrase: make new ones"


async def _dumped(keys: KeySettings) -> dict[str, bytes]:
    try:
        async with opened(keys) as store:
            return await store.dump()
    except StoreFailed as failed:
        raise KeyringError(f"the store does not answer: {failed}") from None


async def _resigned(keys: KeySettings, signers: Signers) -> Resigned:
    try:
        async with opened(keys) as store:
            return await record_rotation.resign(store, signers)
    except StoreFailed as failed:
        raise KeyringError(f"the store does not answer: {failed}; run it again") from None


def _tell(found: Resigned) -> None:
    done, left = (
        ", ".join(f"{count} {kind}" for kind, count in sorted(one.items())) or "none"
        for one in (found.done, found.left)
    )
    console.say(f"records signed anew: {done}; left: {left}")
