"""A real PostgreSQL behind a backend, started for these tests alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.servers import await_log, free_port

from .conftest import running

PROGRAMS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

needs_postgresql = pytest.mark.skipif(
    not PROGRAMS, reason="no PostgreSQL: install the package postgresql (.ci/run does as root)"
)


@dataclass(frozen=True)
class Database:
    """A PostgreSQL that runs: its URI and its files."""

    uri: str
    files: Path

    def copy(self, table: str, column: str, source: object, target: object) -> None:
        """Write a column of one row over that of another, by their ids."""
        statement = (
            "UPDATE :table SET :column = (SELECT :column FROM :table WHERE id = :'source')"
            " WHERE id = :'target'"
        )
        values = {"table": table, "column": column, "source": source, "target": target}
        psql = [str(PROGRAMS[-1] / "psql"), self.uri, "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
        psql += [f"--set={name}={value}" for name, value in values.items()]
        subprocess.run(psql, input=statement, check=True, capture_output=True, text=True)


@contextmanager
def postgresql(folder: Path) -> Iterator[Database]:
    """Run a PostgreSQL that logs every statement, with its log in a folder.

    It refuses to run as root: then it runs as the user of its package, in a folder of that user.
    """
    programs, port = PROGRAMS[-1], free_port()
    with tempfile.TemporaryDirectory(prefix="sealyard-postgresql-") as data:
        become = []
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
            become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        initdb = [*become, str(programs / "initdb"), "--pgdata", data, "--auth=trust", "--no-sync"]
        more = ["--username=parse", "--locale=C", "--encoding=UTF8"]
        subprocess.run([*initdb, *more], check=True, capture_output=True, cwd="/")
        command = [*become, str(programs / "postgres"), "-D", data, "-p", str(port)]
        for one in ("log_statement=all", "unix_socket_directories=", "listen_addresses=127.0.0.1"):
            command += ["-c", one]
        with running(command, port, folder / "postgresql.log") as server:
            await_log(server.process, server.log, "ready to accept")
            uri = f"postgres://parse@127.0.0.1:{port}/postgres"
            yield Database(uri, Path(data))
