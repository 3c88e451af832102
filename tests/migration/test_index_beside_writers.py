"""Stored rows get tags, and lose them, beside an application that updates them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.core.search.tags import IndexKeys, cut
from proxy.keys.keyring.keyring import Keyring
from tests.migration import servers
from tools.bench.migration.clinic import Execute, Writer, examine, held, tags_of
from tools.bench.migration.measure import Bench, job_of
from tools.bench.migration.places import PLACES

ROWS = int(os.environ.get("INDEXED_ROWS", "3000"))
UPDATES = 200
KINDS = [
    pytest.param("postgresql", 4, marks=servers.needs_postgresql),
    pytest.param("mariadb", 4, marks=servers.needs_mariadb),
    ("sqlite", 1),
]
"""Each with its connections: one that waits for a server reaches 100 updates a second at most."""


def generations(keyring: Keyring) -> list[IndexKeys]:
    return [IndexKeys(one.key, one.generation) for one in keyring.index]


def untagged(execute: Execute, index: Sequence[IndexKeys], versions: dict[int, int]) -> int:
    """Return how many rows have other tags than those of their words."""
    return sum(
        cut(content).tags != tuple(sorted({*tags_of(index, number, versions.get(number, 0))}))
        for number, _, _, content in held(execute, ROWS)
    )


@pytest.mark.timing
@pytest.mark.parametrize(("kind", "connections"), KINDS)
def test_beside_200_updates_a_second_no_row_is_lost_or_without_its_tags(
    kind: str, connections: int, tmp_path: Path
) -> None:
    """No database waits for the disk: a file of SQLite's that does takes 60 updates a second."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as memory,
        PLACES[kind](Path(memory)) as database,
    ):
        database.fill(ROWS)
        job = job_of(database)
        bench = Bench(tmp_path, job)
        assert bench.run("migrate", "seal", "job.yaml").status == 0
        for _ in range(2):
            bench.run("keys", "rotate-index", "--keyring", "keyring.jwe")
        index, keyring = generations(bench.keyring()), bench.keyring()
        (tmp_path / "index.yaml").write_text(
            job.replace("{column: content}", "{column: content, index: {words: {}}}"), "utf-8"
        )
        versions: dict[int, int] = {}
        # The same updates, by who no longer has the index, while its tags are dropped.
        for verb, has in ((("index",), index), (("index", "--drop"), [])):
            writer = Writer(database.connect, keyring, ROWS, UPDATES, versions, has, connections)
            with writer:
                assert bench.run("migrate", verb[0], "index.yaml", *verb[1:]).status == 0
            rate = writer.updates / writer.seconds
            assert rate >= 0.9 * UPDATES, str(writer.spent)
            print(f"{kind}: {' '.join(verb)}: {rate:.0f} updates/s, {writer.spent}")  # noqa: T201 - a figure
            with database.connect() as execute:
                left = examine(execute, keyring, ROWS, versions)
                assert (left.rows, left.plain, left.doubled, left.lost) == (ROWS, 0, 0, 0)
                assert untagged(execute, has, versions) == 0
            if has:
                assert bench.run("migrate", "verify", "index.yaml").status == 0
