"""Collections of a backend that is reached over HTTP, and the backend, as a job names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

from ...config.settings import ListenerSettings, SecretReference
from ...core.expressions.selectors import JsonSelector

if TYPE_CHECKING:  # jobs of databases need no rules, and no memory for them
    from ...core.compiled.rule_table import RuleTable

WriteMethod = Literal["PUT", "PATCH", "POST"]
METHODS: Final[tuple[WriteMethod, ...]] = ("PUT", "PATCH", "POST")
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
NAME: Final = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*")
"""A variable: a member of the element, or of an object in it."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with variables in braces (RFC 6570, level 1), which members of an element fill."""

    text: str

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of its variables, in order."""
        return tuple(_VARIABLE.findall(self.text))

    def expand(self, value_of: Callable[[str], str]) -> str:
        """Return the text with each variable percent-encoded; a path has no other spelling."""
        return _VARIABLE.sub(lambda found: quote(value_of(found[1]), safe=""), self.text)

    def fill(self, value_of: Callable[[str], str]) -> str:
        """Return the text with each variable as it is, for a header."""
        return _VARIABLE.sub(lambda found: value_of(found[1]), self.text)


@dataclass(frozen=True, slots=True)
class LinkPaging:
    """The next page is what a link names: in `Link` with rel="next", a header, or the answer."""

    header: str | None = None
    selector: JsonSelector | None = None


@dataclass(frozen=True, slots=True)
class PagePaging:
    """Pages are counted in the query parameter; one without elements ends them."""

    parameter: str
    first: int = 1


@dataclass(frozen=True, slots=True)
class CursorPaging:
    """A cursor goes into the query parameter: one of the answer, or a member of its last element.

    `selector` is for the answer, `member` a variable of the element; one of the two is given.
    """

    parameter: str
    selector: JsonSelector | None = None
    member: str | None = None


Paging = LinkPaging | PagePaging | CursorPaging | None
"""None: there is one page."""


@dataclass(frozen=True, slots=True)
class Total:
    """Where a list says how many elements there are: in a header, or in its answer."""

    header: str | None = None
    selector: JsonSelector | None = None


@dataclass(frozen=True, slots=True)
class HeaderGuard:
    """The write has a precondition that members of the listed element fill."""

    header: Literal["If-Match", "If-Unmodified-Since"]
    value: Template


@dataclass(frozen=True, slots=True)
class ReadGuard:
    """The element is read once more before it is written, and compared.

    With `validated`, the write has the ETag or the Last-Modified of that answer as a precondition.
    Without, what another writes between the two requests is lost.
    """

    path: Template
    validated: bool


Guard = HeaderGuard | ReadGuard

_UNSURE: Final = {
    "compare": "the backend is given no precondition: what another writes between reading and"
    " writing an element is lost",
    "If-Unmodified-Since": "the precondition is a time in seconds: what another writes in the same"
    " second is lost",
    "page": "pages are counted: an element that is deleted meanwhile moves another past the reader",
}


@dataclass(frozen=True, slots=True)
class HttpCollection:
    """Elements of a list that are written back one by one.

    `at` are the names that lead to the element in the body of a write. `members`, if not empty, are
    those alone that are written; `without` are those that are not.
    """

    name: str
    listed: str
    items: JsonSelector
    paging: Paging
    method: WriteMethod
    address: Template
    guard: Guard
    at: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    media_type: str = "application/json"
    lookalikes: bool = False
    total: Total | None = None
    labels: tuple[str, ...] = ()
    """How reports name the values; the rule that seals them says what there is."""

    @property
    def excluded(self) -> str:
        """What a report says that it is not about."""
        return f"elements of {self.name} that are not listed by {self.listed}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a plan says of how sure reading and writing are."""
        found: list[str] = []
        guard = self.guard
        if isinstance(guard, ReadGuard) and not guard.validated:
            found.append("compare")
        if isinstance(guard, HeaderGuard):
            found.append(guard.header)
        if isinstance(self.paging, PagePaging):
            found.append("page")
        return tuple(f"{self.name}: {_UNSURE[one]}" for one in found if one in _UNSURE)

    def limits(self, _: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return no limits: the rule knows them."""
        return (None,) * len(self.labels)


@dataclass(frozen=True, slots=True)
class Http:
    """The backend of a listener, and the headers of every request to it.

    `rules` are those of the listener, `digest` is the SHA-256 of the configuration, hex.
    """

    listener: ListenerSettings
    rules: RuleTable
    headers: tuple[tuple[str, str | SecretReference], ...] = ()
    digest: str = ""

    @property
    def name(self) -> str:
        """What distinguishes this place from another."""
        return f"http:{self.listener.upstream.address}"
