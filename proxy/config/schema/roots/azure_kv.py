"""The options of the root `azure-kv`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...yaml.nodes import Place, Problems
from ...yaml.scalars import choice
from .. import tables
from ..addresses import Files
from ..tables import Fields, Key, Table
from .kind import RootOptions, addresses, ca_file, ca_key, matching

MECHANISMS: Final = ("RSA-OAEP-256", "A256GCM")
_KEY: Final = re.compile(r"[A-Za-z0-9-]{1,127}")
_CLIENT: Final = re.compile(r"[0-9A-Fa-f-]{36}")
_HOST: Final = re.compile(r"https://[a-z0-9-]+\.(?P<service>[a-z0-9.-]+)")


@dataclass(frozen=True, slots=True)
class AzureKvOptions:
    """A key of a vault or a Managed HSM, by its name; its version is found when it wraps.

    `audience` is what a token is asked for. `authority` replaces the address of Microsoft Entra,
    `ca` the CAs of the system. `client` is the client id of a managed identity, if there are more.
    """

    vault: str
    key: str
    mechanism: str = MECHANISMS[0]
    audience: str = ""
    client: str = ""
    authority: str = ""
    ca: Path | None = None


_TABLE: Final = Table(
    "azure_kv",
    "`azure-kv`: a key of Azure Key Vault or of a Managed HSM",
    (
        Key(
            "vault",
            "URL",
            "The vault, such as `https://NAME.vault.azure.net`.",
            tables.TEXT,
            required=True,
        ),
        Key("key", "name", "The name of the key, without a version.", tables.TEXT, required=True),
        Key(
            "mechanism",
            ", ".join(f"`{one}`" for one in MECHANISMS),
            "`RSA-OAEP-256` with an RSA key; `A256GCM` with an AES key of a Managed HSM.",
            tables.choice(MECHANISMS),
            f"`{MECHANISMS[0]}`",
        ),
        Key(
            "audience",
            "URL",
            "What a token is asked for.",
            tables.TEXT,
            "the vault's host without its first label",
        ),
        Key(
            "client",
            "id",
            "The client id of the managed identity, where the machine has several.",
            tables.TEXT,
            "the only one",
        ),
        Key(
            "authority",
            "URL",
            "The address of Microsoft Entra for workload identity.",
            tables.TEXT,
            "`$AZURE_AUTHORITY_HOST`, or `https://login.microsoftonline.com`",
        ),
        ca_key("both"),
    ),
)


def _options(place: Place, files: Files, problems: Problems) -> AzureKvOptions | None:
    before = problems.count
    fields = Fields(place, _TABLE, problems)
    urls = addresses(fields, ("vault", "audience", "authority"), problems)
    found = _HOST.fullmatch(urls.get("vault", ""))
    if found is not None:
        urls.setdefault("audience", f"https://{found['service']}")
    elif urls.get("vault") and not fields.get("audience"):
        problems.add(
            fields["vault"], "is at no host of Azure's", "give the `audience` of its tokens"
        )
    named = fields.get("mechanism")
    mechanism = choice(named, MECHANISMS, problems) if named else MECHANISMS[0]
    ca = ca_file(fields, files, problems)
    key = matching(fields, "key", _KEY, "the name of a key", problems)
    client = matching(fields, "client", _CLIENT, "a client id", problems)
    if problems.count > before:
        return None
    return AzureKvOptions(key=key, mechanism=mechanism or "", client=client, ca=ca, **urls)


OPTIONS: Final = RootOptions(_options, (_TABLE,))
