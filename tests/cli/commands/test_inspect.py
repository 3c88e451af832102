from __future__ import annotations

import json

import pytest

from proxy.cli.commands.inspect import Capacity, Length, capacity, complaint, facts, head_of, length
from proxy.core.crypto import base64url, token
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import KeyId
from proxy.core.errors import OpenFailed
from proxy.core.leaves import token_text

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


def test_a_token_in_base64_form_is_told_and_so_is_what_is_wrong_with_one(run: Run) -> None:
    text = SESSION.seal(b"a scan", CONTEXT, form="base64").decode()

    rows = dict(line.split(maxsplit=1) for line in run("inspect", text).stdout.splitlines())
    assert (rows["form"], rows["KEK"], rows["plaintext"]) == ("base64", "k1", "6 bytes")
    assert "no canonical base64 with padding" in run("inspect", text[:-1], status=1).stderr


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

    expected = (
        "error: TOKEN is not a token: it is truncated: its end is missing; give the whole value as"
        " it is stored\n"
    )
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

    assert ["1024", "1546", "1448", "1604"] in rows
    assert ["255", "56", "129", "12"] in rows


def test_lengths_are_told_for_the_sizes_that_were_asked(run: Run) -> None:
    result = run("inspect", "--lengths", "--bytes", "20", "--chars", "100", "--json")

    assert json.loads(result.stdout) == {
        "kek_id": "k0000",
        "lengths": [{"plaintext_bytes": 20, "jwe": 207, "short": 110, "base64": 264}],
        "capacities": [{"characters": 100, "jwe": None, "short": 13, "base64": None}],
    }


def test_a_column_that_is_too_narrow_is_told_so(run: Run) -> None:
    assert "too narrow" in run("inspect", "--lengths", "--chars", "40").stdout


SID = (1_700_000_000).to_bytes(4) + bytes(8)
NOW = 1_700_000_100.0


def a_token(cty: str | None = None, exp: int | None = None, kek_id: str | None = "k1") -> bytes:
    head = token.encode_header(KeyId(SID, kek_id=kek_id), bytes(16), cty, exp)
    return token_text(head, bytes(12), bytes(20 + 16))


def a_short_token(number: int | None = 7, *, json: bool = False) -> bytes:
    head = token.short_head(KeyId(SID, kek_number=number), json=json)
    return token.encode_short(head + bytes(12 + 16), bytes(20 + 16))


def with_header(header: str) -> bytes:
    return b".".join((base64url.encode(header.encode()), b"", b"", b"", b""))


def test_a_durable_token_tells_key_times_and_sizes() -> None:
    found = facts(a_token(cty="json", exp=1_700_000_000), NOW)

    assert found.document() == {
        "valid": True,
        "form": "jwe",
        "key": "durable",
        "kek_id": "k1",
        "kek_number": None,
        "session": base64url.encode(SID).decode(),
        "created": "2023-11-14T22:13:20Z",
        "cty": "json",
        "exp": "2023-11-14T22:13:20Z",
        "expired": True,
        "binding": "ctx",
        "token_characters": len(a_token(cty="json", exp=1_700_000_000)),
        "plaintext_bytes": 20,
    }


def test_a_short_token_tells_the_number_of_its_kek() -> None:
    found = facts(a_short_token(json=True), NOW)

    assert (found.form, found.key, found.kek_number) == ("short", "durable", 7)
    assert (found.cty, found.binding, found.token_characters) == ("json", "its commitment", 110)


@pytest.mark.parametrize("text", [a_token(kek_id=None), a_short_token(None)])
def test_an_ephemeral_token_has_no_kek(text: bytes) -> None:
    found = facts(text, NOW)

    assert (found.key, found.kek_id, found.kek_number) == ("ephemeral", None, None)


def test_a_token_of_a_key_package_is_told_by_its_commitment() -> None:
    head = token.encode_header(KeyId(SID), bytes(32))
    found = facts(token_text(head, bytes(12), bytes(16)), NOW)

    assert found.binding == "ctx, for a key package"


@pytest.mark.parametrize(("age", "expired"), [(60, False), (61, True)])
def test_a_token_expires_when_it_no_longer_opens(age: int, expired: bool) -> None:  # noqa: FBT001 - an expected value
    assert facts(a_token(exp=1000), 1000.0 + age).expired is expired


def test_a_time_beyond_the_calendar_is_told_in_seconds() -> None:
    assert facts(a_token(exp=999_999_999_999), NOW).exp == "999999999999 s after 1970"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "it is empty"),
        (b" " + a_token(), "it has white space around it"),
        (a_token()[:-1], "it is truncated: its end is missing"),
        (a_token()[:60], "it is truncated: its end is missing"),
        (a_token().replace(b"..", b".x."), "it does not have the parts of a complete token"),
        (a_token()[:-1] + b"B", "a part is not canonical base64url without padding"),
        (b"hello", "it does not begin like a token of Sealyard"),
        (b"eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.e30.AA", 'its header says typ="JWT", not "sy1"'),
        (
            with_header('{"typ":"sy1","alg":"RSA1_5\\u001b"}'),
            "it does not have the parts of a complete token",
        ),
        (b"eyJ.e30.AA", "its header is not base64url of JSON"),
        (b"sy1.AAAA", "it does not have the parts of a complete token"),
        (b"sy1.A-=", "a part is not canonical base64url without padding"),
    ],
)
def test_a_text_that_is_no_token_is_told_what_is_wrong_with_it(text: bytes, sentence: str) -> None:
    with pytest.raises(OpenFailed) as caught:
        facts(text, NOW)

    assert complaint(text, caught.value) == sentence


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (
            '{"typ":"sy1","alg":"RSA1_5\\u001b"}',
            'its header says alg="RSA1_5\\u001b", not "dir"',
        ),
        (
            '{"typ":"sy1","alg":"dir","enc":"A256GCM","zip":"DEF"}',
            'its header has the member "zip", which is not allowed',
        ),
        (
            '{"typ":"sy1","alg":"dir","enc":"A256GCM","kid":"k1.x"}',
            "a member of its header is malformed, missing, repeated, or out of order",
        ),
    ],
)
def test_a_header_that_is_not_ours_is_told_its_first_difference(header: str, sentence: str) -> None:
    text = token_text(base64url.encode(header.encode()), bytes(12), bytes(16))
    with pytest.raises(OpenFailed) as caught:
        facts(text, NOW)

    assert complaint(text, caught.value) == sentence


HEAD = head_of("k1")


@pytest.mark.parametrize(
    ("size", "jwe", "short", "base64"),
    [(20, 203, 110, 260), (1024, 1542, 1448, 1596)],
    ids=["20 bytes", "1 KiB"],
)
def test_lengths_are_those_of_the_wire_format(size: int, jwe: int, short: int, base64: int) -> None:
    assert length(size, HEAD) == Length(size, jwe, short, base64)
    assert len(SESSION.seal(bytes(size), CONTEXT, form="base64")) == base64


def test_a_column_of_255_characters_holds_129_bytes_or_59() -> None:
    assert capacity(255, HEAD) == Capacity(255, 59, 129, 16)


@pytest.mark.parametrize(("characters", "short"), [(82, None), (83, 0)])
def test_a_column_may_be_too_narrow_for_anything(characters: int, short: int | None) -> None:
    assert capacity(characters, HEAD) == Capacity(characters, None, short, None)
