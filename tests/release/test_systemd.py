"""The service of systemd: what it is told, and the unit under a real systemd in namespaces."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from proxy.process.service_manager import READY, STOPPING, notify

ROOT = Path(__file__).parent.parent.parent
UNIT = ROOT / "deploy" / "systemd" / "sealyard.service"
ANALYZE = shutil.which("systemd-analyze")
UNSHARE = shutil.which("unshare")
TOOLS = [one for one in ("unshare", "nsenter", "systemctl", "ip") if shutil.which(one) is None]
NAMESPACES = ("--mount", "--pid", "--fork", "--net", "--ipc", "--uts", "--kill-child")
WORST_EXPOSURE = 1.5
"""Of `systemd-analyze security`, where 10 is a service without any limits."""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def test_systemd_is_told_that_the_service_is_ready(manager: socket.socket) -> None:
    notify(READY, {"NOTIFY_SOCKET": manager.getsockname()})
    notify(STOPPING, {"NOTIFY_SOCKET": manager.getsockname()})

    assert [manager.recv(64), manager.recv(64)] == [b"READY=1", b"STOPPING=1"]


def test_a_socket_in_the_abstract_namespace_is_reached() -> None:
    name = f"sealyard-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(5)
        notify(READY, {"NOTIFY_SOCKET": f"@{name}"})

        assert listening.recv(64) == b"READY=1"


@pytest.mark.parametrize("told", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:1:2"}])
def test_without_a_manager_nothing_happens(told: dict[str, str], tmp_path: Path) -> None:
    notify(READY, told)
    notify(READY, {"NOTIFY_SOCKET": str(tmp_path / "nobody")})


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze: ./dev packages installs it")
def test_the_unit_leaves_the_service_little_that_it_could_do() -> None:
    done = subprocess.run(  # noqa: S603 - Debian's
        [str(ANALYZE), "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=True,
    )
    exposure = done.stdout.partition("Overall exposure level for sealyard.service: ")[2].split()[0]

    assert float(exposure) <= WORST_EXPOSURE


# --- Under a real systemd -----------------------------------------------------------------------

ADMIN = "/var/lib/sealyard/admin.token"
PROGRAM = Path(sys.executable).with_name("sealyard")
DROP_IN = f"""\
# The program of this tree, whose Python may be in a home.
[Service]
ProtectHome=no
ExecStart=
ExecStart={PROGRAM} serve --config /var/lib/sealyard/sealyard.yaml --grace 25
"""
SET_UP = f"""
set -e
chmod a+x {" ".join(str(one) for one in Path(sys.base_prefix).parents)}
mkdir /etc/systemd/system/sealyard.service.d
printf %s '{DROP_IN}' >/etc/systemd/system/sealyard.service.d/tree.conf
useradd --system --home-dir /var/lib/sealyard sealyard
install -d -o sealyard -g sealyard -m 0700 /var/lib/sealyard
runuser -u sealyard -- {PROGRAM} init /var/lib/sealyard
systemctl daemon-reload
"""

_T = TypeVar("_T")
Inside = Callable[..., str]


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    """Start a machine with the unit; return what runs a command there."""
    script = Path(__file__).with_name("machine.sh")
    started = subprocess.Popen(  # noqa: S603 - Debian's tools
        [str(UNSHARE), *NAMESPACES, "sh", str(script), str(tmp_path), str(UNIT)], process_group=0
    )
    try:
        [child] = _once(lambda: _children(started.pid))
        enter = ["nsenter", f"--target={child}", "--mount", "--pid", "--net", "--root", "--wdns=/"]

        def run(*command: str, good: bool = True) -> str:
            done = subprocess.run(  # noqa: S603 - as above
                [*enter, *command], capture_output=True, text=True, check=False, timeout=120
            )
            assert not good or done.returncode == 0, done.stderr
            return done.stdout.strip()

        _once(lambda: run("systemctl", "is-system-running", good=False) == "running")
        run("sh", "-c", SET_UP)
        yield run
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait(timeout=10)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _once(look: Callable[[], _T], seconds: float = 60) -> _T:
    began = time.monotonic()
    while not (found := look()):
        assert time.monotonic() - began < seconds
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.skipif(bool(TOOLS) or os.geteuid() != 0, reason=f"needs root, and {TOOLS}")
def test_the_unit_starts_reloads_and_stops_sealyard(inside: Inside) -> None:
    inside("systemctl", "start", "sealyard")
    ready = f'curl -fsS -H "Authorization: Bearer $(cat {ADMIN})" http://127.0.0.1:9901/readyz'
    assert inside("sh", "-c", ready).endswith("ready")

    inside("systemctl", "reload", "sealyard")
    lines = 'journalctl -u sealyard -o cat | grep -c \'"event":"config.loaded"\''
    assert _once(lambda: inside("sh", "-c", lines, good=False) == "2")

    inside("systemctl", "stop", "sealyard")
    told = inside("systemctl", "show", "sealyard", "-p", "Result", "-p", "ExecMainStatus")
    assert sorted(told.split()) == ["ExecMainStatus=0", "Result=success"]


@pytest.mark.slow
@pytest.mark.skipif(bool(TOOLS) or os.geteuid() != 0, reason=f"needs root, and {TOOLS}")
def test_a_key_of_a_participant_is_made_under_the_unit(inside: Inside) -> None:
    """A process of its own makes it, which lowers its priority: the unit must let it."""
    settings = "/var/lib/sealyard/sealyard.yaml"
    inside("sed", "-i", "s/store: memory/store: sqlite:store.db/", settings)
    inside("grep", "store: sqlite", settings)
    inside("systemctl", "start", "sealyard")
    call = (
        f'curl -sS -w "%{{http_code}}" -o /dev/null -H "Authorization: Bearer $(cat {ADMIN})"'
        " -H 'Content-Type: application/json' -d '{\"under\": \"keyring\"}'"
        " http://127.0.0.1:9901/v1/participants/bob/keys"
    )

    assert inside("sh", "-c", call) == "201"


@pytest.mark.slow
@pytest.mark.skipif(bool(TOOLS) or os.geteuid() != 0, reason=f"needs root, and {TOOLS}")
def test_a_start_that_fails_is_told_to_whoever_starts_the_unit(inside: Inside) -> None:
    inside("sh", "-c", "echo nonsense >>/var/lib/sealyard/sealyard.yaml")

    assert inside("sh", "-c", "systemctl start sealyard || echo failed") == "failed"
    assert "ExecMainStatus=3" in inside("systemctl", "show", "sealyard", "-p", "ExecMainStatus")
