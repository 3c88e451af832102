"""A message in the making: what mutators change, and how it becomes a case."""

from __future__ import annotations

import json
import random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .case import CANARY, TOKEN, VICTIM, Case, coding_header
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


def disposition(name: str, filename: str | None = None) -> str:
    """Return the line that names a part; the name comes as it stands between the quotes."""
    more = f'; filename="{filename}"' if filename is not None else ""
    return f'Content-Disposition: form-data; name="{name}"{more}'


_EXTRA_MEMBERS: Final = (
    ("title", "Results & more = 3"),
    ("note", "see https://clinic.example/a?x=1&card=2"),
    ("tags", ["a", "b"]),
    ("count", 3),
    ("price", 1.10),
    ("nested", {"id": 7, "_id": "x", "ok": True, "none": None}),
    ("code", "if (a) { b[0] = 'c'; }"),
    ("unicode", "Grüße, 日本 😀"),
    ("empty", ""),
    ("multi\u00e9", 1),
)
_EXTRA_PAIRS: Final = (
    "title=Results+%26+more",
    "tags[]=a",
    "tags[]=b",
    "n=3",
    "code=%7Ba%7D",
    "e=",
)
_EXTRA_QUERY: Final = ("page=2", "tags[]=a", "q=x%20y", "utf8=%E2%9C%93", "flag", "sort=-date")
_EXTRA_HEADERS: Final = (
    ("Accept", "application/json, text/plain, */*"),
    ("User-Agent", "Mozilla/5.0"),
    ("Cookie", "session=abc123; theme=dark"),
    ("X-Request-Id", "4f1d"),
    ("Origin", "https://app.example"),
    ("X-Requested-With", "XMLHttpRequest"),
    ("Accept-Encoding", "gzip"),
    ("Connection", "keep-alive"),
)


def base(route: Route, rng: random.Random) -> Draft:
    """Return a message as an honest client sends it, with what such clients send beside it."""
    kind = rng.choice(route.kinds)
    draft = Draft(route, kind, route.method, route.path)
    draft.headers = [("Host", "clinic.example")]
    draft.headers += rng.sample(_EXTRA_HEADERS, rng.choice((0, 0, 1, 3)))
    draft.headers.append(("Content-Type", TYPES[kind]))
    if kind == "json" and rng.random() < 0.15:
        draft.set_header("Content-Type", "application/json; charset=utf-8")
    fields = dict.fromkeys(_fields(route, rng), draft.value)
    if route.when:
        fields[route.when] = rng.choice(("secret", "public"))
    draft.query = rng.sample(_EXTRA_QUERY, rng.choice((0, 0, 0, 1, 2)))
    _conversation(draft, fields)
    _body(draft, fields, rng)
    rng.shuffle(draft.query)
    if rng.random() < 0.08 and kind in {"json", "form"}:
        draft.codings = rng.choice((["gzip"], ["chunked"], ["gzip", "chunked"]))
    return draft


def _fields(route: Route, rng: random.Random) -> list[str]:
    first, *others = route.fields
    return [first, *(name for name in others if rng.random() < 0.4)]


def _conversation(draft: Draft, fields: dict[str, str]) -> None:
    route = draft.route
    if route.source == "json":
        fields[route.conversation] = VICTIM
    elif route.source == "query":
        draft.query.append(f"{route.conversation}={VICTIM}")
    elif route.source == "header":
        draft.headers.append((route.conversation, VICTIM))
    # A name that the rule does not read may still stand in the path.
    for name in (route.conversation, "id", "room"):
        draft.path = draft.path.replace("{" + name + "}", VICTIM)


def _body(draft: Draft, fields: dict[str, str], rng: random.Random) -> None:
    more = rng.choice((0, 0, 1, 3))
    if draft.kind in {"json", "records", "events"}:
        draft.members = [(json.dumps(name), json.dumps(value)) for name, value in fields.items()]
        draft.members += [
            (_json(name, rng), _json(value, rng))
            for name, value in rng.sample(_EXTRA_MEMBERS, more)
        ]
        rng.shuffle(draft.members)
        if draft.kind != "json" and rng.random() < 0.5:
            draft.records = [list(draft.members)]
    elif draft.kind == "form":
        extra = [pair.partition("=") for pair in rng.sample(_EXTRA_PAIRS, more)]
        draft.members = [*fields.items(), *((name, value) for name, _, value in extra)]
        rng.shuffle(draft.members)
    elif draft.kind == "parts":
        draft.parts = [_part(name, value) for name, value in fields.items()]
        draft.parts += [_part(f"extra{at}", "x") for at in range(more)]
        rng.shuffle(draft.parts)
    else:
        draft.raw = f"some text with {CANARY} in it"


def _part(name: str, value: str) -> Part:
    if name == "attachment":
        head = [disposition(name, "note.txt"), "Content-Type: text/plain"]
        return Part(head, f"file {value}")
    return Part([disposition(name)], value)


def _json(value: object, rng: random.Random) -> str:
    """Return a JSON text, as latin-1 of its UTF-8; escaped or not."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    return text.encode().decode("latin-1")
