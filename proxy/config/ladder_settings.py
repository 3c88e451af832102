"""What the ladder of a listener may report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .declared.addresses import Network
from .declared.composed import ListOf
from .declared.kinds import PlainText, Switch
from .declared.section import Fields, Section, setting
from .values import Network as NetworkValue
from .yaml.nodes import Problems, show

OTHER_CLIENT: Final = "other"
"""The name in reports of every client that the configuration does not name."""


@dataclass(frozen=True, slots=True)
class NamedClient:
    """A client that reports may name: the product in its User-Agent, its network, or both."""

    name: str = setting(
        PlainText(
            "name",
            re.compile(r"[A-Za-z0-9._-]{1,64}"),
            "is not a name",
            "1 to 64 of the characters A-Z a-z 0-9 . _ -",
        ),
        "Its name in reports.",
    )
    user_agent: str | None = setting(
        PlainText(
            "product, such as `clinic-ios`",
            re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}"),  # a token of RFC 9110 section 5.6.2
            "is not a product",
            "write what the header begins with, without the version: `clinic-ios`",
        ),
        "The product that its `User-Agent` begins with, without the version.",
        default=None,
    )
    address: NetworkValue | None = setting(
        Network("network, such as `10.2.0.0/16`"),
        "The network of its address, as `X-Forwarded-For` of `trusted_proxies` tells it.",
        default=None,
    )


def _check(made: NamedClient, fields: Fields, problems: Problems) -> None:
    if made.name == OTHER_CLIENT:
        problems.add(
            fields.place, f"the name {show(made.name)} is given twice", "give each its own"
        )


CLIENT_NAME: Final = Section(
    NamedClient,
    "client_name",
    "An element of `client_names` of a listener",
    any_of=("user_agent", "address"),
    check=_check,
)


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """The clients that have names, and whether members are looked for that look sensitive."""

    client_names: tuple[NamedClient, ...] = setting(
        ListOf(CLIENT_NAME, most=64, what="client names", distinct=lambda one: one.name),
        "Clients that the ladder may name where it tells which clients a stricter mode would"
        " refuse; the first that fits is taken. All others are `other`.",
        default=(),
    )
    finds_sensitive: bool = setting(
        Switch(),
        "Whether the ladder lists members that no rule seals and whose names or shapes look"
        " sensitive (passwords, diagnoses, e-mail addresses, card numbers, …), by path and kind"
        " and never by value. Of each second, ten messages of up to 32 KiB are looked at.",
        default=False,
        name="find_sensitive",
    )
