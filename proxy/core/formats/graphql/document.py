"""Executable documents of GraphQL (September 2025 edition, section 2), read strictly.

What servers may read in two ways is refused, though the grammar has it: block strings, whose text
depends on their indentation, escapes in braces, lone surrogates, and characters that some readers
take for line ends. So a string is spelled as in JSON, and a comment ends where all readers end it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple, NoReturn

from ...errors import BodyTooLarge, ForbiddenValue, InvalidBody
from ...policy import DOCUMENT_CHARS, DOCUMENT_DEPTH, DOCUMENT_TOKENS
from ...slices import pause

_ODD: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff]|\r(?!\n)")
_TOKEN: Final = re.compile(
    r"(?:[ \t\r\n,]++|#[^\r\n]*+)*+"
    r"(?:(?P<name>[_A-Za-z][_0-9A-Za-z]*+)"
    r"|(?P<int>-?(?:0|[1-9][0-9]*+)(?![_A-Za-z0-9.]))"
    r"|(?P<float>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![_A-Za-z0-9.]))"
    r'|(?P<string>(?!""")"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+")'
    r"|(?P<mark>\.\.\.|[!$()\[\]{}:=@])"
    r"|(?P<end>\Z))"
)
_TYPES: Final = frozenset({"query", "mutation", "subscription"})
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")
_CONDITIONS: Final = frozenset({"skip", "include"})


class Variable(NamedTuple):
    """A value that is sent beside the document."""

    name: str


class Literal(NamedTuple):
    """A value in the document, as JSON, and where it lies; an enum value is a string as well."""

    text: str
    start: int
    end: int

    @property
    def is_enum(self) -> bool:
        """Whether it is an enum value, which is spelled without quotes."""
        return self.end - self.start != len(self.text)

    @property
    def is_string(self) -> bool:
        """Whether it is spelled as a string, which may be any text."""
        return self.text.startswith('"') and not self.is_enum


class ListValue(NamedTuple):
    """A list in the document."""

    values: tuple[Value, ...]


class ObjectValue(NamedTuple):
    """An input object in the document."""

    members: tuple[tuple[str, Value], ...]


Value = Variable | Literal | ListValue | ObjectValue


class Field(NamedTuple):
    """A field that is asked for, `alias` is its name in the response."""

    name: str
    alias: str
    arguments: tuple[tuple[str, Value], ...]
    selections: Selections


class Spread(NamedTuple):
    """All that a named fragment asks for."""

    fragment: str


Selections = tuple[Field | Spread, ...]
"""What is asked for of one object; inline fragments are part of it."""


class Document(NamedTuple):
    """A document with one operation.

    `variables` are those that it declares, each with its default, None without one. `conditions`
    are the variables by which a directive skips or includes something.
    """

    type: str
    name: str | None
    variables: Mapping[str, Value | None]
    selections: Selections
    fragments: Mapping[str, Selections]
    conditions: frozenset[str]


def read(text: str) -> Document:
    """Read a document.

    Raises:
        InvalidBody: It is none, or says something twice.
        ForbiddenValue: Servers might read it in two ways, or it has several operations.
        BodyTooLarge: It is longer or deeper than any that people write.
    """
    if len(text) > DOCUMENT_CHARS:
        raise BodyTooLarge("document-too-long")
    if _ODD.search(text):
        raise ForbiddenValue("document-characters", detail="The document has control characters.")
    return _Reader(text).document()


class _Reader:
    """Reads the tokens of one document; `_kind` and `_text` are of the next one."""

    def __init__(self, text: str) -> None:
        self._source = text
        self._at = 0
        self._count = 0
        self._depth = 0
        self._conditions: set[str] = set()
        self._kind = self._text = ""
        self._advance()

    def _advance(self) -> None:
        pause()
        match = _TOKEN.match(self._source, self._at)
        if match is None or match.lastgroup is None:
            self._refuse()
        self._count += 1
        self._kind, self._text = match.lastgroup, match[match.lastgroup]
        self._at = match.end()
        if self._text in _OPENING:
            self._depth += 1
        elif self._text in _CLOSING:
            self._depth -= 1
        if self._count > DOCUMENT_TOKENS or self._depth > DOCUMENT_DEPTH:
            raise BodyTooLarge("document-too-long")

    def _refuse(self) -> NoReturn:
        if '"""' in self._source:
            raise ForbiddenValue("block-string", detail="The document has a block string.")
        raise InvalidBody("not-graphql", detail="The document is not GraphQL.")

    def _take(self, text: str) -> bool:
        """Pass a mark, or a name, if it comes next."""
        found = self._text == text and self._kind in {"mark", "name"}
        if found:
            self._advance()
        return found

    def _need(self, text: str) -> None:
        if not self._take(text):
            self._refuse()

    def _name(self) -> str:
        name = self._text
        if self._kind != "name":
            self._refuse()
        self._advance()
        return name

    def document(self) -> Document:
        operations: list[tuple[str, str | None, dict[str, Value | None], Selections]] = []
        fragments: dict[str, Selections] = {}
        while self._kind != "end":
            if self._kind == "mark":
                operations.append(("query", None, {}, self._selections()))
                continue
            word = self._name()
            if word == "fragment":
                name = self._name()
                if name in fragments or name == "on":
                    raise InvalidBody("fragment-twice", detail="A fragment has no name of its own.")
                self._need("on")
                self._name()
                self._directives()
                fragments[name] = self._selections()
            elif word in _TYPES:
                operations.append(self._operation(word))
            else:
                self._refuse()
        if len(operations) != 1:
            raise ForbiddenValue(
                "several-operations", detail="A document must have one operation, and no other."
            )
        return Document(*operations[0], fragments, frozenset(self._conditions))

    def _operation(self, word: str) -> tuple[str, str | None, dict[str, Value | None], Selections]:
        name = self._name() if self._kind == "name" else None
        variables: dict[str, Value | None] = {}
        if self._take("("):
            while not self._take(")"):
                self._variable(variables)
            if not variables:
                self._refuse()
        self._directives()
        return word, name, variables, self._selections()

    def _variable(self, variables: dict[str, Value | None]) -> None:
        self._need("$")
        name = self._name()
        self._need(":")
        self._type()
        default = self._value(constant=True) if self._take("=") else None
        self._directives()
        if name in variables:
            raise InvalidBody("variable-twice", detail="A variable is declared twice.")
        variables[name] = default

    def _type(self) -> None:
        if self._take("["):
            self._type()
            self._need("]")
        else:
            self._name()
        self._take("!")

    def _selections(self) -> Selections:
        self._need("{")
        found: list[Field | Spread] = []
        while not self._take("}"):
            if not self._take("..."):
                found.append(self._field())
                continue
            if self._kind == "name" and self._text != "on":
                found.append(Spread(self._name()))
                self._directives()
                continue
            if self._take("on"):
                self._name()
            self._directives()
            found += self._selections()
        if not found:
            self._refuse()
        return tuple(found)

    def _field(self) -> Field:
        alias = name = self._name()
        if self._take(":"):
            name = self._name()
        arguments: dict[str, Value] = {}
        if self._take("("):
            self._members(arguments, ")", constant=False)
            if not arguments:
                self._refuse()
        self._directives()
        selections = self._selections() if self._text == "{" and self._kind == "mark" else ()
        return Field(name, alias, tuple(arguments.items()), selections)

    def _members(self, members: dict[str, Value], closing: str, *, constant: bool) -> None:
        while not self._take(closing):
            name = self._name()
            self._need(":")
            if name in members:
                raise InvalidBody("argument-twice", detail="An argument is given twice.")
            members[name] = self._value(constant=constant)

    def _value(self, *, constant: bool) -> Value:
        kind, text, end = self._kind, self._text, self._at
        if kind == "mark":
            return self._composite(constant=constant)
        start = end - len(text)
        self._advance()
        if kind == "name":
            spelled = text if text in {"true", "false", "null"} else f'"{text}"'
            return Literal(spelled, start, end)
        if kind == "string":
            try:
                json.loads(text).encode()
            except UnicodeEncodeError:
                raise ForbiddenValue(
                    "lone-surrogate", detail="The document has a lone surrogate."
                ) from None
        elif kind == "end":
            self._refuse()
        return Literal(text, start, end)

    def _composite(self, *, constant: bool) -> Value:
        """Read a variable, a list or an object."""
        if not constant and self._take("$"):
            return Variable(self._name())
        if self._take("["):
            values: list[Value] = []
            while not self._take("]"):
                values.append(self._value(constant=constant))
            return ListValue(tuple(values))
        self._need("{")
        members: dict[str, Value] = {}
        self._members(members, "}", constant=constant)
        return ObjectValue(tuple(members.items()))

    def _directives(self) -> None:
        """Read the conditions of what they follow; what others do with their arguments is unknown.

        Raises ForbiddenValue for any but `@skip` and `@include`.
        """
        while self._take("@"):
            directive = self._name()
            arguments: dict[str, Value] = {}
            if self._take("("):
                self._members(arguments, ")", constant=False)
            condition = arguments.pop("if", None)
            if directive not in _CONDITIONS or arguments:
                raise ForbiddenValue(
                    "directive", detail="Only the directives skip and include are allowed."
                )
            if isinstance(condition, Variable):
                self._conditions.add(condition.name)
            elif not isinstance(condition, Literal) or condition.text not in {"true", "false"}:
                self._refuse()
