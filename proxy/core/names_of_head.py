"""Names outside of bodies that a rule reads: each in one spelling, once, and in one place.

What a client could show Sealyard under one name and the backend under another is refused before
anything is sealed or opened for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from .errors import AmbiguousRequest
from .fields_of_head import COOKIE, cookies, fields_of_query
from .formats.field_names import FieldNames
from .message import RequestHead
from .readings_of_a_name import fold_header
from .request_names import RequestNames
from .sources import NameSource

_CONNECTION: Final = b"connection"
_AUTHORIZATION: Final = b"authorization"
_CREDENTIALS: Final = FieldNames({0: "access_token"})  # RFC 6750 section 2
_CREDENTIAL_COOKIES: Final = FieldNames(
    dict(enumerate(("access_token", "authorization", "bearer", "jwt")))
)


_DECODES: Final = 4
_CLIMBING: Final = re.compile(r"(?:\A|[/\\])\.\.? *[/\\]|[/\\]\.\.? *\Z")


def _refuse_other_segments(name: str) -> None:
    """Raise AmbiguousRequest for a segment of a path in which servers find another name."""
    if ";" in name:
        # Servlets, and not they alone, take what follows for parameters.
        raise AmbiguousRequest("parameters-in-name")
    if "." not in name and "%" not in name:
        return
    # Tomcat, where it decodes slashes, climbs in `a%2F..%2Fb` and reads `b`.
    for _ in range(_DECODES):
        if _CLIMBING.search(name):
            raise AmbiguousRequest("dots-in-name")
        name = unquote(name, errors="replace")


class NamesOfHead:
    """The sources of one rule that are read from the head of its requests."""

    __slots__ = (
        "_captures",
        "_elsewhere",
        "_headers",
        "_jwt",
        "_names",
        "_parameters",
        "_replaced",
    )

    def __init__(
        self,
        sources: Iterable[NameSource],
        *,
        replaced: bool = False,
        elsewhere_allowed: bool = False,
    ) -> None:
        """Make ready for sources of any place.

        `replaced` says that another source is read where there is no bearer token;
        `elsewhere_allowed` lets cookies have their names, and other credentials stand there.
        """
        self._replaced = replaced
        self._elsewhere = not elsewhere_allowed
        known = dict.fromkeys(sources)
        self._captures = [one.name for one in known if one.place == "path"]
        self._parameters = [one for one in known if one.place == "query"]
        self._names = FieldNames(dict(enumerate(one.name for one in self._parameters)))
        self._headers = {
            fold_header(one.name.encode()): one for one in known if one.place == "header"
        }
        self._jwt = any(one.place == "jwt" for one in known)

    def refuse_unclear(self, names: RequestNames) -> None:
        """Raise AmbiguousRequest where one of the names could be read otherwise than it is here.

        Raises MissingValue for one that is empty.
        """
        told = names.head.told
        if self in told.cleared:
            return
        for name in self._captures:
            _refuse_other_segments(names.captures.get(name, ""))
        if self._parameters:
            self._look_at_query(names)
        if self._headers or self._jwt:
            self._look_at_headers(names.head)
        for source in (*self._parameters, *self._headers.values()):
            names.name(source)
        if self._jwt and self._elsewhere and (names.head.query or COOKIE in told):
            self._look_for_credentials(names)
        told.cleared.add(self)

    def _look_at_query(self, names: RequestNames) -> None:
        """Refuse a parameter in a second spelling, and a cookie of its name with another text."""
        head = names.head
        for name, value in fields_of_query(head.query or ""):
            for key, _ in self._names.readings(name):
                if value is None or name != self._parameters[key].name:
                    raise AmbiguousRequest("name-variant")
        for name, value in cookies(head) if self._elsewhere else ():
            for key, _ in self._names.readings(name):
                source = self._parameters[key]
                if name != source.name or value != names.name(source):
                    raise AmbiguousRequest("name-differs")

    def _look_at_headers(self, head: RequestHead) -> None:
        """Refuse a header in a second spelling, a second line of it, a list, or one not to pass."""
        wanted = {*self._headers, _AUTHORIZATION} if self._jwt else self._headers
        seen: set[bytes] = set()
        for spelled, value in head.headers:
            folded = fold_header(spelled)
            if folded == _CONNECTION:
                if any(fold_header(one) in wanted for one in value.split(b",")):
                    raise AmbiguousRequest("name-in-connection")
            elif folded in wanted:
                source = self._headers.get(folded)
                exact = _AUTHORIZATION if source is None else source.name.encode()
                if folded in seen or spelled.lower() != exact:
                    twice = "name-stands-twice" if spelled.lower() == exact else "name-variant"
                    raise AmbiguousRequest(twice)
                if source is not None and b"," in value:
                    raise AmbiguousRequest("name-in-a-list")
                seen.add(folded)

    def _look_for_credentials(self, names: RequestNames) -> None:
        """Refuse a second credential: the backend may take its name from that one."""
        bearer = names.bearer
        if bearer is None:
            if not self._replaced:
                return  # then there is no name, and nothing is sealed or opened under one
            bearer = ""
        for name, value in fields_of_query(names.head.query or ""):
            refuse_credential(name, value, bearer)
        for name, value in cookies(names.head):
            if _CREDENTIAL_COOKIES.readings(name) and _token(value) != bearer:
                raise AmbiguousRequest("second-credential")


def refuse_credential(name: str, value: str | None, bearer: str) -> None:
    """Raise AmbiguousRequest where a field is a credential other than the bearer token."""
    if _CREDENTIALS.readings(name) and value != bearer:
        raise AmbiguousRequest("second-credential")


def _token(value: str) -> str:
    return value[7:].strip(" ") if value[:7].lower() == "bearer " else value
