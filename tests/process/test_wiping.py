"""What is taken out of the environment stands nowhere in it any more."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

import pytest

from proxy.core.errors import KeyringError
from proxy.keys.keyring.root_secret import Passphrase, RootKey, Salted
from proxy.keys.keyring.roots import passphrase as taken
from proxy.process import hardening

from .searching import can_read, places

SCRIPT = """
import os, sys
from proxy.process.hardening import overwrite, taken

found = taken("SECRET")
again = taken("SECRET"), taken("NEVER"), os.environ.get("SECRET"), os.getenv("SECRETS")
print(len(found), again, flush=True)
overwrite(found)
print("overwritten", flush=True)
input()
"""


@pytest.mark.skipif(not can_read(), reason="reads another process: needs Linux and root's rights")
def test_what_is_taken_and_overwritten_is_neither_in_environ_nor_in_memory() -> None:
    secret, other = secrets.token_hex(32), secrets.token_hex(32)
    environ = {**os.environ, "SECRET": secret, "SECRETS": other, "XSECRET": other}
    with subprocess.Popen(  # noqa: S603 - this interpreter, and a script that stands above
        [sys.executable, "-c", SCRIPT], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        told = child.stdout.readline().decode()
        child.stdout.readline()
        try:
            assert told == f"64 (None, None, None, '{other}')\n"
            assert places(child.pid, secret[32:].encode()) == []
            assert len(places(child.pid, other[32:].encode())) > 2
        finally:
            child.stdin.write(b"\n")


@pytest.mark.parametrize("value", ["", "x", "word word", "\udcff not utf-8", "=", "a" * 5000])
def test_what_is_taken_is_what_was_set(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SEALYARD_TEST", value)
    monkeypatch.setenv("SEALYARD_TEST_2", "stays")
    assert hardening.taken("SEALYARD_TEST") == bytearray(os.fsencode(value))
    assert "SEALYARD_TEST" not in os.environ
    assert os.environ["SEALYARD_TEST_2"] == "stays"
    child = subprocess.run(["/usr/bin/env"], capture_output=True, text=True, check=True)
    assert "SEALYARD_TEST=" not in child.stdout
    assert [bytes((byte,)) for byte in b"x="] == [b"x", b"="]  # all share these


# --- passphrases ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def nothing_taken() -> None:
    taken._TAKEN.clear()


def test_a_forgotten_passphrase_opens_what_it_opened_and_nothing_else() -> None:
    passphrase, one = Passphrase("correct horse battery"), Salted(b"a" * 16, 220_000)
    key = passphrase.derive(one)
    passphrase.forget()
    assert passphrase.derive(one) == key
    assert passphrase.reveal() == b""
    with pytest.raises(KeyringError, match="restart"):
        passphrase.derive(Salted(b"b" * 16, 220_000))
    with pytest.raises(KeyringError, match="at least 12"):
        passphrase.require_strength()


def test_a_passphrase_keeps_a_few_keys_alone() -> None:
    passphrase = Passphrase.forgotten()
    for number in range(20):
        passphrase.remember(Salted(bytes([number]) * 16, 220_000), RootKey(bytes(32)))
    assert [one.salt[0] for one in passphrase.derived] == list(range(12, 20))


def test_the_memory_of_a_passphrase_is_overwritten_when_nobody_has_it() -> None:
    text = bytearray(b"correct horse battery")
    passphrase = Passphrase(text)
    del passphrase
    assert text == bytes(21)


@pytest.mark.parametrize("text", [b"", b"x" * 1025, b"\xff" * 20, b"\xc3"])
def test_what_is_no_passphrase_is_refused(text: bytes) -> None:
    with pytest.raises(KeyringError, match="1 to 1024 bytes of UTF-8"):
        Passphrase(bytearray(text))


def test_what_a_supervisor_hands_over_opens_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "correct horse battery\n")
    monkeypatch.setenv("TWO", "ünïcode pässphrase")
    one, two = taken.passphrase("ONE"), taken.passphrase("TWO")
    assert one is not None
    assert two is not None
    key = one.derive(Salted(b"a" * 16, 220_000))
    taken.forget("ONE")
    taken.forget("THREE")
    data = taken.handed_over()

    taken._TAKEN.clear()
    taken.take_over(data)

    assert set(data) == {0}
    there, whole = taken.passphrase("ONE"), taken.passphrase("TWO")
    assert there is not None
    assert whole is not None
    assert (there.reveal(), whole.reveal()) == (b"", "ünïcode pässphrase".encode())
    assert there.derive(Salted(b"a" * 16, 220_000)) == key
    assert taken.passphrase("THREE") is None


def test_what_was_cut_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "correct horse battery")
    taken.passphrase("ONE")
    for size in (1, 5):
        with pytest.raises(KeyringError, match="truncated"):
            taken.take_over(taken.handed_over()[:size])


def test_one_that_is_set_again_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("correct horse battery", "another one altogether"):
        monkeypatch.setenv("ONE", text)
        found = taken.passphrase("ONE")
        assert found is not None
        assert found.reveal() == text.encode()
        assert taken.passphrase("ONE") is found
    monkeypatch.setenv("ONE", "\n")
    assert taken.passphrase("ONE") is None
