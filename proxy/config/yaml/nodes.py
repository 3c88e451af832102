"""The nodes of a configuration with their lines and columns, and the problems found in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ...core.errors import ConfigurationError
from .. import policy

Kind = Literal["text", "number", "boolean", "date", "null", "substituted", "broken"]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A line and a column, both counted from one."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `kind` is what YAML reads it as; `written` still has `${env:NAME}`.

    Values from environment variables are of kind `substituted`, since no quotes show their kind.
    The problem of a value of kind `broken` is already reported.
    """

    position: Position
    text: str
    kind: Kind
    written: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    position: Position
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with their nodes, each key once, in the order of the file."""

    position: Position
    entries: tuple[tuple[Scalar, Node], ...]


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Place:
    """A node and its path, such as `listeners[0].rules[2].match`."""

    node: Node
    path: str

    def element(self, index: int, node: Node) -> Place:
        """Return the place of one element of this list."""
        return Place(node, f"{self.path}[{index}]")

    def member(self, name: str, node: Node) -> Place:
        """Return the place of one member of this mapping."""
        return Place(node, f"{self.path}.{name}" if self.path else name)


_HIDDEN: Final = "<hidden>"
_QUOTED: Final = re.compile(r"(?P<meant>did you mean `[a-z_]+`)|(?P<piece>`[^`]*`|\"[^\"]*\")")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Problems:
    """Collects mistakes and warnings; each is reported once, in the order of the file.

    `folder` is what paths in the file are relative to; `error` is raised with the mistakes.
    """

    __slots__ = ("_error", "_file", "_mistakes", "_warnings", "folder")

    def __init__(
        self,
        file: str,
        folder: Path = Path(),
        error: type[ConfigurationError] = ConfigurationError,
    ) -> None:
        """Begin with none; each line begins with `file`."""
        self._file = file
        self.folder = folder
        self._error = error
        self._mistakes: dict[tuple[Position, str, str], str] = {}
        self._warnings: dict[tuple[Position, str, str], str] = {}

    @property
    def start(self) -> str:
        """What to do where there is no such file."""
        return self._error.start

    @property
    def count(self) -> int:
        """How many mistakes there are."""
        return len(self._mistakes)

    def within(self, *sections: str) -> bool:
        """Tell whether there is a mistake in one of these sections of the file."""
        return any(path.startswith(sections) for _, path, _ in self._mistakes)

    def add(self, place: Place, message: str, hint: str = "") -> None:
        """Add a mistake at a place, with a hint how to fix it."""
        if isinstance(place.node, Scalar) and place.node.kind == "broken":
            return
        text, node = _without_secrets(place, message, hint), place.node
        if isinstance(node, Scalar):
            self.at(node.position, place.path, text, node.text, node.written)
        else:
            self._keep(node.position, place.path, text, _hidden(text, _inside(node)))

    def at(self, position: Position, path: str, message: str, *quoted: str) -> None:
        """Add a mistake at a position; `quoted` are the texts of the file that it may quote."""
        self._keep(position, path, message, _closed(message, [one for one in quoted if one]))

    def _keep(self, position: Position, path: str, message: str, closed: str) -> None:
        self._mistakes[position, path, _one_line(message)] = _one_line(closed)

    def warn(self, place: Place, message: str) -> None:
        """Add a warning at a place."""
        text = _one_line(_without_secrets(place, message, ""))
        self._warnings[place.node.position, place.path, text] = text

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every warning as one line."""
        return self._lines(self._warnings)

    @property
    def mistakes(self) -> tuple[tuple[str, str], ...]:
        """Every mistake as path and message, for what is no file."""
        return tuple((path, message) for _, path, message in self._mistakes)

    def raise_if_any(self) -> None:
        """Raise ConfigurationError with all mistakes, if there are any."""
        if self._mistakes:
            closed = {(*one[:2], text): text for one, text in self._mistakes.items()}
            raise self._error(self._lines(self._mistakes), self._lines(closed))

    def _lines(self, found: Iterable[tuple[Position, str, str]]) -> tuple[str, ...]:
        ordered = sorted(found)
        lines = [self._line(*one) for one in ordered[: policy.SHOWN_MISTAKES]]
        if len(ordered) > policy.SHOWN_MISTAKES:
            lines.append(f"{self._file}: and {len(ordered) - policy.SHOWN_MISTAKES} more")
        return tuple(lines)

    def _line(self, position: Position, path: str, message: str) -> str:
        before = f"{self._file}:{position.line}:{position.column}"
        return f"{before} {path} {message}" if path else f"{before} {message}"


def read_as(kind: Kind, text: str) -> str:
    """Return what YAML reads a plain value as."""
    if kind == "boolean":
        return "true" if text.lower() in {"yes", "true", "on"} else "false"
    return {"number": "a number", "date": "a date", "null": "nothing"}.get(kind, "a text")


def show(text: str) -> str:
    """Return a text of the file for a message: quoted and shortened."""
    short = text if len(text) <= policy.SHOWN_CHARS else f"{text[: policy.SHOWN_CHARS]}…"
    return f"`{short}`"


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a hint: the known word that was probably meant, or all known words."""
    words = sorted(known)
    import difflib  # noqa: PLC0415 - for the mistakes of a configuration alone

    ends = {one.rpartition("/")[2]: one for one in words}  # `sealyard.io/` is of all annotations
    shortened = word[: policy.COMPARED_CHARS].rpartition("/")[2]
    near = [ends[one] for one in difflib.get_close_matches(shortened, ends, n=1)]
    return f"did you mean `{near[0]}`?" if near else f"one of: {', '.join(words)}"


def _without_secrets(place: Place, message: str, hint: str) -> str:
    """Return the whole message without a value of the environment, which may be a secret."""
    node = place.node
    if isinstance(node, Scalar) and node.text != node.written:
        words = [
            word for word in (node.text, *node.text.split()) if len(word) >= policy.TELLING_CHARS
        ]
        message = message.replace(show(node.text), show(node.written))
        hint = "" if any(word in hint for word in words) else hint
        if any(word in message.replace(node.written, "") for word in words):
            message = f"{show(node.written)} has a value that is not valid here"
    return f"{message}; {hint}" if hint else message


def _inside(node: Mapping | Sequence) -> list[str]:
    """Return the texts directly in a list or a mapping, which a message about it may quote."""
    inner = node.items if isinstance(node, Sequence) else (one for _, one in node.entries)
    texts = [one.written for one in inner if isinstance(one, Scalar) and one.written]
    if isinstance(node, Mapping) and len(node.entries) == 1:
        texts.append(f"{{{node.entries[0][0].text}}}")  # `{id}`, a text without its quotes
    return texts


def _hidden(message: str, texts: Iterable[str]) -> str:
    """Return a message without the texts that it quotes."""
    for text in texts:
        message = message.replace(show(text), _HIDDEN).replace(f'"{text}"', _HIDDEN)
    return message


def _closed(message: str, texts: list[str]) -> str:
    """Return a message without what it quotes of some texts of the file.

    That may be a secret in a wrong place. Our own words stay, and so does what to write instead,
    unless it is made of such a text.
    """

    def shown(match: re.Match[str]) -> str:
        kept = match["meant"] or not any(_tells(match["piece"][1:-1], text) for text in texts)
        return match[0] if kept else _HIDDEN

    return _QUOTED.sub(shown, _hidden(message, texts))


def _tells(piece: str, text: str) -> bool:
    """Return whether a quoted piece has something of a text of the file in it."""
    piece, text = piece.casefold(), text.casefold()
    if piece == text or (len(piece) >= policy.QUOTED_CHARS and piece in text):
        return True
    return any(
        word in piece for word in re.findall(r"\w+", text) if len(word) >= policy.TELLING_CHARS
    )


def _one_line(message: str) -> str:
    text = _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", message)
    return text if len(text) <= policy.MESSAGE_CHARS else f"{text[: policy.MESSAGE_CHARS]}…"
