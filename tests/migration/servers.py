"""Real servers of databases, each in a folder of its own, on 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pymysql
import pytest

from tests.servers import await_log, await_port, child, free_port

POSTGRESQL: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
MARIADB: Final = Path("/usr/sbin/mariadbd")
MYSQL: Final = Path(__file__).parents[2] / ".mysql" / "usr"

needs_postgresql: Final = pytest.mark.skipif(
    not POSTGRESQL, reason="no PostgreSQL: ./dev packages installs it, as root"
)
needs_mariadb: Final = pytest.mark.skipif(
    not MARIADB.exists(), reason="no MariaDB: ./dev packages installs it, as root"
)
needs_mysql: Final = pytest.mark.skipif(
    not MYSQL.exists(), reason="no MySQL: ./dev test-mysql fetches it"
)


@contextmanager
def postgresql(*settings: str) -> Iterator[tuple[int, Path]]:
    """Run a PostgreSQL that logs every statement; yield its port and its log.

    The user is `clinic`, the database `postgres`. It refuses to run as root: then it runs as the
    user of its package.
    """
    with _folder("postgresql", "postgres") as (data, become):
        initdb = [*become, str(POSTGRESQL[-1] / "initdb"), "--pgdata", data, "--auth=trust"]
        more = ["--no-sync", "--username=clinic", "--locale=C.UTF-8", "--encoding=UTF8"]
        subprocess.run([*initdb, *more], check=True, capture_output=True, cwd="/")  # noqa: S603 - its own program
        with _postgres(data, become, "log_statement=all", *settings) as server:
            yield server


@contextmanager
def postgresql_replica(primary: int, *settings: str) -> Iterator[tuple[int, Path]]:
    """Run a replica of the PostgreSQL at a port; yield its port and its log."""
    with _folder("postgresql", "postgres") as (data, become):
        copy = [*become, str(POSTGRESQL[-1] / "pg_basebackup"), "-D", data, "-R", "-c", "fast"]
        source = ["-h", "127.0.0.1", "-p", str(primary), "-U", "clinic"]
        subprocess.run([*copy, *source], check=True, capture_output=True, cwd="/")  # noqa: S603 - its own program
        with _postgres(data, become, *settings) as server:
            yield server


@contextmanager
def _postgres(data: str, become: Sequence[str], *settings: str) -> Iterator[tuple[int, Path]]:
    port = free_port()
    command = [*become, str(POSTGRESQL[-1] / "postgres"), "-D", data, "-p", str(port)]
    usual = ("unix_socket_directories=", "listen_addresses=127.0.0.1", "fsync=off")
    for one in (*usual, *settings):
        command += ["-c", one]
    log = Path(data) / "server.log"
    with child(command, log, {}, cwd=Path("/")) as process:
        await_log(process, log, "ready to accept")
        yield port, log


@contextmanager
def _folder(name: str, user: str) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder of a user of the system, and what goes before commands as that user."""
    with tempfile.TemporaryDirectory(prefix=f"sealyard-{name}-") as data:
        if os.geteuid() != 0:
            yield data, []
            return
        shutil.chown(data, user, user)
        yield data, ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]


@contextmanager
def mariadb(*options: str, port: int = 0) -> Iterator[tuple[int, Path]]:
    """Run a MariaDB that logs every statement; yield its port and its log.

    The user is `clinic` without a password, the database `clinic`.
    """
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="sealyard-mariadb-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "server.log"
        user = []
        if os.geteuid() == 0:
            shutil.chown(folder, "mysql", "mysql")
            user = ["--user=mysql"]
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", *user]
        more = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*install, *more], check=True, capture_output=True)  # noqa: S603 - its own program
        first = _first(folder)
        command = [
            str(MARIADB), "--no-defaults", f"--datadir={data}", f"--port={port}", *user,
            "--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--init-file={first}",
            "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--general-log=1",
            f"--general-log-file={folder}/statements.log", *options,
        ]  # fmt: skip
        with child(command, log, {}, cwd=Path(folder)) as process:
            await_port(process, port, log)
            yield port, Path(folder) / "statements.log"


def _first(folder: str, more: str = "") -> Path:
    """Write what a server of MariaDB or MySQL is to do first."""
    first = Path(folder) / "first.sql"
    first.write_text(
        "CREATE DATABASE clinic CHARACTER SET utf8mb4;\n"
        "CREATE USER clinic@'127.0.0.1';\nGRANT ALL ON clinic.* TO clinic@'127.0.0.1';\n" + more
    )
    first.chmod(0o644)
    return first


@contextmanager
def mysql(*options: str) -> Iterator[tuple[int, Path]]:
    """Run the MySQL that was fetched, which flushes pages at once; yield its port and its files.

    The users are `clinic` and `root` without passwords, the database `clinic`.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sealyard-mysql-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "server.log"
        command = [
            str(MYSQL / "sbin" / "mysqld"), "--no-defaults", f"--datadir={data}",
            f"--lc-messages-dir={MYSQL / 'share' / 'mysql'}",
        ]  # fmt: skip
        if os.geteuid() == 0:
            shutil.chown(folder, "mysql", "mysql")
            command.append("--user=mysql")
        libraries = {"LD_LIBRARY_PATH": ":".join(map(str, sorted((MYSQL / "lib").glob("*-gnu"))))}
        subprocess.run(  # noqa: S603 - its own program
            [*command, "--initialize-insecure"],
            check=True,
            capture_output=True,
            env=os.environ | libraries,
        )
        root = "CREATE USER root@'127.0.0.1';\nGRANT ALL ON *.* TO root@'127.0.0.1';\n"
        command += [
            f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket",
            f"--pid-file={folder}/pid", "--mysqlx=OFF", "--secure-file-priv=",
            f"--init-file={_first(folder, root)}",
            "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0",
            *(options or ["--skip-log-bin"]),
            "--innodb-max-dirty-pages-pct=0", "--log-bin-trust-function-creators",
        ]  # fmt: skip
        with child(command, log, libraries, cwd=Path(folder)) as process:
            await_port(process, port, log)
            yield port, data


@contextmanager
def mariadb_replica(primary: int, *, delay: int) -> Iterator[None]:
    """Run a replica of the MariaDB at a port, which applies changes after so many seconds."""
    port = free_port()
    known = (
        "--server-id=2",
        "--report-host=127.0.0.1",
        f"--report-port={port}",
    )
    with mariadb(*known, "--slave-skip-errors=all", port=port):
        with closing(_as_root(primary)) as other, other.cursor() as cursor:
            cursor.execute("SHOW MASTER STATUS")
            file, position, *_ = cursor.fetchall()[0]
        with closing(_as_root(port)) as other, other.cursor() as cursor:
            cursor.execute(
                f"CHANGE MASTER TO master_host='127.0.0.1', master_port={primary},"
                f" master_user='root', master_log_file='{file}', master_log_pos={position},"
                f" master_delay={delay}, master_use_gtid=no"
            )
            cursor.execute("START SLAVE")
        yield


def _as_root(port: int) -> pymysql.Connection[Any]:
    return pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True)
