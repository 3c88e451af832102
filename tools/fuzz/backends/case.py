"""A request as it is kept: bytes with marks where fresh values go, and how its body is coded.

A case is a file of JSON in `tests/fuzz_backends/cases`; what it holds is the same in every run but
for the canary, the token and the conversation, which a render puts in the places of their marks.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

CANARY: Final = "<<canary>>"
TOKEN: Final = "<<token>>"  # noqa: S105 - a mark
VICTIM: Final = "<<victim>>"
MINE: Final = "<<mine>>"


def _in_chunks(data: bytes, size: int) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join([*(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces), b"0\r\n\r\n"])


CHUNKS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "chunked": lambda data: _in_chunks(data, max(len(data), 1)),
    **{f"chunked by {size}": partial(_in_chunks, size=size) for size in (1, 2, 3, 7, 40)},
}
"""How a body is sent in chunks, by name: one, or each of so many bytes."""
CODINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "deflate": zlib.compress,
    "utf-16": lambda data: data.decode("utf-8", "replace").encode("utf-16"),
    "utf-16-le": lambda data: data.decode("utf-8", "replace").encode("utf-16-le"),
    "utf-32": lambda data: data.decode("utf-8", "replace").encode("utf-32"),
    "utf-7": lambda data: data.decode("utf-8", "replace").encode("utf-7"),
    **CHUNKS,
}
"""What is done to a body before it is sent, by name; chunks come last."""
_HEADER: Final = {"gzip": "gzip", "deflate": "deflate"}


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands in the places of the marks of one render."""

    canary: str
    token: str
    victim: str
    mine: str

    def into(self, text: str) -> str:
        """Return a text with its marks replaced."""
        for mark, value in (
            (CANARY, self.canary),
            (TOKEN, self.token),
            (VICTIM, self.victim),
            (MINE, self.mine),
        ):
            text = text.replace(mark, value)
        return text


@dataclass(frozen=True, slots=True)
class Case:
    """One request. Text is latin-1: a character for each byte."""

    route: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str
    codings: tuple[str, ...] = ()
    mutators: tuple[str, ...] = ()
    world: str = "pass"
    """What its rule says of `others`."""

    @property
    def honest(self) -> bool:
        """Whether nothing was done to it."""
        return not self.mutators

    @property
    def chunked(self) -> bool:
        """Whether its body comes in chunks."""
        return any(one in CHUNKS for one in self.codings)

    def render(self, marks: Marks) -> bytes:
        """Return the bytes to send, framed as they must be."""
        body = marks.into(self.body).encode("latin-1")
        for coding in self.codings:
            body = CODINGS[coding](body)
        lines = [f"{self.method} {marks.into(self.target)} HTTP/1.1"]
        lines += [f"{name}: {marks.into(value)}" for name, value in self.headers]
        length = f"Content-Length: {len(body)}"
        lines.append("Transfer-Encoding: chunked" if self.chunked else length)
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body

    def smaller(self, **changes: object) -> Case:
        """Return a copy with changes; none is checked."""
        return replace(self, **changes)  # type: ignore[arg-type] # only the minimiser calls it

    def to_json(self) -> dict[str, object]:
        """Return it as plain data."""
        return {
            "route": self.route,
            "method": self.method,
            "target": self.target,
            "headers": [list(pair) for pair in self.headers],
            "body": self.body,
            "codings": list(self.codings),
            "mutators": list(self.mutators),
            "world": self.world,
        }


def coding_header(codings: tuple[str, ...]) -> str:
    """Return the Content-Encoding of a body to which these were done, perhaps empty."""
    return ", ".join(_HEADER[one] for one in codings if one in _HEADER)


def from_json(data: dict[str, object]) -> Case:
    """Return the case that such data hold."""
    headers = tuple((str(name), str(value)) for name, value in data["headers"])  # type: ignore[attr-defined] # a list of pairs
    return Case(
        str(data["route"]),
        str(data["method"]),
        str(data["target"]),
        headers,
        str(data["body"]),
        tuple(data["codings"]),  # type: ignore[arg-type] # a list of texts
        tuple(data["mutators"]),  # type: ignore[arg-type] # as above
        str(data.get("world", "pass")),
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """A case with the backend that read it, and what it was found to do."""

    name: str
    backend: str
    what: str
    case: Case


def load(folder: Path) -> list[Kept]:
    """Return the kept cases of a folder, by name."""
    found = []
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text())
        found.append(Kept(path.stem, data["backend"], data["what"], from_json(data["case"])))
    return found


def save(folder: Path, kept: Kept) -> Path:
    """Write a case; return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kept.name}.json"
    data = {"backend": kept.backend, "what": kept.what, "case": kept.case.to_json()}
    path.write_text(json.dumps(data, indent=1) + "\n")
    return path
