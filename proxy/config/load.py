"""From a configuration file to settings, or to all mistakes in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.errors import ConfigurationError
from .settings import Loaded
from .yaml import composer, nodes
from .yaml.composer import compose
from .yaml.nodes import Node, Place, Position, Problems, Scalar


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Return the settings of the file at `path`; raise ConfigurationError with all its mistakes.

    `environ` has the values of `${env:NAME}`. Nothing is connected to, opened or changed.
    """
    return parse(text_of(path), path, environ)


def text_of(path: Path) -> str:
    """Return the text of the file at `path`; raise ConfigurationError if it cannot be read."""
    problems = Problems(str(path))
    text = composer.read(path, problems)
    problems.raise_if_any()
    return text or ""


def parse(text: str, path: Path, environ: Mapping[str, str]) -> Loaded:
    """Do as `load` with `text`, the content of the file at `path`."""
    from .sections import document  # noqa: PLC0415 - takes memory, and there may be no file

    problems = Problems(str(path), Path.cwd() / path.parent)
    root = compose(text, environ, problems)
    settings = None
    if root is not None:
        settings = document.FILE.read(Place(root, ""), problems)
    problems.raise_if_any()
    if settings is None:
        raise ConfigurationError((f"{path}: not understood",))
    return Loaded(settings, problems.warnings, path)


def place_of(path: Path, environ: Mapping[str, str], where: Sequence[str]) -> str:
    """Return `file:line:column` of a setting, or of the nearest one around it that is written.

    `where` is its path by keys; an element of a list is named by its `name`. The file has been
    loaded before.
    """
    problems = Problems(str(path))
    node = compose(composer.read(path, problems) or "", environ, problems)
    position = Position(1, 1) if node is None else node.position
    for key in where:
        found = _inside(node, key)
        if found is None:
            break
        position, node = found
    return f"{path}:{position.line}:{position.column}"


def _inside(node: Node | None, key: str) -> tuple[Position, Node] | None:
    if isinstance(node, nodes.Mapping):
        for written, inner in node.entries:
            if written.text == key:
                return written.position, inner
    if isinstance(node, nodes.Sequence):
        for inner in node.items:
            named = _inside(inner, "name")
            if named is not None and isinstance(named[1], Scalar) and named[1].text == key:
                return inner.position, inner
    return None
