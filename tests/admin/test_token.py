from __future__ import annotations

from pathlib import Path

import pytest

from proxy.admin.token import BearerToken, read_token
from proxy.config.settings import SecretReference
from proxy.core.errors import UnfitEnvironment

TOKEN = b"0123456789abcdef"


@pytest.mark.parametrize(
    ("authorization", "admitted"),
    [
        (b"Bearer " + TOKEN, True),
        (b"bearer  " + TOKEN + b" ", True),
        (TOKEN, False),
        (b"Basic " + TOKEN, False),
        (b"Bearer " + TOKEN[:-1], False),
        (b"Bearer " + TOKEN + b"0", False),
        (b"Bearer ", False),
        (b"", False),
    ],
)
def test_only_the_token_itself_is_admitted(authorization: bytes, *, admitted: bool) -> None:
    assert BearerToken(TOKEN).admits(authorization) is admitted


def test_a_token_shows_nothing_of_itself() -> None:
    assert TOKEN.decode() not in repr(BearerToken(TOKEN))


def test_a_token_is_read_from_a_private_file_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(TOKEN + b"\n")
    path.chmod(0o400)

    assert read_token(SecretReference(file=path), {}).admits(b"Bearer " + TOKEN)


def test_a_token_is_read_from_the_environment() -> None:
    token = read_token(SecretReference(env="TOKEN"), {"TOKEN": TOKEN.decode()})

    assert token.admits(b"Bearer " + TOKEN)


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
