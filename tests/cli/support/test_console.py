from __future__ import annotations

import errno
import io
import sys
from types import SimpleNamespace

import click
import pytest

from proxy.cli.support import console
from proxy.cli.support.console import Failure, exit_code, message, printable, translated
from proxy.core.errors import (
    ConfigurationError,
    InternalError,
    InvalidExpression,
    KeyringError,
    KeyUnavailable,
    OpenFailed,
    SealyardError,
    UnfitEnvironment,
    ValueTooLong,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OpenFailed("bad-tag"), 1),
        (ValueTooLong(), 1),
        (InvalidExpression("$ is missing"), 2),
        (ConfigurationError(("a:1:1 x y",)), 3),
        (KeyringError("x"), 3),
        (UnfitEnvironment("x"), 3),
        (KeyUnavailable(), 3),
        (InternalError(), 3),
    ],
)
def test_the_exit_code_tells_who_can_mend_it(error: SealyardError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OpenFailed(), "A sealed value does not open"),
        (OpenFailed("bad-tag"), "A sealed value does not open: bad-tag"),
        (
            InvalidExpression("no $", hint="write $.a"),
            "An expression in the configuration is invalid: no $: write $.a",
        ),
        (ConfigurationError(("f:1:2 a b",)), "The configuration has errors: f:1:2 a b"),
        (
            ConfigurationError(("f:1:2 a b", "f:3:4 c d")),
            "The configuration has errors:\nf:1:2 a b\nf:3:4 c d",
        ),
    ],
)
def test_a_message_is_title_reason_and_detail(error: SealyardError, text: str) -> None:
    assert message(error) == text


def test_nothing_in_a_message_steers_the_terminal() -> None:
    assert printable("a\x1b[2J\r\u2028é\nb") == "a\\u001b[2J\\r\\u2028é\nb"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            FileNotFoundError(errno.ENOENT, "No such file", "a.txt"),
            "a.txt: No such file; check the path",
        ),
        (OSError("text"), "OSError"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(error: OSError, text: str) -> None:
    with pytest.raises(Failure) as caught, translated():
        raise error

    assert (caught.value.message, caught.value.exit_code) == (text, 3)


def test_a_mistake_of_ours_is_named_without_its_text() -> None:
    with pytest.raises(Failure) as caught, translated():
        raise ValueError("CANARY")

    assert "ValueError at " in caught.value.message
    assert "CANARY" not in caught.value.message


@pytest.mark.parametrize(
    "error",
    [click.UsageError("x"), click.Abort(), click.exceptions.Exit(0), BrokenPipeError(errno.EPIPE)],
)
def test_what_click_ends_with_passes(error: BaseException) -> None:
    if isinstance(error, BrokenPipeError):
        error = BrokenPipeError(errno.EPIPE, "Broken pipe")
    with pytest.raises(type(error)), translated():
        raise error


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_dash_reads_stdin_without_the_end_of_the_line(
    end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, b"four" + end)

    assert console.read_argument("-", limit=4) == b"four"


def test_an_argument_is_taken_as_its_bytes() -> None:
    assert console.read_argument("é\udcff", limit=10) == "é".encode() + b"\xff"


def test_more_than_the_limit_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"x" * 100)

    with pytest.raises(click.UsageError):
        console.read_argument("-", limit=4)


def test_talk_goes_to_stderr_and_results_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("hello\x1b")
    console.print_json({"a": "é"})

    assert capsys.readouterr() == ('{"a": "\\u00e9"}\n', "hello\\u001b\n")


def test_a_time_comes_back_as_it_was_said() -> None:
    assert console.utc(int(console.parse_time("2026-11-24T18:00:00Z"))) == "2026-11-24T18:00:00Z"


def test_an_offset_counts_and_parts_of_seconds_do() -> None:
    whole = console.parse_time("2026-11-24T18:00:00Z")
    assert console.parse_time("2026-11-24T20:00:00.5+02:00") == whole + 0.5


@pytest.mark.parametrize("text", ["", "now", "2026-11-24T18:00:00", "1795546078"])
def test_anything_else_is_a_mistake_of_usage(text: str) -> None:
    with pytest.raises(click.UsageError):
        console.parse_time(text)
