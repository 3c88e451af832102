"""The parts of a form that a block selects: `part:name` and `filename:name`."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ...errors import ForbiddenValue, InvalidBody, UnlistedName, UnsupportedBody
from ...expressions.name_readings import FieldNames
from ...expressions.selectors import Inside, JsonSelector, NamedSelector
from ...http.message import HeadFacts
from ...policy import NAME_BYTES_READ
from ..body_format import BodyFormat, as_it_is
from ..json import Findings, FoundValue
from ..json import Selection as JsonSelection
from ..json.closed import ClosedNames, note_unlisted, refuse
from ..json.lexer import Layer
from ..json.nested import Shifted, Text, look_within
from . import reader
from .reader import Part, spell_name


class PartFindings:
    """What was found, by the index of the selector.

    `others` are the parts that are neither selected nor listed, and to be sealed, and `unlisted`
    their names. `named` are those with a filename that is not selected and must not pass. `missing`
    holds each selector that somewhere had no value to select, `variants` each whose name stood
    there in another case. `values` are those in parts that are JSON texts, which `texts` are.
    `refusal` says what is not listed and must not be sealed either.
    """

    __slots__ = (
        "found",
        "missing",
        "named",
        "others",
        "refusal",
        "texts",
        "unlisted",
        "values",
        "variants",
    )

    def __init__(self, selectors: int) -> None:
        """Begin with nothing found for that many selectors."""
        self.found: list[list[Part]] = [[] for _ in range(selectors)]
        self.missing: set[int] = set()
        self.others: list[Part] = []
        self.named: list[Part] = []
        self.unlisted: set[str] = set()
        self.refusal: UnlistedName | None = None
        self.variants: set[int] = set()
        self.values = Findings(selectors)
        self.texts: list[Part] = []

    def text_of(self, value: FoundValue) -> Part:
        """Return the part in whose text a value lies."""
        at = bisect_right(self.texts, value.start, key=lambda one: one.start)
        return self.texts[at - 1]


class PartSelection:
    """The names that a block selects, known by index.

    `size` counts all that findings hold; `checked` are those of which no variant may occur,
    `closed` the names that parts may have (None: any). `renames`: filenames that are not selected
    must not pass.
    """

    __slots__ = ("_checked", "_closed", "_files", "_inner", "_names", "_selectors", "_size")

    def __init__(
        self,
        selectors: Mapping[int, NamedSelector],
        size: int,
        checked: frozenset[int],
        closed: ClosedNames | None = None,
        *,
        renames: bool = False,
    ) -> None:
        """Prepare the selectors by their indexes."""
        self._size = size
        self._selectors = selectors
        self._names: dict[str, list[int]] = defaultdict(list)
        groups: dict[str, list[tuple[int, JsonSelector]]] = {}
        for index, one in selectors.items():
            if one.inner is None:
                self._names[spell_name(one.name)].append(index)
            else:
                groups.setdefault(spell_name(one.name), []).append((index, one.inner))
        self._inner = {
            name: (tuple(index for index, _ in group), JsonSelection(tuple(i for _, i in group)))
            for name, group in groups.items()
        }
        self._checked = FieldNames({one: selectors[one].name for one in sorted(checked)})
        self._closed = closed
        files = {spell_name(one.name) for one in selectors.values() if one.place == "filename"}
        self._files = frozenset(files) if renames else None

    @property
    def reads_within(self) -> bool:
        """Whether it reads parts that are JSON texts, or seals any: these must be there whole."""
        return bool(self._inner) or (self._closed is not None and self._closed.seals)

    def reads(self, part: Part) -> bool:
        """Return whether `refuse_unlisted` has to read a part."""
        return self._closed is not None and part.may_be_text and self._closed.reads(part.name)

    def _refuse_json(self, closed: ClosedNames, part: Part, body: bytes) -> None:
        """Raise UnlistedName for a part that is JSON and no file, or for what JSON holds in it."""
        if not closed.reads(part.name):
            return
        if part.media is not None and part.media.is_json and part.name not in self._inner:
            refuse((part.name,))
        if part.may_be_text or part.name in self._inner:
            content = body[part.start : part.end]
            if not part.reads_as_utf8(content):
                raise UnsupportedBody("part-charset")
            closed.look_at(part.name, content)

    def find(
        self, body: bytes, content_types: Sequence[bytes], *, lenient: bool = False
    ) -> PartFindings:
        """Return the parts that hold selected values; one name may occur in many.

        Not so that of a part which is a JSON text: InvalidBody is raised for a second one.

        A file input left empty has neither content nor name. Raises as `multipart.parts` does, and
        ForbiddenValue where a name occurs in a spelling that some backends read as a selected one.
        """
        findings = self.new_findings()
        for part in reader.parts(body, reader.read_boundary(content_types)):
            self.take(part, findings)
            if part.name in self._inner:
                self._look_within(part, body, findings, lenient=lenient)
            try:
                self.refuse_unlisted(part, findings, body)
            except UnlistedName as error:
                findings.refusal = findings.refusal or error
        lacking = (one for name in self._names for one in self._names[name])
        findings.missing.update(one for one in lacking if not findings.found[one])
        read = {part.name for part in findings.texts}
        for name in self._inner.keys() - read:
            findings.missing.update(self._inner[name][0])
        findings.missing |= findings.values.missing
        return findings

    def _look_within(self, part: Part, body: bytes, found: PartFindings, *, lenient: bool) -> None:
        if any(one.name == part.name for one in found.texts):
            raise InvalidBody("duplicate-name")
        if not part.is_utf8:
            raise UnsupportedBody("part-charset")
        found.texts.append(part)
        indexes, inner = self._inner[part.name]
        path = (f"part:{part.name}", Inside.JSON.value)
        text = Text(path, body[part.start : part.end], Layer(Shifted(part.start), as_it_is))
        look_within(inner, indexes, text, found.values, lenient=lenient)

    def take(self, part: Part, findings: PartFindings) -> None:
        """Add what is selected of one part to findings; raise ForbiddenValue as `find` does."""
        if self._files is not None and part.name not in self._files and part.has_filename:
            findings.named.append(part)
        indexes = self._names.get(part.name, ())
        if not indexes and part.name not in self._inner:
            self._look_for_twins(part.name, findings)
        for index in indexes if not part.is_unfilled else ():
            if self._selectors[index].place == "part" or part.filename is not None:
                findings.found[index].append(part)
            else:
                findings.missing.add(index)

    def refuse_unlisted(self, part: Part, findings: PartFindings, body: bytes) -> None:
        """Raise UnlistedName for a part that is not listed, or add it to the others.

        So also for a header that is not listed, for a plain part that is JSON, and for what JSON
        holds. Whose filename alone is selected has a content all the same.
        """
        if self._closed is None:
            return
        if part.says_more:
            refuse((part.name,), "unlisted-part-header")
        if not self._closed.lists(part.name):
            note_unlisted(findings.unlisted, (part.name,))
            findings.others.append(part)
        self._refuse_json(self._closed, part, body)

    def new_findings(self) -> PartFindings:
        """Return findings of nothing yet."""
        return PartFindings(self._size)

    def _look_for_twins(self, name: str, findings: PartFindings) -> None:
        if not self._checked:
            return
        if len(name) > NAME_BYTES_READ:
            raise InvalidBody("name-too-long")
        for index, in_case in self._checked.readings(name):
            if not in_case:
                raise ForbiddenValue(
                    "name-variant", detail="A selected name occurs in another spelling."
                )
            findings.variants.add(index)


class MultipartFormat(BodyFormat):
    """Forms of several parts (RFC 7578)."""

    kind = "multipart"
    example = (
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nsecret\r\n'
        b'--b\r\nContent-Disposition: form-data; name="scan"; filename="a.txt"\r\n\r\n'
        b"\xff\r\n--b--\r\n"
    )
    example_parameters = "; boundary=b"
    media_types = frozenset({"multipart/form-data"})
    places = frozenset({"part", "tokens"})
    in_parts = True

    def fields(self, facts: HeadFacts, body: bytes) -> Iterator[tuple[str, str | None]]:
        """Yield name and text of each part; a file has none."""
        boundary = reader.read_boundary(facts.get(b"content-type", ()))
        for part in reader.parts(body, boundary):
            yield part.name, reader.text_of_part(part, body)


MULTIPART: Final = MultipartFormat()
