"""What a killed scrub of MariaDB has set at the server is given back by the next one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from proxy.core.errors import MigrationFailed
from proxy.migration.job.places import Mysql
from proxy.migration.sources import mysql_keepers
from proxy.migration.sources.keepers import ScrubStep
from proxy.migration.sources.mysql import MysqlSource
from proxy.migration.sources.mysql_keepers import MysqlInspection
from proxy.migration.sources.undo_logs import PURGE
from tests.migration import servers, tables
from tests.migration.tables import Database, a_table

NAMES = ("innodb_undo_log_truncate", "innodb_max_dirty_pages_pct", "innodb_log_file_size")
REDO = mysql_keepers._REDO


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with servers.mariadb("--innodb-undo-log-truncate=ON") as (port, _):
        yield port


@pytest.fixture
def mariadb(port: int) -> Iterator[Database]:
    with tables.mysql(port) as database:
        yield database


def inspection(port: int, dies_at: str = "") -> MysqlInspection:
    """Return what a process does; it dies, as a connection does, after the statement named."""
    source = MysqlSource(Mysql("clinic", port=port, user="root"), None, a_table())
    dead = False

    def run(sql: str, values: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        nonlocal dead
        if dead:
            raise MigrationFailed("error 2013")
        found = source._run(sql, values)
        dead = sql.startswith(dies_at) if dies_at else False
        return found

    return MysqlInspection(run, "messages", source.table, "", source._snapshot)


@servers.needs_mariadb
@pytest.mark.parametrize(
    ("step", "dies_at"),
    [
        pytest.param(PURGE, "SET GLOBAL innodb_max_dirty_pages_pct = 0", marks=pytest.mark.slow),
        (REDO, "SET GLOBAL innodb_log_file_size"),
    ],
)
def test_what_a_killed_scrub_has_set_is_given_back_by_the_next(
    mariadb: Database, port: int, step: str, dies_at: str
) -> None:
    asked = "SELECT " + ", ".join(f"@@GLOBAL.{one}" for one in NAMES)
    before = mariadb.run(asked)
    with pytest.raises(MigrationFailed):
        inspection(port, dies_at).clean(ScrubStep(step, ""))
    assert mariadb.run(asked) != before

    inspection(port).clean(ScrubStep(step, ""))
    assert mariadb.run(asked) == before
    assert mariadb.run("SHOW TABLES LIKE 'sealyard%'") == []
