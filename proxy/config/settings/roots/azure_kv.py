"""The options of the root `azure-kv`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...declared.kinds import Choice, PlainText
from ...declared.section import Fields, Section, setting
from ...yaml.nodes import Problems
from .service import ServiceUrl, ca

_HOST: Final = re.compile(r"https://[a-z0-9-]+\.(?P<service>[a-z0-9.-]+)")


@dataclass(frozen=True, slots=True)
class AzureKvOptions:
    """A key of a vault or a Managed HSM, by its name; its version is found when it wraps.

    `audience` is what a token is asked for. `authority` replaces the address of Microsoft Entra,
    `ca` the CAs of the system. `client` is the client id of a managed identity, if there are more.
    """

    vault: str = setting(ServiceUrl(), "The vault, such as `https://NAME.vault.azure.net`.")
    key: str = setting(
        PlainText("name", re.compile(r"[A-Za-z0-9-]{1,127}"), "is not the name of a key"),
        "The name of the key, without a version.",
    )
    mechanism: str = setting(
        Choice("RSA-OAEP-256", "A256GCM"),
        "`RSA-OAEP-256` with an RSA key; `A256GCM` with an AES key of a Managed HSM.",
        default="RSA-OAEP-256",
    )
    audience: str = setting(
        ServiceUrl(),
        "What a token is asked for.",
        default="",
        absent="the vault's host without its first label",
    )
    client: str = setting(
        PlainText("id", re.compile(r"[0-9A-Fa-f-]{36}"), "is not a client id"),
        "The client id of the managed identity, where the machine has several.",
        default="",
        absent="the only one",
    )
    authority: str = setting(
        ServiceUrl(),
        "The address of Microsoft Entra for workload identity.",
        default="",
        absent="`$AZURE_AUTHORITY_HOST`, or `https://login.microsoftonline.com`",
    )
    ca: Path | None = ca("both")


def _options(values: dict[str, Any], fields: Fields, problems: Problems) -> AzureKvOptions | None:
    found = _HOST.fullmatch(values.get("vault", ""))
    if found is not None:
        values.setdefault("audience", f"https://{found['service']}")
    elif "vault" in values and not fields.get("audience"):
        hint = "give the `audience` of its tokens"
        problems.add(fields["vault"], "is at no host of Azure's", hint)
    return AzureKvOptions(**values) if fields.whole and not fields.wrong else None


OPTIONS: Final = Section(
    AzureKvOptions,
    "azure_kv",
    "`azure-kv`: a key of Azure Key Vault or of a Managed HSM",
    make=_options,
)
