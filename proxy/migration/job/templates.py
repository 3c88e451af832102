"""Addresses and headers as a job writes them; variables in braces are members of an element."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from ...config.declared.kinds import PlainText
from ...config.rules.conditions import json_selector
from ...config.yaml.nodes import show
from ...core.errors import InvalidExpression, SealyardError
from ...core.expressions.selectors import JsonSelector
from ...core.http.message import TOKEN
from ...core.http.path import canonical

WriteMethod = Literal["PUT", "PATCH", "POST"]
METHODS: Final[tuple[WriteMethod, ...]] = ("PUT", "PATCH", "POST")
SAMPLE: Final = "x"
"""What stands for each variable where the form of an address is checked."""
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
MEMBER_NAME: Final = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*")
"""A variable: a member of the element, or of an object in it."""
HEADER: Final = re.compile(TOKEN.decode())
_QUERY: Final = re.compile(r"[!-\"$-~]*")
PATH: Final = "/[!-~]*"


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


def _template(written: str) -> Template:
    made = Template(written)
    for one in made.variables:
        if not MEMBER_NAME.fullmatch(one):
            raise InvalidExpression(f"{show(one)} is not the name of a member")
    return made


def sent_path(written: str) -> str:
    """Return a path with its query, if it is as it is sent; raise InvalidExpression."""
    raw, _, query = written.partition("?")
    try:
        spelled = canonical(raw).text == raw and _QUERY.fullmatch(query)
    except SealyardError:
        spelled = None
    if not spelled:
        told = f"{show(written)} is not a path as it is sent"
        raise InvalidExpression(told, hint="begin it with `/`")
    return written


def _path_template(written: str) -> Template:
    made = _template(written)
    sent_path(made.expand(lambda _: SAMPLE))
    return made


def _header_template(written: str) -> Template:
    made = _template(written)
    if not made.variables:
        raise InvalidExpression("names no member, so it is the same for every element")
    return made


PATH_TEMPLATE: Final = PlainText("path", parse=_path_template, pattern=PATH)
HEADER_TEMPLATE: Final = PlainText("template", parse=_header_template)


@dataclass(frozen=True, slots=True)
class Write:
    """Where an element is written back, and how."""

    method: WriteMethod
    address: Template


def _write(written: str) -> Write:
    method, _, path = written.partition(" ")
    if method not in METHODS:
        raise InvalidExpression(f"{show(written)} does not begin with {' or '.join(METHODS)}")
    made = _path_template(path.strip())
    if not made.variables:
        raise InvalidExpression("names no member, so every element has the same address")
    if "?" in path:
        raise InvalidExpression("a write has no query")
    return Write(method, made)


WRITE: Final = PlainText(
    "`METHOD path`", parse=_write, pattern=f"(?:{'|'.join(METHODS)}) +/[!->@-~]* *"
)


def header_or_selector(written: str) -> tuple[str | None, JsonSelector | None]:
    """Return the name of a header, or the selector; one of the two. Raise InvalidExpression."""
    if written.startswith("$"):
        return None, json_selector(written)
    if not HEADER.fullmatch(written):
        raise InvalidExpression(f"{show(written)} is neither a header nor a selector")
    return written, None
