"""The options of the root `aws-kms`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...declared.kinds import PlainText
from ...declared.section import Fields, Section, setting
from ...yaml.nodes import Problems, show
from .service import address, ca

_KEY: Final = re.compile(
    r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:"
    r"(?:key/[A-Za-z0-9-]+|alias/[A-Za-z0-9_/-]+)"
    r"|alias/[A-Za-z0-9_/-]+|(?:mrk-)?[0-9a-f-]{32,36}"
)


@dataclass(frozen=True, slots=True)
class AwsKmsOptions:
    """A key (ARN, `alias/NAME` or id) in a region.

    `endpoint`, `sts` and `ca` replace AWS' own addresses and the CAs of the system.
    """

    key: str = setting(
        PlainText(
            "ARN, `alias/NAME`, id",
            _KEY,
            "does not name a key of AWS KMS",
            "write its ARN, `alias/NAME` or its id",
        ),
        "The key.",
    )
    region: str = setting(
        PlainText(
            "region",
            re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}"),
            "is not a region",
            "for example `eu-central-1`",
        ),
        "The region of the key.",
        default="",
        absent="that of the ARN",
    )
    endpoint: str = address("The address of KMS", "that of the region")
    sts: str = address("The address of the security token service", "that of the region")
    ca: Path | None = ca("both")


def _options(values: dict[str, Any], fields: Fields, problems: Problems) -> AwsKmsOptions | None:
    if "key" not in values or fields.wrong:
        return None
    found = _KEY.fullmatch(values["key"])
    of_key = (found["region"] if found else "") or ""
    region = values.setdefault("region", of_key)
    if not region:
        problems.add(
            fields.place,
            "lacks the key `region`, which only an ARN has",
            "for example `region: eu-central-1`",
        )
    elif of_key not in {"", region}:
        told = f"{show(region)} is not the region of the key, {show(of_key)}"
        problems.add(fields["region"], told, "delete it")
    return AwsKmsOptions(**values)


OPTIONS: Final = Section(
    AwsKmsOptions, "aws_kms", "`aws-kms`: a symmetric key of AWS KMS", make=_options
)
