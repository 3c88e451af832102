"""A token of NSS (Firefox' PKCS#11 module) for tests: it has RSA-OAEP with SHA-256.

`python -m tests.nss_token LABELS` makes RSA keys: one process reads one database.
"""

from __future__ import annotations

import glob
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from proxy.config.settings import SecretReference
from proxy.config.settings.roots.pkcs11 import Pkcs11Options
from proxy.keys import private_file

_TOKEN: Final = "NSS Certificate DB"
_SERIAL: Final = "0" * 16
_MODULES: Final = "/usr/lib/*/libsoftokn3.so"


def nss_token(folder: Path, pin_file: Path, *labels: str) -> Pkcs11Options:
    """Return the options of a root by the first of the RSA keys, of a new token."""
    found, tool = glob.glob(_MODULES), shutil.which("certutil")  # noqa: PTH207 - of the whole system
    if not found or tool is None:
        pytest.skip("no NSS here: apt-get install libnss3-tools")
    folder.mkdir(parents=True)
    private_file.write(pin_file, secrets.token_hex(8).encode() + b"\n")
    subprocess.run(  # noqa: S603 - a database of the test
        [tool, "-N", "-d", f"sql:{folder}", "-f", str(pin_file)], check=True, timeout=60
    )
    environment = (f"NSS_LIB_PARAMS=configDir='sql:{folder}'",)
    subprocess.run(  # noqa: S603 - this file
        [sys.executable, "-m", "tests.nss_token", found[0], *labels],
        env=dict(one.split("=", 1) for one in environment),
        cwd=Path(__file__).parents[1],
        input=pin_file.read_bytes().strip(),
        check=True,
        timeout=120,
    )
    return Pkcs11Options(
        Path(found[0]),
        _TOKEN,
        _SERIAL,
        labels[0],
        SecretReference(file=pin_file),
        mechanism="rsa-oaep-256",
        environment=environment,
    )


def main(module: str, *labels: str) -> None:
    """Make an RSA key of each label."""
    import pkcs11  # noqa: PLC0415 - only in a process of its own

    token = pkcs11.lib(module).get_token(token_label=_TOKEN)
    attribute = pkcs11.Attribute
    kept = {attribute.EXTRACTABLE: False, attribute.SENSITIVE: True}
    with token.open(rw=True, user_pin=sys.stdin.read()) as session:
        for label in labels:
            session.generate_keypair(
                pkcs11.KeyType.RSA, 2048, label=label, store=True, private_template=kept
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
