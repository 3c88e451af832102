"""`sealyard up` and `sealyard ready`, each before real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner

from proxy.cli import main
from tests.cli.conftest import invoke
from tests.scenarios.rig import ROOT, environment
from tests.servers import free_port


@contextmanager
def started(out: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `sealyard`, which writes to `out`, and end it as Ctrl-C does."""
    command = (sys.executable, "-P", "-m", "proxy", *arguments)
    with (
        out.open("wb") as file,
        subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT, env=environment()) as process,  # noqa: S603 - this test's own command
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)


def ready(folder: Path, *options: str, status: int = 0) -> str:
    """Return what `sealyard ready` writes."""
    file = str(folder / "sealyard.yaml")
    return invoke("ready", "--config", file, "--timeout", "60", *options, status=status).output


def _waited_briefly(folder: Path) -> str:
    """Return why it is not ready at this moment; empty if it is."""
    file = str(folder / "sealyard.yaml")
    return CliRunner().invoke(main, ("ready", "--config", file, "--timeout", "0")).output


def test_from_nothing_to_messages_and_a_page_until_it_is_interrupted(tmp_path: Path) -> None:
    folder, out = tmp_path / "new", tmp_path / "out"
    admin, behind = free_port(), free_port()
    options = ("--listen", f"127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{admin}")
    # The backend accepts a connection that it reads later: `up` asks it, and says that it waits.
    with socket.create_server(("127.0.0.1", behind)):
        upstream = ("--upstream", f"http://127.0.0.1:{behind}")
        with started(out, "up", str(folder), *options, *upstream) as process:
            while not (folder / "admin.token").exists() and process.poll() is None:
                time.sleep(0.05)
            assert ready(folder, "--pid", str(process.pid)) == ""
    assert process.returncode == 0
    told = out.read_text().splitlines()
    assert f"page  http://127.0.0.1:{admin}/" in told
    assert f"  its token: cat {folder / 'admin.token'}" in told
    assert [line for line in told if "the backend:" in line and "2 s" in line]


def test_a_backend_that_is_not_there_is_told_and_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    ports = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    invoke(
        "init",
        str(tmp_path),
        *("--listen", ports[0], "--admin", ports[1], "--upstream", f"http://{ports[2]}"),
    )
    before = (tmp_path / "sealyard.yaml").read_bytes()
    with started(tmp_path / "out", "up", str(tmp_path)) as process:
        ready(tmp_path, "--pid", str(process.pid))
    out = (tmp_path / "out").read_text()
    assert "the backend: Connection refused; start the backend there" in out
    assert "page  off; write `status_page: true, tap: true` into `admin`" in out
    assert (tmp_path / "sealyard.yaml").read_bytes() == before


def test_addresses_are_not_forgotten_where_there_is_a_configuration(tmp_path: Path) -> None:
    invoke("init", str(tmp_path))

    result = invoke("up", str(tmp_path), "--listen", "127.0.0.1:1", status=2)

    assert "change it there, or leave out --listen" in result.output


def test_waiting_ends_with_the_process_and_with_the_time(tmp_path: Path) -> None:
    admin = free_port()
    invoke("init", str(tmp_path), "--admin", f"127.0.0.1:{admin}")
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()

    assert f"process {ended.pid} has ended" in ready(tmp_path, "--pid", str(ended.pid), status=1)
    late = ready(tmp_path, "--timeout", "0.2", "--pid", str(os.getpid()), status=1)
    assert f"not ready after 0.2 s: nothing answers at 127.0.0.1:{admin}" in late


def test_a_process_that_has_ended_and_was_not_looked_at_counts_as_ended(tmp_path: Path) -> None:
    invoke("init", str(tmp_path), "--admin", f"127.0.0.1:{free_port()}")
    zombie = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)

    assert "has ended; its log says why" in ready(tmp_path, "--pid", str(zombie.pid), status=1)
    zombie.wait()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    ports = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    invoke("init", str(tmp_path), "--listen", ports[0], "--admin", ports[1])
    options = ("--config", str(tmp_path / "sealyard.yaml"), "--drain-delay", "600")

    with started(tmp_path / "out", "serve", *options) as process:
        ready(tmp_path, "--pid", str(process.pid))
        process.send_signal(signal.SIGTERM)
        while not (out := _waited_briefly(tmp_path)):
            pass
    assert "not ready after 0 s: accepting" in out
