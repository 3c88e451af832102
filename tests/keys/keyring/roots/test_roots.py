from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config.settings import SecretReference
from proxy.core.errors import KeyringError
from proxy.keys import private_file
from proxy.keys.keyring.root_secret import Passphrase
from proxy.keys.keyring.roots import FileRoot, create_root_file
from proxy.keys.keyring.roots.passphrase import PassphraseRoot

PHRASE = "canary horse battery"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_one_newline_after_a_passphrase_is_dropped(tmp_path: Path, end: str) -> None:
    private_file.write(tmp_path / "pass", (PHRASE + end).encode())
    from_file = PassphraseRoot(SecretReference(file=tmp_path / "pass"), {}).fetch()
    from_env = PassphraseRoot(SecretReference(env="P"), {"P": PHRASE + end}).fetch()
    assert from_file == from_env == Passphrase(PHRASE)


@pytest.mark.parametrize("environ", [{}, {"P": ""}, {"P": "\n"}, {"P": "x" * 1025}])
def test_no_passphrase_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(KeyringError):
        PassphraseRoot(SecretReference(env="P"), environ).fetch()


def test_a_passphrase_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    private_file.write(tmp_path / "pass", b"\xff" * 20)
    with pytest.raises(KeyringError):
        PassphraseRoot(SecretReference(file=tmp_path / "pass"), {}).fetch()


def test_a_new_passphrase_has_at_least_12_characters() -> None:
    Passphrase("x9#Lm2$vQp7z").require_strength()
    with pytest.raises(KeyringError):
        Passphrase("x9#Lm2$vQp7").require_strength()


def test_a_passphrase_equals_nothing_but_its_like() -> None:
    assert Passphrase(PHRASE) != Passphrase(PHRASE + "!")
    assert Passphrase(PHRASE) != PHRASE


def test_a_passphrase_does_not_spread() -> None:
    phrase = Passphrase(PHRASE)
    root = PassphraseRoot(SecretReference(env="P"), {"P": PHRASE})
    assert "canary" not in f"{phrase} {phrase!r} {root!r}"
    for spread in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError):
            spread(phrase)


@pytest.mark.parametrize("content", [b"", b"A" * 42, b"A" * 43 + b"=", b"A" * 42 + b"B", b"+" * 43])
def test_a_malformed_root_key_is_refused(tmp_path: Path, content: bytes) -> None:
    private_file.write(tmp_path / "root.key", content)
    with pytest.raises(KeyringError):
        FileRoot(SecretReference(file=tmp_path / "root.key")).fetch()


def test_a_root_key_never_comes_from_the_environment() -> None:
    with pytest.raises(KeyringError):
        FileRoot(SecretReference(env="ROOT"), {"ROOT": "A" * 43}).fetch()


def test_a_root_key_file_is_not_overwritten(tmp_path: Path) -> None:
    create_root_file(tmp_path / "root.key", random=os.urandom)
    before = (tmp_path / "root.key").read_bytes()
    with pytest.raises(KeyringError):
        create_root_file(tmp_path / "root.key", random=os.urandom)
    assert (tmp_path / "root.key").read_bytes() == before


def test_a_passphrase_that_outlives_the_globals_of_its_module_is_silent() -> None:
    """At the exit of the interpreter `overwrite` may be None when the last passphrase ends."""
    program = (
        "from proxy.keys.keyring import root_secret\n"
        "one = root_secret.Passphrase('canary horse battery')\n"
        "root_secret.overwrite = None\n"
        "del one\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)  # noqa: S603 - our own program

    assert ended.stderr == b""
