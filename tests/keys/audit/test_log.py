from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from proxy.core.crypto.secret import AuditKey
from proxy.core.errors import UnfitEnvironment
from proxy.keys.audit import AuditLog
from proxy.keys.audit.head_record import beside

from .builders import KEY, NOW, a_log, checked


def events(log: AuditLog) -> list[str]:
    return [json.loads(line)["event"] for line in log.path.read_text().splitlines()]


def test_each_event_is_a_line_of_a_private_file(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.write(KEY, "keys.add", kek="k2")
    log.write(KEY, "keys.derive", kid="k2.x")
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["audit.began", "keys.add", "keys.derive"]
    assert lines[1]["at"] == "2027-01-15T08:00:00.500+00:00"
    assert [line["seq"] for line in lines] == [1, 2, 3]
    for path in (log.path, beside(log.path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_cannot_be_written_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for path in (tmp_path, tmp_path / "none" / "audit", tmp_path / "link", Path("/dev/null")):
        with pytest.raises(UnfitEnvironment):
            AuditLog(path, lambda: 0.0).write(KEY, "keys.add")
    monkeypatch.setattr(os, "write", lambda *_: 1)
    with pytest.raises(UnfitEnvironment):
        AuditLog(tmp_path / "audit", lambda: 0.0).write(KEY, "keys.add")


def test_what_was_half_written_for_want_of_space_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, write = a_log(tmp_path, 1), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda at, text: write(at, text[:20]))
        with pytest.raises(UnfitEnvironment, match="short write"):
            log.write(KEY, "keys.add", kek="k9")
    log.write(KEY, "keys.add", kek="k9")
    assert events(log) == ["audit.began", "keys.add", "keys.add"]
    assert not checked(log).broken


def test_a_value_never_takes_the_place_of_what_every_line_has(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.write(KEY, "keys.add", mac="x", seq=7, prev="y", kek="k" * 1000)
    assert json.loads(log.path.read_text().splitlines()[1])["seq"] == 2
    assert not checked(log).broken


def test_a_log_that_is_renamed_goes_on_in_a_new_file(tmp_path: Path) -> None:
    log, old = a_log(tmp_path, 3), tmp_path / "audit.log.1"
    log.path.rename(old)
    log.write(KEY, "keys.add", kek="k9")
    assert events(log) == ["keys.add"]
    both = checked(log, old)
    assert (both.broken, both.lines, both.notes) == (0, 5, [])
    alone = checked(log)
    assert alone.broken == 0
    assert "begins at line 5" in alone.notes[0].text


def test_a_log_that_was_rotated_and_deleted_goes_on_where_its_inode_is_used_again(
    tmp_path: Path,
) -> None:
    """As with `compress` of logrotate on ext4, which uses the lowest free inode."""
    log, old = a_log(tmp_path, 3), tmp_path / "audit.log.1"
    log.path.rename(old)
    rotated = old.read_bytes()
    old.unlink()
    log.write(KEY, "keys.add", kek="k9")
    assert events(log) == ["keys.add"]
    old.write_bytes(rotated)
    assert (checked(log, old).broken, checked(log, old).notes) == (0, [])


def test_a_running_process_tells_that_log_and_head_were_deleted_whatever_their_inodes(
    tmp_path: Path,
) -> None:
    for number in range(10):  # in other orders of free inodes
        folder = tmp_path / str(number)
        folder.mkdir()
        log, holes = a_log(folder, 3), [folder / f"hole{one}" for one in range(number)]
        for path in (*holes[::2], log.path, beside(log.path), *holes[1::2]):
            path.touch()
        for path in (*holes, log.path, beside(log.path)):
            path.unlink()
        log.write(KEY, "keys.add", kek="k9")
        assert events(log) == ["audit.headless", "keys.add"]


@pytest.mark.parametrize("kept", [0, 1, 200, -2])
def test_a_log_that_is_cut_is_told_by_the_next_line(tmp_path: Path, kept: int) -> None:
    log = a_log(tmp_path, 3)
    log.path.write_bytes(log.path.read_bytes()[:kept])
    assert checked(log).broken
    AuditLog(log.path, lambda: NOW).write(KEY, "keys.add", kek="k9")  # another process
    told = [json.loads(line)["event"] for line in log.path.read_text().splitlines()[-2:]]
    assert told == ["audit.cut", "keys.add"]
    assert checked(log).broken


def test_a_running_process_finds_a_log_that_was_replaced_with_its_head(tmp_path: Path) -> None:
    log = a_log(tmp_path, 3)
    older = {path: path.read_bytes() for path in (log.path, beside(log.path))}
    log.write(KEY, "keys.derive", kid="secret")
    for path, content in older.items():
        path.write_bytes(content)
    assert not checked(log).broken  # what the files alone can show
    log.write(KEY, "keys.add", kek="k9")
    assert checked(log).broken


@pytest.mark.parametrize("torn", [b"{", b'{"seq":5,"at":"20', b"\xff" * 100_000])
def test_a_torn_line_is_told_and_the_chain_goes_on(tmp_path: Path, torn: bytes) -> None:
    log = a_log(tmp_path, 3)
    with log.path.open("ab") as file:
        file.write(torn)
    assert checked(log).broken == (0 if len(torn) < 65536 else 1)
    AuditLog(log.path, lambda: NOW).write(KEY, "keys.add", kek="k9")
    found = checked(log)
    assert (found.broken, found.lines) == (0, 6)
    assert "torn" in found.notes[0].text
    # What is torn is covered as well.
    for changed in (log.path.read_bytes().replace(torn, torn[:-1]), _without(log.path, torn)):
        log.path.write_bytes(changed)
        assert checked(log).broken


def test_a_whole_line_without_its_line_feed_counts(tmp_path: Path) -> None:
    log = a_log(tmp_path, 3)
    log.path.write_bytes(log.path.read_bytes()[:-1])
    assert checked(log).lines == 4
    AuditLog(log.path, lambda: NOW).write(KEY, "keys.add", kek="k9")
    assert b"}{" not in log.path.read_bytes()


def test_lines_behind_an_older_head_count(tmp_path: Path) -> None:
    log = a_log(tmp_path, 3)
    old = beside(log.path).read_bytes()
    log.write(KEY, "keys.add", kek="k8")
    beside(log.path).write_bytes(old)
    AuditLog(log.path, lambda: NOW).write(KEY, "keys.add", kek="k9")
    assert (checked(log).broken, checked(log).lines) == (0, 6)


@pytest.mark.parametrize("damaged", [None, b"", b"x" * 512])
def test_a_lost_head_is_told_since_lines_may_have_gone_with_it(
    tmp_path: Path, damaged: bytes | None
) -> None:
    """Else somebody cuts the end off, takes the head away, and the next start covers it up."""
    log = a_log(tmp_path, 3)
    log.path.write_bytes(b"".join(log.path.read_bytes().splitlines(keepends=True)[:-1]))
    if damaged is None:
        beside(log.path).unlink()
    else:
        beside(log.path).write_bytes(damaged)
    for number in range(2):
        AuditLog(log.path, lambda: NOW).write(KEY, "keys.add", kek=f"k{number}")
    assert events(log)[-3:] == ["audit.headless", "keys.add", "keys.add"]
    found = checked(log)
    assert (found.broken, found.lines) == (1, 6)
    assert "head record was missing" in found.problems[0].text


def test_a_log_in_another_form_is_covered_as_it_stands(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.path.write_text('{"at": "2026", "event": "keys.add"}\n')
    log.write(KEY, "keys.add", kek="k9")
    found = checked(log)
    assert (found.broken, found.lines) == (0, 2)
    assert "another format" in found.notes[0].text
    log.path.write_bytes(log.path.read_bytes().replace(b"2026", b"2025", 1))
    assert checked(log).broken


def test_another_key_begins_another_chain(tmp_path: Path) -> None:
    log = a_log(tmp_path, 2)
    AuditLog(log.path, lambda: NOW).write(AuditKey(b"o" * 32), "keys.add", kek="k9")
    assert events(log)[-2:] == ["audit.began", "keys.add"]


def test_two_chains_never_begin_alike(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = (a_log(tmp_path / name, 1).path.read_text().splitlines() for name in ("a", "b"))
    assert json.loads(one[0])["chain"] != json.loads(other[0])["chain"]


def test_an_append_of_nothing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing"):
        a_log(tmp_path).append(KEY, [])


def _writer(path: Path, number: int, times: int) -> None:
    log = AuditLog(path, time.time)
    for at in range(times):
        log.write(KEY, "keys.add", worker=number, at_=at)


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    log, spawn = a_log(tmp_path), multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_writer, args=(log.path, one, 40)) for one in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = checked(log)
    assert (found.broken, found.lines, found.notes) == (0, 161, [])


def test_a_process_that_is_killed_in_the_midst_breaks_no_chain(tmp_path: Path) -> None:
    log, spawn = a_log(tmp_path), multiprocessing.get_context("spawn")
    for kill_after in (0.05, 0.1, 0.15):
        worker = spawn.Process(target=_writer, args=(log.path, 1, 1_000_000))
        worker.start()
        size = log.path.stat().st_size if log.path.exists() else 0
        while not log.path.exists() or log.path.stat().st_size == size:
            time.sleep(0.01)
        time.sleep(kill_after)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        log.write(KEY, "keys.add", kek="k9")
        found = checked(log)
        assert not found.broken
    assert found.lines > 6


def _without(path: Path, piece: bytes) -> bytes:
    return path.read_bytes().replace(piece + b"\n", b"")
