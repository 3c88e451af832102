from __future__ import annotations

from pathlib import Path

import pytest

from proxy.admin.auth.tokens import BearerToken, Caller, Issued, Tokens, read_token, read_tokens
from proxy.config.settings import AdminToken, SecretReference
from proxy.core.errors import UnfitEnvironment

TOKEN = b"0123456789abcdef"


READER = Caller("reader", frozenset({"read"}))


def shown(tokens: Tokens, token: bytes, now: float = 0.0) -> Caller | None:
    return tokens.caller(token, now)


@pytest.mark.parametrize("wrong", [b"", TOKEN[:-1], TOKEN + b"0", TOKEN.upper(), TOKEN + b"\n"])
def test_only_the_token_itself_is_admitted(wrong: bytes) -> None:
    tokens = Tokens([Issued(BearerToken(TOKEN), READER)])

    assert shown(tokens, TOKEN) == READER
    assert shown(tokens, wrong) is None


def test_each_token_has_scopes_of_its_own_and_an_end() -> None:
    keeper = Caller("keeper", frozenset({"keys"}))
    other = b"other-token-of-the-tests"
    tokens = Tokens([Issued(BearerToken(TOKEN), READER, 10), Issued(BearerToken(other), keeper)])

    assert shown(tokens, TOKEN, 9.9) == READER
    assert shown(tokens, TOKEN, 10.0) is None
    assert shown(tokens, other, 1e12) == keeper


def test_a_token_shows_nothing_of_itself() -> None:
    assert TOKEN.decode() not in repr(BearerToken(TOKEN))


def test_a_token_is_read_from_a_private_file_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(TOKEN + b"\n")
    path.chmod(0o400)

    setting = AdminToken("reader", SecretReference(file=path), READER.scopes)

    assert shown(read_tokens([setting], {}), TOKEN) == READER


def test_a_token_is_read_from_the_environment() -> None:
    setting = AdminToken("reader", SecretReference(env="TOKEN"), READER.scopes)

    assert shown(read_tokens([setting], {"TOKEN": TOKEN.decode()}), TOKEN) == READER


@pytest.mark.parametrize("text", ["", "short", "0123456789 abcdef", "0123456789abcdeé"])
def test_what_is_no_token_is_refused_by_its_place(text: str) -> None:
    with pytest.raises(UnfitEnvironment) as caught:
        read_token(SecretReference(env="TOKEN"), {"TOKEN": text})

    assert "environment variable TOKEN" in caught.value.detail
    assert not text or text not in caught.value.detail


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(TOKEN)
    path.chmod(0o644)
    with pytest.raises(UnfitEnvironment, match="admin-token"):
        read_token(SecretReference(file=path), {})
