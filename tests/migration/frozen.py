"""`migrate seal job.yaml` in a process that stops itself (SIGSTOP) after a call of the driver.

The first argument says after how many: they are counted from the first write on.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pymysql.cursors

from proxy.cli import main
from proxy.migration.sources.sql_table import SqlTable


def freeze(calls: int) -> None:
    """Let the process stop itself after so many calls."""
    left, begun = calls, False

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def then(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the driver's
            nonlocal left
            result = call(*arguments, **options)
            left -= begun
            if begun and not left:
                os.kill(os.getpid(), signal.SIGSTOP)
            return result

        return then

    def begins(write: Callable[..., Any]) -> Callable[..., Any]:
        def then(*arguments: Any) -> Any:  # noqa: ANN401 - as what is wrapped
            nonlocal begun
            begun = True
            return write(*arguments)

        return then

    psycopg.Cursor.execute = counted(psycopg.Cursor.execute)  # type: ignore[method-assign] # as said
    pymysql.cursors.Cursor.execute = counted(pymysql.cursors.Cursor.execute)  # type: ignore[method-assign] # as said
    SqlTable.write = begins(SqlTable.write)  # type: ignore[method-assign] # as said


if __name__ == "__main__":
    freeze(int(sys.argv[1]))
    main(["migrate", "seal", "job.yaml"])
