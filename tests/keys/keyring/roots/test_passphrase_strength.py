"""New passphrases: what guessing begins with is refused, and what people think of is taken."""

from __future__ import annotations

import string
from random import Random  # noqa: TID251 - the same texts in each run

import pytest

from proxy.core.errors import KeyringError
from proxy.keys.keyring.root_secret import Passphrase, weakness
from proxy.keys.policy import LEAST_CHARS

WEAK = (
    "aaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abababababab",
    "abcabcabcabcabc",
    "abcdefghijkl",
    "zyxwvutsrqpo",
    "123456789012",
    "098765432109",
    "112233445566",
    "111222333444555",
    "qwertyuiopas",
    "QWERTYuiop12",
    "qwertzuiop12",
    "asdfghjkl;zxcvbnm",
    "1qaz1qaz1qaz1qaz",
    "password1234",
    "Password123!",
    "P@ssw0rd1234",
    "passwordpassword",
    "adminadmin123",
    "changemechangeme",
    "sealyard2024",
    "secretsecret1",
    "letmein12345",
    "hunter2hunter2",
    "correct horse battery staple",
    "CorrectHorseBatteryStaple",
    "ääääääääääää",
    "            ",
    "000000000000000000000001",
)
STRONG = (
    "correct horse battery",
    "another passphrase of tests",
    "a long passphrase",
    "kinto acceptance passphrase",
    "Tr0ub4dor&3xyQ",
    "wortreich im alten Garten",
    "sechs rote Äpfel am Baum",
    "密碼是一個很長的句子沒錯",
    "my dog eats 3 socks",
    "x9#Lm2$vQp7z",
    "493817205618",
    "deadbeefcafe0123f00d9a",
)


@pytest.mark.parametrize("text", WEAK)
def test_what_is_tried_first_guards_nothing_new(text: str) -> None:
    with pytest.raises(KeyringError, match="a new passphrase") as caught:
        Passphrase(text).require_strength()
    assert text not in str(caught.value)


@pytest.mark.parametrize("text", STRONG)
def test_what_people_think_of_is_taken(text: str) -> None:
    assert Passphrase(text).weakness is None
    Passphrase(text).require_strength()


def test_short_ones_are_told_the_length() -> None:
    assert weakness(bytearray(b"x9#Lm2$vQp7")) == f"needs at least {LEAST_CHARS} characters"


@pytest.mark.parametrize(
    "alphabet", [string.ascii_lowercase, string.ascii_letters + string.digits, string.hexdigits]
)
def test_random_ones_are_taken(alphabet: str) -> None:
    # One in 3 * 10^8 of twenty hexadecimal digits has fewer than six different ones.
    random = Random(20)  # noqa: S311 - as above
    for _ in range(300):
        text = "".join(random.choices(alphabet, k=20))
        assert weakness(bytearray(text.encode())) is None, text


def test_the_passphrase_stays_as_it_is() -> None:
    text = bytearray(b"Correct Horse Battery")
    assert weakness(text) is None
    assert text == b"Correct Horse Battery"
