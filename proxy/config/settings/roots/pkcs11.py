"""The options of the root `pkcs11`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...declared.addresses import SecretReference, SecretSource
from ...declared.composed import ListOf
from ...declared.kinds import HOUR, Choice, Duration, File, PlainText
from ...declared.section import Section, setting

_LABEL: Final = PlainText(
    form=re.compile(r"[!-.0-~](?:[ -.0-~]{0,126}[!-.0-~])?"),
    refused="is not 1 to 128 printable ASCII characters, no `/`",
)
_VARIABLE: Final = PlainText(
    "NAME=VALUE",
    re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[ -~]*"),
    "is not NAME=VALUE",
    "for example `SOFTHSM2_CONF=/etc/softhsm2.conf`",
    secret=True,
)


@dataclass(frozen=True, slots=True)
class Pkcs11Options:
    """The module of a vendor, the token in one of its slots, and the label of a key on it.

    `environment` are texts NAME=VALUE for the module; `timeout` is in seconds.
    """

    module: Path = setting(File(), "The vendor's PKCS#11 module.")
    token: str = setting(_LABEL, "The label of the token.")
    serial: str = setting(_LABEL, "The serial number of the token.")
    key: str = setting(_LABEL, "The label of the key on the token.")
    pin: SecretReference = setting(SecretSource(in_file=True), "The user's PIN.")
    mechanism: str = setting(
        Choice("aes-gcm", "rsa-oaep", "rsa-oaep-256"),
        "How the key wraps: `aes-gcm` with an AES key of 256 bits; `rsa-oaep` (with SHA-1, which"
        " every token has) or `rsa-oaep-256` (SHA-256) with an RSA key.",
        default="aes-gcm",
    )
    timeout: float = setting(Duration(high=HOUR), "How long the token may take.", default=30.0)
    environment: tuple[str, ...] = setting(
        ListOf(_VARIABLE, "list of NAME=VALUE"),
        "Variables for the module. Of Sealyard's own environment it gets only `HOME`, `LANG`,"
        " `LD_LIBRARY_PATH`, `PATH`, `PYTHONPATH` and `TZ`.",
        default=(),
    )


OPTIONS: Final = Section(
    Pkcs11Options, "pkcs11", "`pkcs11`: a key of a token that a PKCS#11 module reaches"
)
