"""The files of a description: YAML or JSON with positions, and the references between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import yaml

from ..config.yaml.nodes import Kind, show, suggest
from ..core.errors import DescriptionError
from .policy import DOCUMENT_BYTES, REFERENCES

_KINDS: Final[dict[str, Kind]] = {
    "tag:yaml.org,2002:int": "number",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:null": "null",
}
# libyaml reads a large description ten times as fast; it is not on every platform.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """A value of a description, and where it is written: line and column count from one.

    A mapping has `members`, a sequence `elements`, anything else its `text` as it is written. Spots
    compare by identity: two places are two spots, whatever they hold.
    """

    file: str
    line: int
    column: int
    kind: Kind | None = None
    text: str = ""
    members: Mapping[str, Spot] = field(default_factory=dict, repr=False)
    elements: Sequence[Spot] = field(default=(), repr=False)

    @property
    def where(self) -> str:
        """Return `file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def is_true(self) -> bool:
        """Whether it is the boolean true."""
        return self.kind == "boolean" and self.text.lower() in {"true", "yes", "on"}

    @property
    def is_false(self) -> bool:
        """Whether it is the boolean false."""
        return self.kind == "boolean" and not self.is_true

    @property
    def number(self) -> int | None:
        """Return a whole number; None where it is none."""
        return int(self.text) if self.kind == "number" and self.text.isdecimal() else None

    def get(self, name: str) -> Spot | None:
        """Return a member of a mapping, or None."""
        return self.members.get(name)

    def each(self, name: str) -> Sequence[Spot]:
        """Return the elements of a member that is a sequence, else none."""
        found = self.members.get(name)
        return () if found is None else found.elements

    def texts(self, name: str) -> frozenset[str]:
        """Return the texts of a member that is a sequence, or is one text."""
        found = self.members.get(name)
        if found is None:
            return frozenset()
        return frozenset(one.text for one in (found.elements or (found,)))

    def named(self, name: str) -> Mapping[str, Spot]:
        """Return the members of a member that is a mapping, else none."""
        found = self.members.get(name)
        return {} if found is None else found.members


class Mistakes:
    """Collects what is wrong with a description, or cannot be expressed, each once."""

    def __init__(self) -> None:
        """Begin with none."""
        self._found: dict[tuple[str, int, int, str], None] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._found)

    def add(self, spot: Spot, message: str, hint: str = "") -> None:
        """Add a mistake with a hint how to fix it."""
        text = f"{message}; {hint}" if hint else message
        self._found[spot.file, spot.line, spot.column, text] = None

    def lines(self) -> tuple[str, ...]:
        """Return each as `file:line:column message`, in the order of the files."""
        return tuple(f"{spot.where} {text}" for spot, text in self.each())

    def each(self) -> list[tuple[Spot, str]]:
        """Return each with its place."""
        return [(Spot(file, line, at), text) for file, line, at, text in sorted(self._found)]

    def raise_if_any(self) -> None:
        """Raise DescriptionError with all of them, if there are any."""
        if self._found:
            raise DescriptionError(self.lines())


class Documents:
    """The files of a description, each read once."""

    def __init__(self, mistakes: Mistakes) -> None:
        """Report to `mistakes` what cannot be read."""
        self._mistakes = mistakes
        self._read: dict[str, Spot | None] = {}

    def root(self, file: str, asking: Spot | None = None) -> Spot | None:
        """Return the value of a file; None after reporting why there is none.

        The `asking` spot refers to it.
        """
        if file not in self._read:
            self._read[file] = None  # a file that cannot be read is reported once
            at = asking or Spot(file, 1, 1)
            try:
                text = _content(Path(file))
                node = yaml.compose(text, Loader=_LOADER)
                if node is None:
                    self._mistakes.add(at, f"{show(Path(file).name)} is empty")
                else:
                    self._read[file] = _Converter(file, self._mistakes).spot(node)
            except OSError as error:
                reason = error.strerror or "invalid file name"
                self._mistakes.add(
                    at, f"{show(Path(file).name)} cannot be read: {reason}", "check the path"
                )
            except yaml.MarkedYAMLError as error:
                mark = error.problem_mark or error.context_mark
                place = at if mark is None else Spot(file, mark.line + 1, mark.column + 1)
                self._mistakes.add(
                    place, f"neither YAML nor JSON: {error.problem}", "correct it there"
                )
            except (yaml.YAMLError, ValueError) as error:
                why = str(error).partition("\n")[0]
                self._mistakes.add(at, f"{show(Path(file).name)} is neither YAML nor JSON: {why}")
            except RecursionError:
                self._mistakes.add(at, f"{show(Path(file).name)} is nested too deeply")
        return self._read[file]

    def follow(self, spot: Spot) -> Spot | None:
        """Return what a spot refers to by `$ref`, else the spot; None after reporting a mistake."""
        for _ in range(REFERENCES):
            reference = spot.get("$ref")
            if reference is None or reference.kind != "text":
                return spot
            target = self.target(reference)
            if target is None:
                return None
            spot = target
        self._mistakes.add(spot, "references lead to each other, and never to a value")
        return None

    def target(self, reference: Spot) -> Spot | None:
        """Return what a `$ref` names; None after reporting why there is nothing."""
        found = self.find(reference)
        if isinstance(found, Spot):
            return found
        self._mistakes.add(reference, *found)
        return None

    def find(self, reference: Spot) -> Spot | tuple[str, str]:
        """Return what a `$ref` names, or why there is nothing and how to fix it."""
        place, _, pointer = reference.text.partition("#")
        shown = show(reference.text)
        if urlsplit(place).scheme or place.startswith("//"):
            hint = "save it beside the description, and refer to the file"
            return f"{shown} is not followed", hint
        file = str(Path(reference.file).parent / unquote(place)) if place else reference.file
        spot = self.root(file, reference)
        if spot is None:
            return f"{shown} cannot be followed", ""
        pointer = unquote(pointer)
        if pointer and not pointer.startswith("/"):
            hint = "write the way to it, such as `#/components/schemas/Name`"
            return f"{shown} names an anchor", hint
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            inner = _inside(spot, name)
            if inner is None:
                hint = suggest(name, spot.members) if spot.members else ""
                text = f"{shown} leads nowhere: there is no {show(name)}"
                return text, hint if hint.startswith("did") else ""
            spot = inner
        return spot


def _inside(spot: Spot, name: str) -> Spot | None:
    if spot.elements and name.isdecimal():
        return dict(enumerate(spot.elements)).get(int(name))
    return spot.get(name)


def _content(path: Path) -> str:
    """Return the text of a file. JSON may be indented with tabs, which YAML does not take."""
    with path.open("rb") as file:
        content = file.read(DOCUMENT_BYTES + 1)
    if len(content) > DOCUMENT_BYTES:
        message = f"larger than {DOCUMENT_BYTES // 1024 // 1024} MiB"
        raise ValueError(message)
    text = content.decode("utf-8-sig")
    return text.replace("\t", " ") if text.lstrip().startswith("{") else text


class _Converter:
    """Makes spots of PyYAML's nodes."""

    def __init__(self, file: str, mistakes: Mistakes) -> None:
        self._file = file
        self._mistakes = mistakes
        self._made: dict[int, Spot] = {}
        self._open: set[int] = set()

    def spot(self, node: yaml.Node) -> Spot:
        """Return the spot of a node; the same one for each alias of it."""
        if (made := self._made.get(id(node))) is not None:
            return made
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if id(node) in self._open:
            spot = Spot(self._file, line, column, "broken")
            self._mistakes.add(spot, "an alias leads to what holds it", "write a `$ref`")
            return spot
        self._open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            made = Spot(self._file, line, column, members=dict(self._members(node)))
        elif isinstance(node, yaml.SequenceNode):
            made = Spot(self._file, line, column, elements=tuple(map(self.spot, node.value)))
        else:
            made = Spot(self._file, line, column, _KINDS.get(node.tag, "text"), str(node.value))
        self._open.discard(id(node))
        self._made[id(node)] = made
        return made

    def _members(self, node: yaml.MappingNode) -> Iterator[tuple[str, Spot]]:
        seen: set[str] = set()
        for key, value in node.value:
            place = Spot(self._file, key.start_mark.line + 1, key.start_mark.column + 1)
            if not isinstance(key, yaml.ScalarNode):
                self._mistakes.add(place, "a key must be a text")
                continue
            if key.tag == "tag:yaml.org,2002:merge":
                hint = "write `allOf` with a `$ref`"
                self._mistakes.add(place, "merge keys (`<<`) are not followed", hint)
                continue
            if key.value in seen:
                self._mistakes.add(place, f"the key {show(key.value)} is given twice", "delete one")
                continue
            seen.add(key.value)
            yield key.value, self.spot(value)
