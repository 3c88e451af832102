from __future__ import annotations

import fcntl
import grp
import os
import pwd
import stat
from pathlib import Path

import pytest

from proxy.core.errors import KeyringError
from proxy.keys import private_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    private_file.write(path, b"old")
    return path


def test_a_written_file_is_private(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_private_modes_are_read(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert private_file.read(path, 10) == b"old"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of root's")
@pytest.mark.parametrize(
    ("mode", "owner", "group", "may"),
    [
        (0o440, 0, 0, True),
        (0o640, 0, 4000, True),
        (0o440, 0, 4001, False),  # not a group of ours
        (0o440, 65532, 0, False),  # not root's to give
        (0o460, 0, 0, False),
        (0o444, 0, 0, False),
    ],
)
def test_who_is_not_root_may_read_roots_file_by_a_group(
    path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, group: int, *, may: bool
) -> None:
    os.chown(path, owner, group)
    path.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: 65532)
    monkeypatch.setattr(os, "getegid", lambda: 0)
    monkeypatch.setattr(os, "getgroups", lambda: [4000])

    if may:
        assert private_file.read(path, 100)
    else:
        with pytest.raises(KeyringError, match=f"{mode:04o}"):
            private_file.read(path, 100)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of root's")
@pytest.mark.parametrize(
    ("listed", "may"), [([], True), (["root"], True), (["ours"], True), (["ours", "bob"], False)]
)
def test_a_group_that_others_are_in_lets_nobody_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, listed: list[str], *, may: bool
) -> None:
    path.chmod(0o440)
    monkeypatch.setattr(os, "geteuid", lambda: 65532)
    monkeypatch.setattr(os, "getegid", lambda: 0)
    monkeypatch.setattr(grp, "getgrgid", lambda _: grp.struct_group(("g", "x", 0, listed)))
    passwd = pwd.struct_passwd(("ours", "x", 65532, 0, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: passwd)
    if may:
        assert private_file.read(path, 100)
    else:
        with pytest.raises(KeyringError, match="bob"):
            private_file.read(path, 100)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of root's")
def test_a_group_that_no_list_knows_is_of_kubernetes_making(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(path, 0, 987_654)
    path.chmod(0o440)
    monkeypatch.setattr(os, "geteuid", lambda: 876_543)
    monkeypatch.setattr(os, "getgroups", lambda: [987_654])
    assert private_file.read(path, 100) == b"old"


def test_an_access_list_is_refused(path: Path) -> None:
    # Version 2; user::rw-, user:12345:r--, group::---, mask::---, other::---.
    entries = [(1, 6, -1), (2, 4, 12345), (4, 0, -1), (16, 0, -1), (32, 0, -1)]
    packed = b"\x02\0\0\0" + b"".join(
        tag.to_bytes(2, "little")
        + mode.to_bytes(2, "little")
        + who.to_bytes(4, "little", signed=True)
        for tag, mode, who in entries
    )
    try:
        os.setxattr(path, "system.posix_acl_access", packed)
    except OSError:
        pytest.skip("this file system knows no access lists")
    with pytest.raises(KeyringError, match="access list"):
        private_file.read(path, 100)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o700, 0o660, 0o644])
def test_open_modes_are_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyringError, match=f"{mode:04o}"):
        private_file.read(path, 10)


def test_another_owner_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid():
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    else:
        os.chown(path, 12345, -1)
    with pytest.raises(KeyringError, match="another user"):
        private_file.read(path, 10)


def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(KeyringError):
            private_file.read(path, 10)


def test_a_missing_or_large_file_is_refused(path: Path) -> None:
    for bad, limit in ((path.with_name("none"), 10), (path, 2)):
        with pytest.raises(KeyringError):
            private_file.read(bad, limit)


def test_links_are_followed_on_reading_and_kept_on_writing(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    private_file.write(link, b"new")
    assert (link.is_symlink(), private_file.read(link, 10)) == (True, b"new")


def test_a_crash_before_the_rename_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyringError, match="not written"):
        private_file.write(path, b"new")
    assert [(entry.name, entry.read_bytes()) for entry in path.parent.iterdir()] == [
        ("secret", b"old")
    ]


def test_a_leftover_of_a_crashed_process_does_no_harm(path: Path) -> None:
    path.with_name(f".secret.{os.getpid()}.new").write_bytes(b"half")
    private_file.write(path, b"new")
    assert private_file.read(path, 10) == b"new"


def test_a_line_loses_its_line_end_alone(path: Path) -> None:
    private_file.write(path, b" a\n\r\n")
    assert private_file.read_line(path, 10) == b" a\n"


def test_a_file_that_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyringError, match="not locked"),
        private_file.locked(tmp_path / "none" / "x"),
    ):
        pytest.fail("no lock was held")


def test_a_lock_keeps_others_waiting(path: Path) -> None:
    with (
        private_file.locked(path),
        path.with_name(".secret.lock").open("rb") as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.with_name(".secret.lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
