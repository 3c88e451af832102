"""Shares at the command line: made, shown, typed, handed in."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proxy.keys.keyring import share
from tests.scenarios.rig import environment

CONFIG = """\
version: 1
keys:
  keyring:
    file: keyring.json
    {id}shares: {{needed: 2, of: 3, socket: unlock.sock}}
listeners:
  - {{name: api, listen: '127.0.0.1:0', upstream: 'http://127.0.0.1:1', unmatched: pass}}
"""


def sealyard(folder: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal."""
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-P", "-m", "proxy", *arguments, "--config", "sealyard.yaml"],
        cwd=folder,
        env=environment(),
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def at_terminal(folder: Path, *arguments: str, typed: list[str]) -> tuple[int, str]:
    """Run a command at a terminal, type each text at its next question; return what was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-P", "-m", "proxy", *arguments, "--config", "sealyard.yaml"],
        cwd=folder,
        env=environment(TERM="dumb"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, waiting, deadline = b"", list(typed), time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            try:
                read = os.read(ours, 4096)
            except OSError:  # the end of a terminal
                break
            shown += read
            if waiting and (b"share:" in read or b"written down" in read):
                os.write(ours, waiting.pop(0).encode())
        return process.wait(30), shown.decode()
    finally:
        process.kill()
        process.wait(30)
        os.close(ours)


def made(folder: Path) -> list[str]:
    """Make a keyring with shares; return them as printed."""
    (folder / "sealyard.yaml").write_text(CONFIG.format(id=""))
    done = sealyard(folder, "keys", "init")
    assert done.returncode == 0, done.stderr
    found = re.search(r"keyring (\S{22}), generation 1", done.stderr)
    assert found, done.stderr
    (folder / "sealyard.yaml").write_text(CONFIG.format(id=f"id: {found[1]}\n    "))
    pages = done.stdout.split("\f")
    assert [page.splitlines()[0][:12] for page in pages] == [f"share {at} of 3" for at in (1, 2, 3)]
    return ["\n".join(page.splitlines()[2:6]) for page in pages]


def test_shares_are_printed_one_to_a_page_and_open_at_a_terminal(tmp_path: Path) -> None:
    shares = made(tmp_path)
    assert [share.parse(one).index for one in shares] == [1, 2, 3]

    without = sealyard(tmp_path, "keys", "list")
    assert "0 of 2 shares: shares are typed at a terminal" in without.stderr
    typed = ["".join(one.split()).lower() + "\r" for one in (shares[2], shares[0])]
    status, shown = at_terminal(tmp_path, "keys", "list", typed=typed)
    assert status == 0, shown
    assert "1 of 2 shares so far" in shown
    assert "primary" in shown
    for one in shares:
        assert "".join(one.split())[10:30].lower() not in shown.lower()
    # A group of digits alone may be the number of a process.
    groups = {group for group in shares[0].split() if not group.isdigit()}
    for text in (tmp_path / "keyring.json.audit", tmp_path / "keyring.json"):
        assert not groups & set(re.findall(r"\w+", text.read_text()))


def test_a_mistyped_and_a_repeated_share_are_refused_at_the_terminal(tmp_path: Path) -> None:
    shares = made(tmp_path)
    whole = "".join(shares[0].split())
    status, shown = at_terminal(tmp_path, "keys", "list", typed=[whole[:-1] + "?\r"])
    assert status != 0
    assert "group 20 of the share is mistyped" in shown
    status, shown = at_terminal(tmp_path, "keys", "list", typed=[f"{whole}\r", f"{whole}\r"])
    assert status != 0
    assert "share 1 was handed in already" in shown


def test_on_a_terminal_shares_are_shown_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "sealyard.yaml").write_text(CONFIG.format(id=""))
    status, shown = at_terminal(tmp_path, "keys", "init", typed=["\r", "\r", "\r"])

    assert status == 0, shown
    assert shown.count("This is for one operator") == 3


def test_nothing_waits_at_a_socket_that_is_not_there(tmp_path: Path) -> None:
    made(tmp_path)
    done = sealyard(tmp_path, "keys", "unlock", typed="share")
    assert done.returncode == 3
    assert "no Sealyard waits for shares there" in done.stderr


@pytest.mark.parametrize("root", ["passphrase: {env: P}"])
def test_without_shares_in_the_configuration_there_is_no_socket(tmp_path: Path, root: str) -> None:
    text = re.sub(r"shares: .*", root, CONFIG.format(id=""))
    (tmp_path / "sealyard.yaml").write_text(text)
    done = sealyard(tmp_path, "keys", "unlock")
    assert done.returncode == 2
    assert "no configuration with shares" in done.stderr
