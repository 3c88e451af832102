"""SoftHSM tokens for tests: each in a folder of its own, with a PIN file and keys.

`python -m tests.softhsm FOLDER KEYS` makes the keys: one process reads one configuration.
"""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.config.settings import SecretReference
from proxy.config.settings.roots.pkcs11 import Pkcs11Options
from proxy.keys import private_file
from proxy.keys.keyring.roots.pkcs11 import Pkcs11Root

MODULE: Final = Path("/usr/lib/softhsm/libsofthsm2.so")
TOKEN: Final = "sealyard"
KEYS: Final = ("aes", "other", "rsa", "rsa2", "short", "loose", "twin", "twin", "signer")


@dataclass(frozen=True)
class Token:
    """A token, and the options of a root that uses its AES key."""

    folder: Path
    options: Pkcs11Options

    @property
    def pin(self) -> str:
        """The PIN."""
        path = self.options.pin.file
        assert path is not None
        return path.read_text().strip()

    def root(self, **changes: Any) -> Pkcs11Root:  # noqa: ANN401 - as `replace`
        """Return a root with these options changed."""
        return Pkcs11Root(replace(self.options, **changes), {})

    def make(self, label: str) -> None:
        """Make a key of that label, one of KEYS."""
        _run(self, "make", label)

    def remove(self, label: str) -> None:
        """Destroy the key of that label, as its owner would."""
        _run(self, "remove", label)

    def pull_out(self) -> None:
        """Take it out of its slot."""
        (self.folder / "tokens").rename(self.folder / "away")
        (self.folder / "tokens").mkdir()

    def put_in(self) -> None:
        """Put it back."""
        (self.folder / "tokens").rmdir()
        (self.folder / "away").rename(self.folder / "tokens")


def a_token(folder: Path, pin_file: Path, keys: tuple[str, ...] = ("aes",)) -> Token:
    """Return a new token with these of KEYS."""
    if not MODULE.exists() or shutil.which("softhsm2-util") is None:
        pytest.skip("no SoftHSM here: apt-get install softhsm2")
    folder.mkdir(parents=True)
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n"
    )
    pin = secrets.token_hex(8)
    officer = ("--so-pin", secrets.token_hex(8))
    _tool(configuration, "--init-token", "--free", "--label", TOKEN, "--pin", pin, *officer)
    private_file.write(pin_file, pin.encode() + b"\n")
    shown = _tool(configuration, "--show-slots")
    (serial,) = re.findall(r"Serial number: +([0-9a-f]+)", shown)
    options = Pkcs11Options(
        MODULE,
        TOKEN,
        serial,
        "aes",
        SecretReference(file=pin_file),
        environment=(f"SOFTHSM2_CONF={configuration}",),
    )
    made = Token(folder, options)
    _run(made, "make", *keys)
    return made


def _tool(configuration: Path, *arguments: str) -> str:
    return subprocess.run(  # noqa: S603 - a token of the test
        [shutil.which("softhsm2-util") or "", *arguments],
        env={"SOFTHSM2_CONF": str(configuration)},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def _run(token: Token, action: str, *labels: str) -> None:
    subprocess.run(  # noqa: S603 - this file
        [sys.executable, "-m", "tests.softhsm", action, *labels],
        env={"SOFTHSM2_CONF": str(token.folder / "softhsm2.conf")},
        cwd=Path(__file__).parents[1],
        input=token.pin.encode(),
        check=True,
        timeout=120,
    )


def main(action: str, *labels: str) -> None:
    """Make or remove the keys of these labels."""
    import pkcs11  # noqa: PLC0415 - only in a process of its own

    token = pkcs11.lib(str(MODULE)).get_token(token_label=TOKEN)
    with token.open(rw=True, user_pin=sys.stdin.read()) as session:
        for label in labels:
            if action == "make":
                _make(pkcs11, session, label)
                continue
            for one in session.get_objects({pkcs11.Attribute.LABEL: label}):
                one.destroy()


def _make(pkcs11: Any, session: Any, label: str) -> None:  # noqa: ANN401 - of an extra
    aes, rsa = pkcs11.KeyType.AES, pkcs11.KeyType.RSA
    if label == "loose":
        loose = {pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False}
        session.generate_key(aes, 256, label=label, store=True, template=loose)
    elif label == "signer":
        session.generate_keypair(
            rsa, 2048, label=label, store=True, capabilities=pkcs11.MechanismFlag.SIGN
        )
    elif label in {"rsa", "rsa2"}:
        session.generate_keypair(rsa, 2048, label=label, store=True)
    else:
        session.generate_key(aes, 128 if label == "short" else 256, label=label, store=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
