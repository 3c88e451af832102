"""Real servers of databases, each in a folder of its own, on 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.servers import await_log, await_port, child, free_port

POSTGRESQL: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
MARIADB: Final = Path("/usr/sbin/mariadbd")

needs_postgresql: Final = pytest.mark.skipif(
    not POSTGRESQL, reason="no PostgreSQL: ./dev packages installs it, as root"
)
needs_mariadb: Final = pytest.mark.skipif(
    not MARIADB.exists(), reason="no MariaDB: ./dev packages installs it, as root"
)


@contextmanager
def postgresql(*settings: str) -> Iterator[tuple[int, Path]]:
    """Run a PostgreSQL that logs every statement; yield its port and its log.

    The user is `clinic`, the database `postgres`. It refuses to run as root: then it runs as the
    user of its package.
    """
    programs, port = POSTGRESQL[-1], free_port()
    with tempfile.TemporaryDirectory(prefix="sealyard-postgresql-") as data:
        become = []
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
            become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        initdb = [*become, str(programs / "initdb"), "--pgdata", data, "--auth=trust", "--no-sync"]
        more = ["--username=clinic", "--locale=C.UTF-8", "--encoding=UTF8"]
        subprocess.run([*initdb, *more], check=True, capture_output=True, cwd="/")  # noqa: S603 - its own program
        command = [*become, str(programs / "postgres"), "-D", data, "-p", str(port)]
        usual = ("log_statement=all", "unix_socket_directories=", "listen_addresses=127.0.0.1")
        for one in (*usual, "fsync=off", *settings):
            command += ["-c", one]
        log = Path(data) / "server.log"
        with child(command, log, {}, cwd=Path("/")) as process:
            await_log(process, log, "ready to accept connections")
            yield port, log


@contextmanager
def mariadb(*options: str) -> Iterator[tuple[int, Path]]:
    """Run a MariaDB that logs every statement; yield its port and its log.

    The user is `clinic` without a password, the database `clinic`.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sealyard-mariadb-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "server.log"
        user = []
        if os.geteuid() == 0:
            shutil.chown(folder, "mysql", "mysql")
            user = ["--user=mysql"]
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", *user]
        more = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*install, *more], check=True, capture_output=True)  # noqa: S603 - its own program
        first = Path(folder) / "first.sql"
        first.write_text(
            "CREATE DATABASE clinic CHARACTER SET utf8mb4;\n"
            "CREATE USER clinic@'127.0.0.1';\nGRANT ALL ON clinic.* TO clinic@'127.0.0.1';\n"
        )
        first.chmod(0o644)
        command = [
            str(MARIADB), "--no-defaults", f"--datadir={data}", f"--port={port}", *user,
            "--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--init-file={first}",
            "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--general-log=1",
            f"--general-log-file={folder}/statements.log", *options,
        ]  # fmt: skip
        with child(command, log, {}, cwd=Path(folder)) as process:
            await_port(process, port, log)
            yield port, Path(folder) / "statements.log"
