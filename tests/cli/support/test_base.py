from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import click
import pytest

from proxy.cli.support import base


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_dash_reads_stdin_without_the_end_of_the_line(
    end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, b"four" + end)

    assert base.read_argument("-", limit=4) == b"four"


def test_an_argument_is_taken_as_its_bytes() -> None:
    assert base.read_argument("é\udcff", limit=10) == "é".encode() + b"\xff"


def test_more_than_the_limit_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"x" * 100)

    with pytest.raises(click.UsageError):
        base.read_argument("-", limit=4)


def test_talk_goes_to_stderr_and_results_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    base.say("hello\x1b")
    base.print_json({"a": "é"})

    assert capsys.readouterr() == ('{"a": "\\u00e9"}\n', "hello\\u001b\n")
