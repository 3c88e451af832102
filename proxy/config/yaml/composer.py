"""From YAML text to nodes with positions. Only a plain subset of YAML is accepted."""

from __future__ import annotations

import re
from collections.abc import Mapping as Environ
from pathlib import Path
from typing import Final

import yaml

from ..policy import FILE_BYTES, MAX_DEPTH
from .nodes import Kind, Mapping, Node, Place, Position, Problems, Scalar, Sequence, read_as, show

_REFERENCE: Final = re.compile(r"\$\{(?:env:([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\})?")


def substitute(text: str, environ: Environ[str, str], place: Place, problems: Problems) -> str:
    """Return `text` with each reference replaced; report those that cannot be, at `place`."""

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if name is None:
            message = f"{show(text)} is not a reference; write `${{env:NAME}}`, quoted inside {{ }}"
            problems.at(place.node.position, place.path, message, text)
        elif name in environ:
            return environ[name]
        elif default is not None:
            return str(default).removeprefix(":-")
        else:
            hint = f"set it, or write a default: `${{env:{name}:-…}}`"
            problems.add(place, f"the environment variable {show(name)} is not set", hint)
        return ""

    return _REFERENCE.sub(value, text)


_KINDS: Final[dict[str, Kind]] = {
    "tag:yaml.org,2002:int": "number",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "date",
}
_BROKEN: Final = "broken"
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class _Stop(Exception):
    """Composing cannot go on; the problem is already reported."""


class _Composer(yaml.SafeLoader):
    """Composes nodes, and reports what would make one place of the file change another."""

    def __init__(self, text: str, problems: Problems) -> None:
        super().__init__(text)
        self._problems = problems
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node. An alias becomes an empty one."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs
        position = _position(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            self._refuse(
                position,
                f"aliases (`*{event.anchor}`) are not supported; repeat the value",
                event.anchor or "",
            )
            self.get_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs
            return yaml.ScalarNode(_BROKEN, "", self.get_mark(), self.get_mark())
        self._refuse_properties(event, position)
        if self._depth >= MAX_DEPTH:
            self._refuse(
                position, f"nested deeper than {MAX_DEPTH} levels; is a bracket not closed?"
            )
            raise _Stop
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refuse_properties(self, event: yaml.Event, position: Position) -> None:
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._refuse(
                position,
                f"anchors (`&{event.anchor}`) are not supported; delete the anchor",
                event.anchor,
            )
            event.anchor = None
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            if event.tag is not None:
                tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")  # as it is written
                self._refuse(position, f"tags ({show(tag)}) are not supported; delete it", tag)
            event.tag = None

    def _refuse(self, position: Position, message: str, *quoted: str) -> None:
        self._problems.at(position, "", message, *quoted)


def compose(text: str, environ: Environ[str, str], problems: Problems) -> Node | None:
    """Return the document's root node, or None after reporting that the text is not YAML."""
    try:
        composer = _Composer(text, problems)
        root = composer.get_single_node()
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        problems.at(_position(error.problem_mark or error.context_mark), "", _complaint(error))
        return None
    except (yaml.YAMLError, ValueError, OverflowError):
        # Escapes beyond Unicode and very long version numbers.
        problems.at(Position(1, 1), "", "not YAML: a character or number is out of range")
        return None
    if root is None:
        problems.at(Position(1, 1), "", f"the file is empty; {problems.start}")
        return None
    return _Converter(environ, problems).place(root, "").node


class _Converter:
    """Converts PyYAML's nodes to ours, with values of environment variables inserted."""

    def __init__(self, environ: Environ[str, str], problems: Problems) -> None:
        self._environ = environ
        self._problems = problems

    def place(self, node: yaml.Node, path: str) -> Place:
        """Return our node with its path."""
        position = _position(node.start_mark)
        if isinstance(node, yaml.SequenceNode):
            items = (self.place(one, f"{path}[{at}]") for at, one in enumerate(node.value))
            return Place(Sequence(position, tuple(one.node for one in items)), path)
        if isinstance(node, yaml.MappingNode):
            return Place(Mapping(position, self._entries(node, path)), path)
        return Place(self._scalar(node, position, path), path)

    def _entries(self, node: yaml.MappingNode, path: str) -> tuple[tuple[Scalar, Node], ...]:
        found: dict[str, tuple[Scalar, Node]] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            value = self.place(value_node, f"{path}.{key.text}" if path else key.text)
            if key.text in found:
                first = found[key.text][0].position.line
                message = f"the key {show(key.text)} is already given on line {first}; delete one"
                self._problems.at(key.position, path, message, key.text)
                continue
            found[key.text] = key, value.node
        return tuple(found.values())

    def _key(self, node: yaml.Node, path: str) -> Scalar | None:
        position = _position(node.start_mark)
        if not isinstance(node, yaml.ScalarNode):
            message = "a key must be text, but this is a list or a mapping; quote it"
            self._problems.at(position, path, message)
            return None
        if node.tag == "tag:yaml.org,2002:merge":
            self._problems.at(position, path, "merge keys (`<<`) are not supported; use `defaults`")
            return None
        kind = _KINDS.get(node.tag, "text")
        if kind != "text":
            message = f"the key {show(node.value)} is read as {read_as(kind, node.value)}; quote it"
            self._problems.at(position, path, message, node.value)
        return Scalar(position, self._clean(node.value, position, path), "text", node.value)

    def _scalar(self, node: yaml.Node, position: Position, path: str) -> Scalar:
        before = self._problems.count
        text = written = str(node.value)
        kind = _KINDS.get(node.tag, "text")
        if "${" in written:
            kind = "substituted"
            text = substitute(
                written, self._environ, Place(Scalar(position, "", kind, ""), path), self._problems
            )
        text = self._clean(text, position, path)
        if self._problems.count > before or node.tag == _BROKEN:
            kind = "broken"
        return Scalar(position, text, kind, written)

    def _clean(self, text: str, position: Position, path: str) -> str:
        if _FORBIDDEN.search(text) is None:
            return text
        message = "contains a control character or half of a surrogate pair; delete it"
        self._problems.at(position, path, message)
        return _FORBIDDEN.sub("", text)


def _position(mark: object) -> Position:
    line, column = getattr(mark, "line", 0), getattr(mark, "column", 0)
    return Position(line + 1, column + 1)


def _complaint(error: yaml.MarkedYAMLError) -> str:
    problem = _problem(error)
    return problem if "quotes" in problem else problem + _opened(error)


def _opened(error: yaml.MarkedYAMLError) -> str:
    """Return where a list or mapping in brackets began that is not closed."""
    mark = error.context_mark
    if mark is None or not (error.context or "").startswith("while parsing a flow"):
        return ""
    bracket = "{" if "mapping" in (error.context or "") else "["
    return f"; is the `{bracket}` of line {mark.line + 1} closed?"


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not YAML"
    if "single document" in (error.context or ""):
        return "a second document begins here; a configuration has one"
    if "'\\t'" in problem:
        return "indented with a tab; use spaces"
    if problem.endswith("but got '{'"):
        return "not YAML: a brace inside { } or [ ]; quote `${env:NAME}` and `{name}` there"
    if "mapping values are not allowed" in problem:
        return (
            "not YAML: `: ` inside a value; quote the value, or indent the line as its neighbours"
        )
    if "cannot start any token" in problem:
        return f"not YAML: {problem}; quote the value"
    return f"not YAML: {problem}"


_START: Final = Position(1, 1)
_NOT_PRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)


def read(path: Path, problems: Problems) -> str | None:
    """Return the file's text, or None after reporting why it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
    except IsADirectoryError:
        problems.at(_START, "", "is a folder, not a file; name a file in it")
    except FileNotFoundError:
        problems.at(_START, "", f"the file does not exist; {problems.start}")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "invalid file name"
        problems.at(_START, "", f"cannot be read: {reason}")
    else:
        return decode(content, problems)
    return None


def decode(content: bytes, problems: Problems) -> str | None:
    """Return the text of `content`, or None after reporting why it is none."""
    if len(content) > FILE_BYTES:
        problems.at(_START, "", f"the file is larger than {FILE_BYTES // 1024 // 1024} MiB")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", errors="replace")
        problems.at(
            _place_of_byte(before), "", "the file is not UTF-8 from here on; save it as UTF-8"
        )
        return None
    strange = _NOT_PRINTABLE.search(text)
    if strange is not None:
        code = ord(strange[0])
        problems.at(
            _place_of_byte(text[: strange.start()]),
            "",
            f"the file contains the control character U+{code:04X}; delete it",
        )
        return None
    return text


def _place_of_byte(before: str) -> Position:
    line = before.count("\n") + 1
    return Position(line, len(before) - (before.rfind("\n") + 1) + 1)
