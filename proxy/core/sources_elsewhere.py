"""Names that bind a message, looked for in the other places of a request: they must be the same.

A conversation in the body and another one in the query are two conversations: one for Sealyard and
one for the backend. Honest clients send the same in both, which passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from .errors import AmbiguousRequest, InvalidBody
from .fields_of_head import COOKIE, cookies, fields_of_body, fields_of_query, text_of_part
from .formats.field_names import FieldNames
from .formats.json import Selection, unescape
from .formats.kinds import Kind
from .formats.multipart import Part
from .message import RequestHead
from .names_of_head import refuse_credential
from .readings_of_a_name import squeeze_fields
from .request_names import RequestNames
from .selectors import JsonSelector, Step
from .sources import JsonSource, NameSource


class SourcesElsewhere:
    """The sources of one block of requests: members looked for in the head, parameters in bodies.

    `credentials` says that a claim of a bearer token is among them, `reads_members` that members
    of JSON are compared.
    """

    __slots__ = (
        "_credentials",
        "_members",
        "_names",
        "_needles",
        "_parameters",
        "_selection",
        "_sources",
        "reads_members",
    )

    def __init__(self, members: Iterable[JsonSource], names: Iterable[NameSource]) -> None:
        """Make ready for those of the sources that have a name which other places may have."""
        self._sources = [(one, first) for one in members if (first := _first_name(one))]
        self._members = FieldNames(dict(enumerate(first for _, first in self._sources)))
        known = dict.fromkeys(names)
        self._credentials = any(one.place == "jwt" for one in known)
        self._parameters = [one for one in known if one.place == "query"]
        self.reads_members = bool(self._parameters)
        self._names = FieldNames(dict(enumerate(one.name for one in self._parameters)))
        self._needles = self._names.needles | {b"proto"}
        steps = [(Step(one.name),) for one in self._parameters]
        self._selection = Selection(tuple(JsonSelector("$", one) for one in steps))

    def __bool__(self) -> bool:
        """Tell whether there is anything to look for."""
        return bool(self._sources or self._parameters or self._credentials)

    def note_head(self, names: RequestNames) -> None:
        """Note which names of the body stand in its query or cookies as well.

        Raises AmbiguousRequest where they cannot be the same.
        """
        head = names.head
        told = head.told
        if not self._sources or (not head.query and COOKIE not in told) or self in told.cleared:
            return
        fields = [*fields_of_query(head.query or ""), *cookies(head)]
        for name, value in fields:
            for key, _ in self._members.readings(name):
                source, first = self._sources[key]
                comparable = name == first and _is_one(source) and value is not None
                if not comparable or names.elsewhere.setdefault(source, value or "") != value:
                    raise AmbiguousRequest("name-differs")
        if not names.elsewhere:
            told.cleared.add(self)

    def compare_body(self, names: RequestNames, head: RequestHead, kind: Kind, body: bytes) -> None:
        """Refuse parameters that a body has as well, unless with the same text.

        Raises AmbiguousRequest, and as the format does where the body cannot be read.
        """
        if kind == "json" and self._parameters:
            self._compare_members(names, body)
        elif self._parameters or self._credentials:
            for name, value in fields_of_body(head, kind, body):
                self._compare(names, name, value)

    def compare_record(self, names: RequestNames, text: bytes) -> None:
        """Do as `compare_body` does for one record: a backend may read the first as the message.

        What is no JSON has no members.
        """
        if self._parameters:
            with suppress(InvalidBody):
                self._compare_members(names, text)

    def compare_part(self, names: RequestNames, part: Part, text: bytes) -> None:
        """Do as `compare_body` does for one part of a form; it lies in a text."""
        self._compare(names, part.name, text_of_part(part, text))

    def takes(self, part: Part) -> bool:
        """Tell whether the text of a part is compared."""
        return bool(self._names.readings(part.name)) or self._credentials

    def _compare(self, names: RequestNames, name: str, value: str | None) -> None:
        for key, _ in self._names.readings(name):
            source = self._parameters[key]
            if name != source.name or value is None or value != names.name(source):
                raise AmbiguousRequest("name-differs")
        if self._credentials and (bearer := names.bearer) is not None:
            refuse_credential(name, value, bearer)

    def _is_clear(self, body: bytes) -> bool:
        """Tell whether a JSON text holds no spelling of a parameter's name, as nearly always."""
        if not body.isascii() or b"\\u" in body:
            return False
        lean = squeeze_fields(body)
        for needle in self._needles:  # noqa: SIM110 - twice as fast as any(), for every message
            if needle in lean:
                return False
        return True

    def _compare_members(self, names: RequestNames, body: bytes) -> None:
        if self._is_clear(body):
            return
        findings = self._selection.find(body)
        if findings.twins:
            raise AmbiguousRequest("name-variant")
        for source, found in zip(self._parameters, findings.found, strict=True):
            for _, start, end in found:
                raw = body[start:end]
                text = unescape(raw) if raw.startswith(b'"') else raw.decode()
                if text != names.name(source):
                    raise AmbiguousRequest("name-differs")


def _first_name(source: JsonSource) -> str | None:
    """Return the name of a source's first step; None where it has none."""
    steps = source.selector.steps
    key = steps[0].key if steps else None
    return key if isinstance(key, str) else None


def _is_one(source: JsonSource) -> bool:
    """Tell whether a source is a member of the root, whose text can be compared."""
    steps = source.selector.steps
    return len(steps) == 1 and not steps[0].deep and not source.member_name
