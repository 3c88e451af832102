"""The options of the root `pkcs11`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...settings import SecretReference
from ...yaml.nodes import Place, Problems
from ...yaml.scalars import choice, elements, positive_duration, texts
from .. import tables
from ..addresses import Files
from ..tables import Fields, Key, Table
from .kind import RootOptions, matching, secret_file

MECHANISMS: Final = ("aes-gcm", "rsa-oaep", "rsa-oaep-256")
_LABEL: Final = re.compile(r"[!-.0-~](?:[ -.0-~]{0,126}[!-.0-~])?")
_A_LABEL: Final = "1 to 128 printable ASCII characters, no `/`"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[ -~]*")
_SECONDS: Final = 30.0
_MOST_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Pkcs11Options:
    """The module of a vendor, the token in one of its slots, and the label of a key on it.

    `environment` are texts NAME=VALUE for the module; `timeout` is in seconds.
    """

    module: Path
    token: str
    serial: str
    key: str
    pin: SecretReference
    mechanism: str = "aes-gcm"
    timeout: float = _SECONDS
    environment: tuple[str, ...] = ()


_TABLE: Final = Table(
    "pkcs11",
    "`pkcs11`: a key of a token that a PKCS#11 module reaches",
    (
        Key("module", "path", "The vendor's PKCS#11 module.", tables.TEXT, required=True),
        Key("token", "text", "The label of the token.", tables.TEXT, required=True),
        Key("serial", "text", "The serial number of the token.", tables.TEXT, required=True),
        Key("key", "text", "The label of the key on the token.", tables.TEXT, required=True),
        Key("pin", "`{file: path}`", "The user's PIN.", tables.table("secret"), required=True),
        Key(
            "mechanism",
            ", ".join(f"`{one}`" for one in MECHANISMS),
            "How the key wraps: `aes-gcm` with an AES key of 256 bits; `rsa-oaep` (with SHA-1,"
            " which every token has) or `rsa-oaep-256` (SHA-256) with an RSA key.",
            tables.choice(MECHANISMS),
            "`aes-gcm`",
        ),
        Key(
            "timeout",
            "duration",
            "How long the token may take; at most 1h.",
            tables.DURATION,
            "30s",
        ),
        Key(
            "environment",
            "list of NAME=VALUE",
            "Variables for the module. Of Sealyard's own environment it gets only `HOME`, `LANG`,"
            " `LD_LIBRARY_PATH`, `PATH`, `PYTHONPATH` and `TZ`.",
            tables.many(tables.TEXT),
        ),
    ),
)


def _options(place: Place, files: Files, problems: Problems) -> Pkcs11Options | None:
    before = problems.count
    fields = Fields(place, _TABLE, problems)
    module = fields.read("module", files.path, problems)
    token, serial, key = (
        matching(fields, name, _LABEL, _A_LABEL, problems) for name in ("token", "serial", "key")
    )
    pin = fields.read("pin", secret_file, files, problems)
    named, allowed = fields.get("mechanism"), fields.get("timeout")
    mechanism = choice(named, MECHANISMS, problems) if named else MECHANISMS[0]
    seconds = positive_duration(allowed, problems, high=_MOST_SECONDS) if allowed else _SECONDS
    variables = _variables(fields.get("environment"), problems)
    if problems.count > before or module is None or pin is None:
        return None
    return Pkcs11Options(
        module, token, serial, key, pin, mechanism or "", seconds or 0.0, variables
    )


def _variables(place: Place | None, problems: Problems) -> tuple[str, ...]:
    found = [] if place is None else texts(elements(place, problems), problems)
    for written, at in found:
        if not _VARIABLE.fullmatch(written):
            problems.add(at, "is not NAME=VALUE", "for example `SOFTHSM2_CONF=/etc/softhsm2.conf`")
    return tuple(written for written, _ in found)


OPTIONS: Final = RootOptions(_options, (_TABLE,))
