"""The options of the root `aws-kms`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...yaml.nodes import Place, Problems, show
from ...yaml.scalars import text
from .. import tables
from ..addresses import Files
from ..tables import Fields, Key, Table
from .kind import RootOptions, address_key, addresses, ca_file, ca_key

_KEY: Final = re.compile(
    r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:(?:key/[A-Za-z0-9-]+|alias/[\w/-]+)"
    r"|alias/[\w/-]+|(?:mrk-)?[0-9a-f-]{32,36}",
    re.ASCII,
)
_REGION: Final = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class AwsKmsOptions:
    """A key (ARN, `alias/NAME` or id) in a region.

    `endpoint`, `sts` and `ca` replace AWS' own addresses and the CAs of the system.
    """

    key: str
    region: str
    endpoint: str = ""
    sts: str = ""
    ca: Path | None = None


_TABLE: Final = Table(
    "aws_kms",
    "`aws-kms`: a symmetric key of AWS KMS",
    (
        Key("key", "ARN, `alias/NAME`, id", "The key.", tables.TEXT, required=True),
        Key("region", "region", "The region of the key.", tables.TEXT, "that of the ARN"),
        address_key("endpoint", "The address of KMS", "that of the region"),
        address_key("sts", "The address of the security token service", "that of the region"),
        ca_key("both"),
    ),
)


def _options(place: Place, files: Files, problems: Problems) -> AwsKmsOptions | None:
    before = problems.count
    fields = Fields(place, _TABLE, problems)
    key = fields.read("key", _key, problems)
    region = _region(fields, key, problems)
    urls = addresses(fields, ("endpoint", "sts"), problems)
    ca = ca_file(fields, files, problems)
    if problems.count > before or key is None:
        return None
    return AwsKmsOptions(key, region, ca=ca, **urls)


def _key(place: Place, problems: Problems) -> str | None:
    written = text(place, problems)
    if written is not None and not _KEY.fullmatch(written):
        hint = "write its ARN, `alias/NAME` or its id"
        problems.add(place, f"{show(written)} does not name a key of AWS KMS", hint)
        return None
    return written


def _region(fields: Fields, key: str | None, problems: Problems) -> str:
    found = _KEY.fullmatch(key or "")
    of_key = (found["region"] if found else "") or ""
    place = fields.get("region")
    if place is None:
        if found and not of_key:
            problems.add(
                fields.place,
                "lacks the key `region`, which only an ARN has",
                "for example `region: eu-central-1`",
            )
        return of_key
    written = text(place, problems) or ""
    if written and not _REGION.fullmatch(written):
        problems.add(place, f"{show(written)} is not a region", "for example `eu-central-1`")
    elif written and of_key not in {"", written}:
        problems.add(
            place, f"{show(written)} is not the region of the key, {show(of_key)}", "delete it"
        )
    return written


OPTIONS: Final = RootOptions(_options, (_TABLE,))
