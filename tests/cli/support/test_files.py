"""A receipt is kept, whatever fails."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from proxy.cli.support import console
from proxy.cli.support.files import give_receipt, reserve_receipt


def test_the_file_is_there_before_and_has_the_receipt_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, plain = tmp_path / "r.jws", tmp_path / "plain"
    plain.write_text("")
    with reserve_receipt(path) as file:
        assert path.read_text() == ""
    assert give_receipt("shown", "receipt", file) == ""
    assert (path.read_text(), capsys.readouterr().out) == ("receipt\n", "shown\n")
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("error", [click.UsageError("no terminal"), KeyboardInterrupt()])
def test_where_nothing_is_destroyed_no_file_is_left(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "r.jws"
    with pytest.raises(type(error)), reserve_receipt(path):
        raise error
    assert not path.exists()


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "r.jws"
    path.write_text("another")
    with pytest.raises(console.Failure, match="already exists"), reserve_receipt(path):
        pytest.fail("it would be destroyed now")
    assert path.read_text() == "another"


def test_a_receipt_that_the_file_does_not_take_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Path("/dev/full").open("w") as full:
        problem = give_receipt("shown", "receipt", full)
    assert problem == "/dev/full: No space left on device: the receipt was printed alone"
    assert capsys.readouterr().out == "shown\n"


def test_a_receipt_that_nobody_reads_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(click, "echo", gone)
    with reserve_receipt(tmp_path / "r.jws") as file:
        pass
    with pytest.raises(BrokenPipeError):
        give_receipt("shown", "receipt", file)
    assert (tmp_path / "r.jws").read_text() == "receipt\n"
