"""A message in the making: what mutators change, and how it becomes a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .case import CANARY, TOKEN, Case, coding_header
from .routes import Kind, Route

BOUNDARY: Final = "----fuzzed7e3f"
TYPES: Final[dict[str, str]] = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "parts": f"multipart/form-data; boundary={BOUNDARY}",
    "records": "application/x-ndjson",
    "events": "text/event-stream",
    "any": "text/plain",
}


@dataclass
class Part:
    """A part of a multipart form: the lines of its head, and its content."""

    head: list[str]
    content: str


@dataclass
class Draft:
    """A message as its pieces stand on the wire; text is latin-1, a character for each byte.

    `members` are name and value of JSON (both as JSON texts) or of a form (both as encoded).
    """

    route: Route
    kind: Kind
    method: str
    path: str
    query: list[str] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    members: list[tuple[str, str]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    records: list[list[tuple[str, str]]] = field(default_factory=list)
    raw: str = ""
    frames: list[Callable[[str], str]] = field(default_factory=list)
    codings: list[str] = field(default_factory=list)
    mutators: list[str] = field(default_factory=list)

    @property
    def sealed(self) -> bool:
        """Whether its rule seals; otherwise it opens."""
        return self.route.action == "encrypt"

    @property
    def value(self) -> str:
        """The mark of what stands under a selected name."""
        return CANARY if self.sealed else TOKEN

    def text(self) -> str:
        """Return the body before it is coded."""
        if self.kind == "json":
            text = _object(self.members)
        elif self.kind == "form":
            text = "&".join(f"{name}={value}" for name, value in self.members)
        elif self.kind == "parts":
            text = _parts(self.parts)
        elif self.kind == "records":
            text = "".join(_object(record) + "\n" for record in [self.members, *self.records])
        elif self.kind == "events":
            records = [self.members, *self.records]
            text = "".join(f"data: {_object(record)}\n\n" for record in records)
        else:
            text = self.raw
        for frame in self.frames:
            text = frame(text)
        return text

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return next((value for one, value in self.headers if one.lower() == name), None)

    def set_header(self, name: str, value: str | None) -> None:
        """Replace a header, or leave it out."""
        self.headers = [pair for pair in self.headers if pair[0].lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))

    def case(self) -> Case:
        """Return the finished request."""
        codings = tuple(self.codings)
        headers = list(self.headers)
        if coding := coding_header(codings):
            headers.append(("Content-Encoding", coding))
        target = self.path + ("?" + "&".join(self.query) if self.query else "")
        return Case(
            self.route.name,
            self.method,
            target,
            tuple(headers),
            self.text(),
            codings,
            tuple(self.mutators),
        )


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"


def _parts(parts: list[Part]) -> str:
    shown = [f"--{BOUNDARY}\r\n" + "\r\n".join([*one.head, "", one.content]) for one in parts]
    return "\r\n".join([*shown, f"--{BOUNDARY}--", ""])


def bracketed(name: str) -> str:
    """Return a name as forms have it: `user.card` is `user[card]` there."""
    outer, dot, inner = name.partition(".")
    return f"{outer}[{inner}]" if dot else name


def disposition(name: str, filename: str | None = None) -> str:
    """Return the line that names a part; the name comes as it stands between the quotes."""
    more = f'; filename="{filename}"' if filename is not None else ""
    return f'Content-Disposition: form-data; name="{name}"{more}'
