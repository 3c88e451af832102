"""What a reader pastes in one go, on a Debian that has what the pages ask for and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.pages.blocks import COMMANDS, blocks_of
from tests.pages.table import is_not_run, of_the_checkout

ROOT: Final = Path(__file__).parents[2]
BASE: Final = ROOT / "build" / "bare-debian"
"""Made once: a folder with the file system of a Debian."""
PACKAGES: Final = "python3,python3-venv,curl,ca-certificates"
PAGES: Final = ("README.md", "docs/tutorial.md")
INDEX: Final = ("etc/ssl/certs/ca-certificates.crt", "etc/pip.conf")
"""By which this machine reaches the package index."""
TOOLS: Final = ("mmdebstrap", "unshare", "ip", "chroot")
ALONE: Final = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
LOAD: Final = "for each in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done"
"""Eight programs that compute, for as long as what is pasted goes on."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a file system as root"),
    pytest.mark.skipif(
        any(shutil.which(one) is None for one in TOOLS), reason=f"needs {', '.join(TOOLS)}"
    ),
]


def run(*command: str | Path, timeout: float = 1800) -> str:
    """Return what a program prints, errors too; it must end well."""
    done = subprocess.run(  # noqa: S603 - programs of Debian, with files of this test
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def machine() -> Iterator[Path]:
    """Make the Debian, with Sealyard installed as the page on it says; return its folder."""
    if not (BASE / "usr" / "bin" / "curl").exists():
        shutil.rmtree(BASE, ignore_errors=True)
        BASE.parent.mkdir(exist_ok=True)
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "trixie", BASE)
    for one in INDEX:
        if (Path("/") / one).exists():
            shutil.copy(Path("/") / one, BASE / one)
    shutil.copy("/etc/resolv.conf", BASE / "etc" / "resolv.conf")
    source = BASE / "src"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    run(
        "sh",
        "-c",
        f"git -C '{ROOT}' ls-files -z | tar -C '{ROOT}' --null -T - -c | tar -x -C '{source}'",
    )
    run("chroot", BASE, "python3", "-m", "venv", "--clear", "/opt/sealyard")
    run("chroot", BASE, "/opt/sealyard/bin/pip", "install", "--quiet", "/src")
    yield BASE
    shutil.rmtree(source)


def pasted(page: str) -> str:
    """Return the commands of a page up to its first list through Sealyard, as one text."""
    texts = [
        one.text
        for one in blocks_of(ROOT / page)
        if one.language in COMMANDS and not of_the_checkout(one) and not is_not_run(one)
    ]
    last = next(at for at, one in enumerate(texts) if "localhost:8080/api/conversations" in one)
    return "".join(texts[: last + 1])


@pytest.mark.parametrize("page", PAGES)
def test_a_paste_works_on_a_bare_machine_under_load(machine: Path, page: str) -> None:
    home = machine / "srv" / "pasted"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "compose" / "backend.py", home)
    (home / "paste.sh").write_text(
        f"{LOAD}\ncd /srv/pasted\nPATH=/opt/sealyard/bin:/usr/bin:/bin\n{pasted(page)}\n"
    )
    mounts = f"mount -t proc proc '{machine}/proc'; mount --rbind /dev '{machine}/dev'"
    inside = f"{mounts}; ip link set lo up; chroot '{machine}' /bin/bash /srv/pasted/paste.sh"

    printed = run(*ALONE, "sh", "-c", inside)

    assert printed.count("Penicillin allergy") >= 2
    assert '[{"conversationId"' in printed
    assert "Penicillin" not in (home / "messages.txt").read_text().splitlines()[-1]
