"""The options of the root `gcp-kms`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...yaml.nodes import Place, Problems
from .. import tables
from ..addresses import Files
from ..tables import Fields, Key, Table
from .kind import RootOptions, address_key, addresses, ca_file, ca_key, matching

_KEY: Final = re.compile(
    r"projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/keyRings/[\w-]{1,63}/cryptoKeys/[\w-]{1,63}",
    re.ASCII,
)
_AUDIENCE: Final = re.compile(r"//iam\.googleapis\.com/projects/[0-9]+/[\x21-\x7e]+")
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class GcpFederation:
    """Whom a token of elsewhere stands for: a pool's audience, and a service account if named.

    `token` is a file that the platform writes and rotates; it is not watched.
    """

    audience: str
    token: str
    service_account: str = ""


@dataclass(frozen=True, slots=True)
class GcpKmsOptions:
    """A key by its resource name; without `federation`, the metadata server gives the token.

    `endpoint`, `sts` and `iam` replace Google's own addresses, `ca` the CAs of the system.
    """

    key: str
    federation: GcpFederation | None = None
    endpoint: str = "https://cloudkms.googleapis.com"
    sts: str = "https://sts.googleapis.com"
    iam: str = "https://iamcredentials.googleapis.com"
    ca: Path | None = None


_FEDERATION: Final = Table(
    "gcp_federation",
    "`federation` of `gcp-kms`: workload identity federation",
    (
        Key(
            "audience",
            "`//iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/…`",
            "The provider of the pool.",
            tables.TEXT,
            required=True,
        ),
        Key("token", "path", "The file with the platform's token.", tables.TEXT, required=True),
        Key(
            "service_account",
            "e-mail address",
            "The service account to act as.",
            tables.TEXT,
            "the principal of the pool",
        ),
    ),
)

_ADDRESSES: Final = {
    "endpoint": "The address of Cloud KMS",
    "sts": "The address of the security token service",
    "iam": "The address of the service account credentials API",
}

_TABLE: Final = Table(
    "gcp_kms",
    "`gcp-kms`: a symmetric key of Google Cloud KMS",
    (
        Key(
            "key",
            "`projects/P/locations/L/keyRings/R/cryptoKeys/K`",
            "The key, without a version.",
            tables.TEXT,
            required=True,
        ),
        Key(
            "federation",
            "mapping",
            "How a token of another platform is exchanged.",
            tables.table("gcp_federation"),
            "the metadata server",
        ),
        *(address_key(name, doc, "Google's") for name, doc in _ADDRESSES.items()),
        ca_key("them"),
    ),
)


def _options(place: Place, files: Files, problems: Problems) -> GcpKmsOptions | None:
    before = problems.count
    fields = Fields(place, _TABLE, problems)
    key = matching(fields, "key", _KEY, "the resource name of a key", problems)
    federation = fields.read("federation", _federation, files, problems)
    urls = addresses(fields, _ADDRESSES, problems)
    ca = ca_file(fields, files, problems)
    if problems.count > before:
        return None
    return GcpKmsOptions(key, federation, ca=ca, **urls)


def _federation(place: Place, files: Files, problems: Problems) -> GcpFederation:
    fields = Fields(place, _FEDERATION, problems)
    audience = matching(fields, "audience", _AUDIENCE, "an audience of a pool", problems)
    token = fields.read("token", files.path, problems)
    account = matching(fields, "service_account", _ACCOUNT, "a service account", problems)
    return GcpFederation(audience, str(token), account)


OPTIONS: Final = RootOptions(_options, (_TABLE, _FEDERATION))
