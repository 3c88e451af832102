from __future__ import annotations

import json

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session

from ..conftest import Run

SESSION = Session(
    SessionKey(bytes(range(32))),
    sid=(1_700_000_000).to_bytes(4) + bytes(8),
    scope=Scope("clinic", "c1"),
    kek_id="k1",
    kek_number=1,
)
CONTEXT = Context(SESSION.scope, "content")
TOKEN = SESSION.seal(b"a secret of 20 bytes", CONTEXT).decode()


def test_a_token_is_told_in_words(run: Run) -> None:
    result = run("inspect", TOKEN)

    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert (rows["form"], rows["KEK"], rows["plaintext"]) == ("jwe", "k1", "20 bytes")
    assert (rows["token"], rows["created"]) == ("203 characters", "2023-11-14T22:13:20Z")


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_token_is_read_from_stdin(end: str, run: Run) -> None:
    result = run("inspect", "-", "--json", stdin=TOKEN + end)

    assert json.loads(result.stdout)["plaintext_bytes"] == 20


def test_the_number_of_a_kek_is_told_as_such(run: Run) -> None:
    short = SESSION.seal(b"x", CONTEXT, form="short").decode()

    assert "KEK        number 1\n" in run("inspect", short).stdout


def test_an_expired_token_is_a_no(run: Run) -> None:
    result = run("inspect", SESSION.seal(b"x", CONTEXT, exp=1).decode(), status=1)

    assert "expires    1970-01-01T00:00:01Z" in result.stdout
    assert "expired" in result.stderr


def test_what_is_no_token_is_a_no_with_its_reason(run: Run) -> None:
    result = run("inspect", TOKEN[:-3], status=1)

    expected = "error: This is not a token: its end is missing: it was cut.\n"
    assert ("", expected) == (result.stdout, result.stderr)


def test_a_no_has_its_json_too(run: Run) -> None:
    result = run("inspect", "--json", "hello", status=1)

    assert json.loads(result.stdout)["reason"] == "not-a-token"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--lengths", "x"], ["--lengths", "--kek-id", "a.b"], ["--lengths", "--bytes", "-1"]],
    ids=str,
)
def test_wrong_usage_ends_with_2(arguments: list[str], run: Run) -> None:
    run("inspect", *arguments, status=2)


def test_lengths_are_told_for_the_usual_sizes(run: Run) -> None:
    rows = [line.split() for line in run("inspect", "--lengths").stdout.splitlines()]

    assert ["1024", "1546", "1427"] in rows
    assert ["255", "56", "145"] in rows


def test_lengths_are_told_for_the_sizes_that_were_asked(run: Run) -> None:
    result = run("inspect", "--lengths", "--bytes", "20", "--chars", "100", "--json")

    assert json.loads(result.stdout) == {
        "kek_id": "k0000",
        "lengths": [{"plaintext_bytes": 20, "jwe": 207, "short": 88}],
        "capacities": [{"characters": 100, "jwe": None, "short": 29}],
    }


def test_a_column_that_is_too_narrow_is_told_so(run: Run) -> None:
    assert "too narrow" in run("inspect", "--lengths", "--chars", "40").stdout
