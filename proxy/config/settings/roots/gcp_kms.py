"""The options of the root `gcp-kms`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...declared.kinds import PlainText
from ...declared.section import Section, setting
from .service import address, ca, unwatched


@dataclass(frozen=True, slots=True)
class GcpFederation:
    """Whom a token of elsewhere stands for: a pool's audience, and a service account if named.

    `token` is a file that the platform writes and rotates; it is not watched.
    """

    audience: str = setting(
        PlainText(
            "`//iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/…`",
            re.compile(r"//iam\.googleapis\.com/projects/[0-9]+/[\x21-\x7e]+"),
            "is not an audience of a pool",
        ),
        "The provider of the pool.",
    )
    token: str = unwatched("The file with the platform's token.")
    service_account: str = setting(
        PlainText(
            "e-mail address",
            re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+"),
            "is not a service account",
        ),
        "The service account to act as.",
        default="",
        absent="the principal of the pool",
    )


FEDERATION: Final = Section(
    GcpFederation, "gcp_federation", "`federation` of `gcp-kms`: workload identity federation"
)


@dataclass(frozen=True, slots=True)
class GcpKmsOptions:
    """A key by its resource name; without `federation`, the metadata server gives the token.

    `endpoint`, `sts` and `iam` replace Google's own addresses, `ca` the CAs of the system.
    """

    key: str = setting(
        PlainText(
            "`projects/P/locations/L/keyRings/R/cryptoKeys/K`",
            re.compile(
                r"projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}"
                r"/cryptoKeys/[A-Za-z0-9_-]{1,63}"
            ),
            "is not the resource name of a key",
        ),
        "The key, without a version.",
    )
    federation: GcpFederation | None = setting(
        FEDERATION, "How a token of another platform is exchanged.", absent="the metadata server"
    )
    endpoint: str = address(
        "The address of Cloud KMS", "Google's", "https://cloudkms.googleapis.com"
    )
    sts: str = address(
        "The address of the security token service", "Google's", "https://sts.googleapis.com"
    )
    iam: str = address(
        "The address of the service account credentials API",
        "Google's",
        "https://iamcredentials.googleapis.com",
    )
    ca: Path | None = ca("them")


OPTIONS: Final = Section(GcpKmsOptions, "gcp_kms", "`gcp-kms`: a symmetric key of Google Cloud KMS")
