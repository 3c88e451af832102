"""The nodes of a configuration: what stands at which line and column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "number", "boolean", "date", "null", "substituted", "broken"]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A line and a column, both counted from one."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `kind` is what YAML reads it as; in `written`, `${env:NAME}` still stands.

    Of kind `substituted` are values from the environment, which have no quotes to tell their kind;
    what is wrong with one that is `broken` is told already.
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
    """A node and the path that leads to it, such as `listeners[0].rules[2].match`."""

    node: Node
    path: str

    def element(self, index: int, node: Node) -> Place:
        """Return the place of one element of this list."""
        return Place(node, f"{self.path}[{index}]")

    def member(self, name: str, node: Node) -> Place:
        """Return the place of one member of this mapping."""
        return Place(node, f"{self.path}.{name}" if self.path else name)
