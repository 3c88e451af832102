"""`serve` that tells which modules it has loaded, whenever it is asked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.servers import await_log, child, free_port

_PATIENCE_SECONDS: Final = 30.0
_ASK, _ANSWER = "ask", "answer.json"
# The thread runs beside `serve`, and writes what is loaded once it is asked: names and files.
_SERVE: Final = f"""
import json, os, sys, threading, time
from proxy.__main__ import run

def tell():
    while True:
        time.sleep(0.02)
        if not os.path.exists({_ASK!r}):
            continue
        loaded = {{name: getattr(one, "__file__", None) for name, one in list(sys.modules.items())}}
        with open("half", "w") as half:
            half.write(json.dumps(loaded))
        os.remove({_ASK!r})
        os.rename("half", {_ANSWER!r})

threading.Thread(target=tell, daemon=True).start()
sys.argv = ["sealyard", "serve"]
run()
"""


@dataclass
class Asked:
    """A process that runs in a folder."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "sealyard.log").read_text()

    def modules(self) -> dict[str, str | None]:
        """Return the modules that it has loaded, and their files."""
        (self.folder / _ASK).touch()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (self.folder / _ANSWER).exists():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        loaded: dict[str, str | None] = json.loads((self.folder / _ANSWER).read_text())
        (self.folder / _ANSWER).unlink()
        return loaded


@contextmanager
def asked(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Asked]:
    """Run `serve` with the configuration of a folder, until it is ready and to the end of this."""
    log = folder / "sealyard.log"
    command = (sys.executable, "-P", "-c", _SERVE)
    with child(command, log, environment, cwd=folder) as process:
        await_log(process, log, '"server.ready"')
        yield Asked(folder, process)


def initialised(folder: Path, upstream: int | None = None) -> tuple[int, int]:
    """Let `init` write a configuration; return the ports of its traffic and its admin API.

    They are free ones. The backend is at `upstream`, if that is given.
    """
    run = (sys.executable, "-P", "-m", "proxy")
    subprocess.run((*run, "init"), cwd=folder, check=True, capture_output=True, timeout=60)  # noqa: S603 - Sealyard itself
    file = folder / "sealyard.yaml"
    text, ports = file.read_text(), (free_port(), free_port())
    places = {"127.0.0.1:8080": ports[0], "127.0.0.1:9901": ports[1]}
    if upstream is not None:
        places["127.0.0.1:3000"] = upstream
    for address, port in places.items():
        assert address in text
        text = text.replace(address, f"127.0.0.1:{port}")
    file.write_text(text)
    return ports
