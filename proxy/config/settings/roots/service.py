"""Declarations that several kinds of root have: the address of a key service, and its CAs."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass
from typing import Any, Final

from ...declared.kinds import File
from ...declared.section import setting
from ...yaml.nodes import Place, Problems, show
from ...yaml.scalars import text

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
    r"(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?"
)
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class ServiceUrl:
    """The URL of a key service: `https`, or `http` on this machine.

    What unwraps the root key travels there and back.
    """

    syntax = "URL"
    pattern = _URL.pattern

    def read(self, place: Place, problems: Problems) -> str | None:
        """Return the URL, without a slash at its end."""
        written = text(place, problems)
        if written is None:
            return None
        found = _URL.fullmatch(written)
        if found is None:
            hint = "for example `https://kms.example.com`, without a user, a query or a fragment"
            problems.add(place, "is not the URL of a service", hint)
            return None
        if found["scheme"] == "http" and found["host"] not in _THIS_MACHINE:
            problems.add(place, f"{show(written)} is not encrypted", "write `https://`")
            return None
        return written.rstrip("/")


def address(doc: str, absent: str, default: str = "") -> Any:  # noqa: ANN401 - as `setting`
    """Declare an address that replaces the service's own."""
    more = f"{doc}: `https`, or `http` on this machine."
    return setting(ServiceUrl(), more, default=default, absent=absent)


def ca(verified: str) -> Any:  # noqa: ANN401 - as `setting`
    """Declare the key `ca`: the CAs of `verified` where the system's do not know it."""
    doc = f"The CA certificates that verify {verified} (PEM)."
    return setting(File(), doc, absent="the system's")


@dataclass(frozen=True, slots=True)
class _Unwatched(File):
    """A path as a text: the files of a root are watched, and this one comes and goes."""

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - a text, not a Path
        """Return the path."""
        found = File.read(self, place, problems)
        return None if found is None else str(found)


def unwatched(doc: str, default: object = MISSING) -> Any:  # noqa: ANN401 - as `setting`
    """Declare the path of a file or socket that others write, as a text: it is not watched."""
    return setting(_Unwatched(), doc, default=default)
