from __future__ import annotations

import errno

import click
import pytest

from proxy.cli.support.failure import Failure, exit_code, message, printable, translated
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
        (FileNotFoundError(errno.ENOENT, "No such file", "a.txt"), "a.txt: No such file"),
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
