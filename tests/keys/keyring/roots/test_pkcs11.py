"""PKCS#11: SoftHSM, and around it a module that does what other tokens do."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import KeyringError
from proxy.keys.keyring import pkcs11_process
from proxy.keys.keyring.roots.pkcs11 import Pkcs11Root
from tests.contracts import root_service
from tests.nss_token import nss_token
from tests.softhsm import KEYS, MODULE, Token, a_token

ID, OTHER = "A" * 22, "B" * 22
CANARY = b"canary of a root key"
OAEP = {"key": "rsa", "mechanism": "rsa-oaep"}


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Token:
    """A token with one key of each sort."""
    folder = tmp_path_factory.mktemp("token")
    return a_token(folder / "hsm", folder / "pin", KEYS)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module that is built from token_shim.c."""
    compiler = shutil.which("cc")
    if compiler is None or not MODULE.exists():
        pytest.skip("no C compiler or SoftHSM here: apt-get install gcc libc6-dev softhsm2")
    made = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("token_shim.c")
    subprocess.run(  # noqa: S603 - the file beside this one
        [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(made), str(source), "-ldl"],
        check=True,
        timeout=120,
    )
    return made


@pytest.mark.parametrize(
    ("changes", "others"),
    [({}, {"key": "other"}), (OAEP, {**OAEP, "key": "rsa2"})],
    ids=["aes-gcm", "rsa-oaep"],
)
def test_a_token_holds_the_contract_of_roots(
    token: Token, tmp_path: Path, changes: dict[str, Any], others: dict[str, Any]
) -> None:
    root_service.holds_the_contract(token.root(**changes), token.root(**others), tmp_path)


@pytest.mark.parametrize("changes", [{}, OAEP], ids=["aes-gcm", "rsa-oaep"])
def test_a_token_opens_what_it_wrapped_and_nothing_of_another_keyring(
    token: Token, changes: dict[str, Any]
) -> None:
    root = token.root(**changes)
    members = root.wrap(CANARY, ID)

    assert root.unwrap(members, ID) == CANARY
    assert root.key == f"sealyard/{changes.get('key', 'aes')}"
    with pytest.raises(KeyringError, match="does not open: another keyring"):
        root.unwrap(members, OTHER)
    for changed in ({"mechanism": "rsa-oaep-256"}, {"ct": "AAAA"}, {"ct": ""}, {"module": "x"}):
        with pytest.raises(KeyringError):
            root.unwrap({**members, **changed}, ID)


def test_a_token_with_oaep_of_sha_256_holds_the_contract_too(tmp_path: Path) -> None:
    options = nss_token(tmp_path / "nss", tmp_path / "pin", "rsa", "rsa2")
    root = Pkcs11Root(options, {})
    root_service.holds_the_contract(root, Pkcs11Root(replace(options, key="rsa2"), {}), tmp_path)
    members = root.wrap(CANARY, ID)

    assert (members["mechanism"], root.unwrap(members, ID)) == ("rsa-oaep-256", CANARY)
    with pytest.raises(KeyringError, match="does not open: another keyring"):
        root.unwrap(members, OTHER)
    sha_1 = Pkcs11Root(replace(options, mechanism="rsa-oaep"), {})
    with pytest.raises(KeyringError, match="does not open: another keyring"):
        sha_1.unwrap({**members, "mechanism": "rsa-oaep"}, ID)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"module": Path("/no/module.so")}, "the module cannot be loaded"),
        ({"module": Path(__file__)}, "the module cannot be loaded"),
        ({"token": "other"}, "no slot has a token with this label and serial number"),
        ({"serial": "0000"}, "no slot has a token with this label and serial number"),
        ({"key": "absent"}, "the token has no key of this label for the mechanism"),
        ({"key": "rsa"}, "the token has no key of this label for the mechanism"),
        ({"key": "twin"}, "the token has several keys of this label"),
        ({"key": "short"}, "the key has less than 256 bits"),
        ({"key": "loose"}, "the key may leave the token"),
        ({"key": "signer", "mechanism": "rsa-oaep"}, "the key may not be used for this"),
        ({**OAEP, "mechanism": "rsa-oaep-256"}, "does not have the mechanism with these"),
        ({"timeout": 0.001}, "no answer in 0.001 s"),
    ],
)
def test_every_failure_has_a_sentence_of_its_own(
    token: Token, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(KeyringError, match=re.escape(reason)):
        token.root(**changes).wrap(CANARY, ID)


def test_a_wrong_pin_is_told_and_tried_once(token: Token, shim: Path, tmp_path: Path) -> None:
    logins, pin = tmp_path / "logins", tmp_path / "pin"
    environment = (*token.options.environment, f"SHIM_LOGINS={logins}")
    reference = type(token.options.pin)(file=pin)
    root = token.root(module=shim, environment=environment, pin=reference)
    pin.touch(mode=0o600)
    with pytest.raises(KeyringError, match="holds no PIN"):
        root.wrap(CANARY, ID)
    pin.write_bytes(b"\xff\n")
    with pytest.raises(KeyringError, match="not UTF-8"):
        root.wrap(CANARY, ID)

    pin.write_text("canary-pin\n")
    for reason in ("is wrong", "refused the PIN", "refused the PIN"):
        with pytest.raises(KeyringError, match=reason) as refused:
            root.wrap(CANARY, ID)
        assert "canary-pin" not in str(refused.value)
    assert logins.read_text() == "login\n"

    pin.write_text(f"{token.pin}\n")
    os.utime(pin, ns=(time.time_ns(), time.time_ns() + 1))
    assert root.unwrap(root.wrap(CANARY, ID), ID) == CANARY


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("locked", "the PIN is locked"),
        ("locks", "the PIN is locked"),
        ("final-try", "one more wrong PIN would lock the token: not tried"),
        ("removed", "the token is away"),
        ("vendor", "does not open"),
        ("crashes", "the module ended the process that asked it"),
        ("hangs", "no answer in 5 s"),
    ],
)
def test_what_a_token_may_do_is_a_failure(
    token: Token, shim: Path, tmp_path: Path, does: str, reason: str
) -> None:
    logins = tmp_path / "logins"
    members = token.root().wrap(CANARY, ID)
    environment = (*token.options.environment, f"SHIM_DOES={does}", f"SHIM_LOGINS={logins}")
    root = token.root(module=shim, environment=environment, timeout=5.0)
    with pytest.raises(KeyringError, match=re.escape(reason)):
        root.unwrap(members, ID)
    assert logins.exists() == (does not in {"locked", "final-try"})


def test_a_token_with_an_iv_of_its_own_makes_no_wrapping(token: Token, shim: Path) -> None:
    environment = (*token.options.environment, "SHIM_DOES=own-iv")
    with pytest.raises(KeyringError, match="does not open what it wrapped"):
        token.root(module=shim, environment=environment).wrap(CANARY, ID)


@pytest.mark.parametrize("does", ["prints", "hangs-at-exit"])
def test_what_a_module_prints_and_how_it_ends_does_not_matter(
    token: Token, shim: Path, does: str, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = (*token.options.environment, f"SHIM_DOES={does}")
    root = token.root(module=shim, environment=environment, timeout=20.0)

    assert root.unwrap(token.root().wrap(CANARY, ID), ID) == CANARY
    assert capfd.readouterr() == ("", "")


def test_neither_pin_nor_key_is_in_arguments_environment_or_core_dump(
    token: Token, shim: Path
) -> None:
    environment = (*token.options.environment, "SHIM_DOES=hangs")
    root = token.root(module=shim, environment=environment, timeout=8.0)
    found: list[bytes] = []

    def look() -> None:
        deadline = time.monotonic() + 7
        while time.monotonic() < deadline:
            for folder in _processes():
                if b"shim.so" in (maps := (folder / "maps").read_bytes()):
                    parts = (folder / name for name in ("cmdline", "environ", "limits"))
                    found.extend((maps, *(one.read_bytes() for one in parts)))
                    return
            time.sleep(0.05)

    looking = threading.Thread(target=look)
    looking.start()
    with pytest.raises(KeyringError, match="no answer"):
        root.wrap(CANARY, ID)
    looking.join()
    _, arguments, variables, limits = found
    assert b"pkcs11_process" in arguments
    assert b"SHIM_DOES" in variables
    for secret in (token.pin.encode(), CANARY, base64.b64encode(CANARY)):
        assert secret not in arguments + variables
    assert re.search(rb"Max core file size +0 +0 ", limits)
    assert token.pin not in repr(root)
    assert _processes() == []


def _processes() -> list[Path]:
    """Return the folders in /proc of our children that ask a token."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            ours = parent == os.getpid() and b"pkcs11_process" in (
                status.with_name("cmdline").read_bytes()
            )
        except (OSError, IndexError):
            continue
        if ours:
            found.append(status.parent)
    return found


def test_this_process_never_loads_the_library(token: Token) -> None:
    token.root().wrap(CANARY, ID)

    maps = Path("/proc/self/maps").read_text()
    assert "softhsm" not in maps
    assert "_pkcs11" not in maps


def test_without_the_extra_it_is_said(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(KeyringError, match=r"install `sealyard\[pkcs11\]`"):
        pkcs11_process.answer({})
