"""Going back to an earlier release after `keys upgrade`, and what it refuses to read."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.upgrade.earlier import NOW, Code
from tests.upgrade.fleet import CONFIGURATION, Fleet, Sidecar, a_fleet, sent

BACKUP = {"SEALYARD_BACKUP_PASSPHRASE": "a phrase for backups 2026"}
NOT_A_JWE = "the keyring is not a JWE in compact form"


async def test_back_from_an_upgraded_keyring_joined_names_alone_do_not_open(
    old: Code, store: str, tmp_path: Path
) -> None:
    """The steps of docs/how-to/upgrade.md: back with all KEKs, and forwards again."""
    async with a_fleet(tmp_path, store, "durable", old, ("one", "two")) as fleet:
        await loaded_with(fleet, old)
        await roll(fleet, NOW)
        await loaded_with(fleet, NOW)
        keys(tmp_path, "export", "before.jwe")
        before = list(fleet.acknowledged)
        await upgrade(fleet)
        await promoted_anew(fleet)
        await loaded_with(fleet, NOW)
        assert not await fleet.lost(fleet.acknowledged)
        since = [one for one in fleet.acknowledged if one not in before]

        code_that_fails(old, tmp_path)
        keys(tmp_path, "export", "after.jwe")
        primary = primary_of(tmp_path)
        aside = ("--keyring", "back.jwe", "--root-file", "root.key")
        keys(tmp_path, "import", "before.jwe", "--yes", *aside)
        keys(tmp_path, "import", "after.jwe", "--merge", "--yes", *aside)
        keys(tmp_path, "promote", primary, "--anyway", *aside)
        (tmp_path / "back.jwe").rename(tmp_path / "keyring.jwe")
        await fleet.loaded()
        assert not await fleet.lost(fleet.acknowledged)

        await roll(fleet, old)
        joined = [one for one in since if one.path.startswith("/pairs/")]
        lost = await fleet.lost(fleet.acknowledged)
        assert len(lost) == 2 * len(joined) > 0
        assert all(re.search(r"/pairs/\S+: 502 ", one) for one in lost)
        await loaded_with(fleet, old)
        await roll(fleet, NOW)
        assert not await fleet.lost(fleet.acknowledged)
        await upgrade(fleet)
        await loaded_with(fleet, NOW)
        assert not await fleet.lost(fleet.acknowledged)
    assert not fleet.leaks()


async def test_what_a_process_left_behind_sealed_for_joined_names_is_brought_back(
    old: Code, store: str, tmp_path: Path
) -> None:
    """It had not got the upgraded keyring by the time from which joined names differ."""
    async with a_fleet(tmp_path, store, "durable", old, ("one", "two")) as fleet:
        behind, ahead = fleet.sidecars
        await fleet.run(ahead, NOW)
        keys(tmp_path, "export", "before.jwe")
        await upgrade(fleet, behind)
        late = await sent(fleet, "/pairs/alice/bob/late", 0)
        scalar = await sent(fleet, "/rooms/late/1", 0)
        new = await sent(fleet, "/pairs/alice/bob/new", 1)
        assert not await fleet.lost([late, scalar], behind)
        assert not await fleet.lost([scalar, new], ahead)
        assert len(await fleet.lost([late], ahead)) == 1

        await fleet.run(behind, NOW)
        assert len(await fleet.lost([late])) == 2
        keys(tmp_path, "export", "after.jwe")
        aside = ("--keyring", "later.jwe", "--root-file", "root.key")
        keys(tmp_path, "import", "before.jwe", "--yes", *aside)
        turning = upgraded(tmp_path, *aside)
        keys(tmp_path, "import", "after.jwe", "--merge", "--yes", *aside)
        (tmp_path / "later.jwe").rename(tmp_path / "keyring.jwe")
        await fleet.loaded()
        await asyncio.sleep(max(turning + 1 - time.time(), 0))
        again = await sent(fleet, "/pairs/alice/bob/again", 0)
        assert not await fleet.lost([late, scalar, new, again])


def keys(folder: Path, *words: str) -> str:
    """Run a command of this version that changes the keyring, or copies it."""
    config = () if "--keyring" in words else ("--config", "one.yaml")
    return NOW.run(folder, "keys", *words, *config, variables=BACKUP)


async def roll(fleet: Fleet, code: Code) -> None:
    """Replace one process after the other."""
    for sidecar in fleet.sidecars:
        await fleet.run(sidecar, code)


async def loaded_with(fleet: Fleet, code: Code) -> None:
    """Have some messages of each kind acknowledged."""
    before = len(fleet.acknowledged)
    for _ in range(20):
        for sidecar in fleet.sidecars:
            await fleet.send(sidecar, fleet.a_message())
    assert len(fleet.acknowledged) >= before + 36, (code.name, fleet.refused)


async def upgrade(fleet: Fleet, *behind: Sidecar) -> None:
    """Upgrade the keyring, and wait until joined names have changed everywhere else."""
    turning = upgraded(fleet.folder)
    await fleet.loaded(*behind)
    await asyncio.sleep(max(turning + 1 - time.time(), 0))


def upgraded(folder: Path, *place: str) -> int:
    """Upgrade a keyring; return the time from which joined names differ, soon.

    On a machine that is busy, that time is over before the command has read it: then it refuses,
    and gets more time.
    """
    for seconds in (4, 8, 16):
        turning = int(time.time()) + seconds
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(turning))
        with suppress(AssertionError):
            keys(folder, "upgrade", "--joined-names", stamp, *place)
            return turning
    raise AssertionError(keys(folder, "list", *place))


async def promoted_anew(fleet: Fleet) -> None:
    """Seal under a KEK that was made since the upgrade, with a random number."""
    added = keys(fleet.folder, "add").split()[0]
    await fleet.loaded()
    await fleet.promote(added)


def primary_of(folder: Path) -> str:
    """Return the id of the KEK that seals."""
    found = re.search(r"^(\S+) +\d+ primary ", keys(folder, "list"), re.MULTILINE)
    assert found is not None
    return found[1]


def code_that_fails(old: Code, folder: Path) -> None:
    """See what the earlier release says of an upgraded keyring, and that it changes nothing."""
    kept = (folder / "keyring.jwe").read_bytes()
    assert NOT_A_JWE in old.run(folder, "keys", "list", "--config", "one.yaml", status=3)
    assert NOT_A_JWE in old.run(folder, "serve", "--config", "one.yaml", status=3)
    assert NOT_A_JWE in old.run(folder, "keys", "add", "--config", "one.yaml", status=3)
    assert (folder / "keyring.jwe").read_bytes() == kept


async def test_an_upgraded_keyring_that_a_running_old_process_meets_is_not_taken(
    old: Code, tmp_path: Path
) -> None:
    async with a_fleet(
        tmp_path, f"sqlite:{tmp_path / 'keys.db'}", "durable", old, ("one",)
    ) as fleet:
        (one,) = fleet.sidecars
        message = fleet.a_message()
        assert await fleet.send(one, message)
        keys(tmp_path, "upgrade")
        refused = await fleet.logged(one, "config.refused")
        assert refused["reason"] == "keyring-error"
        later = fleet.a_message()
        assert await fleet.send(one, later)
        assert not await fleet.lost([message, later])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"version: 1": "version: 2"}, "version is another version; this program reads version 1"),
        (
            {"unmatched: reject": "unmatched: reject\n    limits: {stream: 1MiB}"},
            "the key `stream` is unknown",
        ),
        (
            {"form: short": "form: short, string: true"},
            "the key `string` is unknown",
        ),
    ],
)
def test_the_old_version_refuses_what_it_does_not_know_of_a_configuration(
    old: Code, tmp_path: Path, changed: dict[str, str], sentence: str
) -> None:
    text = CONFIGURATION.format(
        name="one",
        keyring="keyring.jwe",
        store="memory",
        mode="durable",
        admin=9901,
        health=15021,
        port=8080,
        upstream=3000,
    )
    for before, after in changed.items():
        assert before in text
        text = text.replace(before, after)
    (tmp_path / "one.yaml").write_text(text)
    assert sentence in old.run(tmp_path, "validate", "--config", "one.yaml", status=1)
    assert old.run(tmp_path, "serve", "--config", "one.yaml", status=3).startswith("error: The con")
