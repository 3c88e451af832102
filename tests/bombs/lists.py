"""`python -m tests.bombs.lists PORT FOLDER` reads a sealed list again and again."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path


def main(port: int, folder: Path) -> None:
    """Say once that a list was read, and end where one is not opened whole."""
    sealed, plain = ((folder / name).read_bytes() for name in ("sealed", "plain"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while True:
        connection.request("POST", "/list", sealed, {"Content-Type": "application/json"})
        if connection.getresponse().read() != plain:
            return
        sys.stdout.write("read\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
