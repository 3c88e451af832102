"""The kinds of value that a key can have: how each is written, its bounds, and its reader.

A kind is data. `read` returns the value, or None after reporting what is wrong with the node at a
place; `syntax` is how the reference and the messages say what is written there; `written`, where
values are not shown as they are, returns one as a file has it. What only documents need (the JSON
Schema, the sentence about bounds) is made in `schema/declarations.py` from the same attributes, in
modules that a process that serves does not load.

A kind of its own in a section needs `syntax`, `read`, and one of these for the JSON Schema: `form`
or `pattern`, which a text matches; `like`, a kind that is written so; or `schema` itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from ...core.errors import InvalidExpression
from ..yaml import scalars
from ..yaml.nodes import Place, Problems, Scalar, show, suggest
from ..yaml.scalars import expected, text

MILLISECONDS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
_DURATION: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?(ms|s|m|h|d)")
_SHARE: Final = re.compile(r"0\.[0-9]{1,6}|1(?:\.0{1,6})?")
_SIZE: Final = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")


def duration(seconds: float) -> str:
    """Return a duration as the configuration writes it, in the largest unit that fits."""
    for unit, least in (("d", 2), ("h", 1), ("m", 1), ("s", 1)):
        number = seconds * 1000 / MILLISECONDS[unit]
        if number >= least and (number.is_integer() or unit == "s"):
            return f"{number:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


def size(number: int) -> str:
    """Return a size as the configuration writes it, in the largest unit that fits."""
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if number % BYTES[unit] == 0)
    return f"{number // BYTES[unit]}{unit}"


class Kind(Protocol):
    """What every kind has; those that hold others read them by the same method."""

    @property
    def syntax(self) -> str:
        """How a value is written, for the reference and for messages."""

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - by its kind
        """Return the value at a place, or None after reporting what is wrong."""


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds, above zero (or at least `low`) and up to `high`; with `zero`, also none at all."""

    high: float
    low: float = 0.0
    zero: bool = False
    syntax = "duration"
    written = staticmethod(duration)

    def read(self, place: Place, problems: Problems) -> float | None:
        """Return the seconds."""
        match = _measure(place, _DURATION, "a duration", "`250ms`, `10s`, `5m` or `1h`", problems)
        if match is None:
            return None
        # In integers, so that a bound is exact in every unit.
        millionths = int(match[1] + (match[2] or "").ljust(6, "0"))
        seconds = millionths * MILLISECONDS[match[3]] / 1e9
        if seconds > self.high:
            problems.add(
                place, f"{show(match[0])} is too long", f"write at most `{duration(self.high)}`"
            )
        elif seconds < self.low:
            problems.add(
                place, f"{show(match[0])} is too short", f"write at least `{duration(self.low)}`"
            )
        elif not seconds and not self.zero:
            problems.add(place, "must be more than zero")
        else:
            return seconds
        return None


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes, above zero and, if it is not None, up to `high`."""

    high: int | None = None
    syntax = "size"
    written = staticmethod(size)

    def read(self, place: Place, problems: Problems) -> int | None:
        """Return the number of bytes."""
        match = _measure(place, _SIZE, "a size", "`8190B`, `64KiB` or `16MiB`", problems)
        if match is None:
            return None
        found = int(match[1]) * BYTES[match[2]]
        if found == 0:
            problems.add(place, "must be more than zero")
        elif self.high is not None and found > self.high:
            problems.add(
                place, f"{show(match[0])} is too much", f"write at most `{size(self.high)}`"
            )
        else:
            return found
        return None


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A whole number from `low` to `high`."""

    low: int
    high: int
    syntax = "number"

    def read(self, place: Place, problems: Problems) -> int | None:
        """Return the number."""
        return scalars.whole(place, problems, low=self.low, high=self.high)


@dataclass(frozen=True, slots=True)
class Version:
    """The one version of a file's format that this program reads."""

    known: int

    @property
    def syntax(self) -> str:
        """The version."""
        return f"`{self.known}`"

    def read(self, place: Place, problems: Problems) -> int | None:
        """Return the version."""
        said = scalars.whole(place, problems, low=0, high=10**15)
        if said is not None and said != self.known:
            hint = f"this program reads version {self.known}"
            problems.add(place, f"{said} is not a supported version", hint)
        return said if said == self.known else None


@dataclass(frozen=True, slots=True)
class Portion:
    """A number above 0, up to 1, of at most six decimals."""

    syntax = "number above 0, up to 1"

    def read(self, place: Place, problems: Problems) -> float | None:
        """Return the share."""
        node = place.node
        if not isinstance(node, Scalar):
            expected(place, "a share", problems)
        elif node.kind == "text" or not _SHARE.fullmatch(node.text) or not float(node.text):
            hint = "write a number above 0, up to 1; `0.1` is a tenth"
            problems.add(place, f"{show(node.text)} is not a share", hint)
        else:
            return float(node.text)
        return None


@dataclass(frozen=True, slots=True)
class Switch:
    """`true` or `false`; YAML's other words for them are mistakes."""

    syntax = "`true`, `false`"

    def read(self, place: Place, problems: Problems) -> bool | None:
        """Return the switch."""
        node = place.node
        if not isinstance(node, Scalar):
            expected(place, "`true` or `false`", problems)
        elif node.kind == "text" or node.text not in {"true", "false"}:
            problems.add(place, f"{show(node.text)} is not a switch", "write `true` or `false`")
        else:
            return node.text == "true"
        return None


@dataclass(frozen=True, slots=True, init=False)
class Choice:
    """One of several words, each with the value that it stands for: the word itself if not given.

    `Choice("durable", "ephemeral")`, `Choice(refuse=False, allow=True)`.
    """

    values: Mapping[str, Any]

    def __init__(self, *words: str, **values: object) -> None:
        """Take the words that stand for themselves, then those that stand for a value."""
        object.__setattr__(self, "values", {word: word for word in words} | values)

    @property
    def syntax(self) -> str:
        """The words."""
        return ", ".join(f"`{word}`" for word in self.values)

    def written(self, value: object) -> str:
        """Return the word for a value."""
        return next(word for word, meant in self.values.items() if meant == value)

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - what a word stands for
        """Return what the word stands for."""
        word = text(place, problems)
        if word is None:
            return None
        if word not in self.values:
            problems.add(place, f"{show(word)} is unknown", suggest(word, self.values))
            return None
        return self.values[word]


@dataclass(frozen=True, slots=True)
class PlainText:
    """A text that is not empty.

    Args:
        syntax: How it is written.
        form: What all of it must match; without it, any text.
        refused: What a text of another form is told not to be: "is not a name".
        hint: How to write it.
        secret: The text is not shown in a message, since it may be a secret in the wrong place.
        parse: Returns the value; raises InvalidExpression for a text that has none.
        pattern: What a text that has a value matches, for the JSON Schema, where `form` does not
            say it.

    """

    syntax: str = "text"
    form: re.Pattern[str] | None = None
    refused: str = ""
    hint: str = ""
    secret: bool = False
    parse: Callable[[str], Any] | None = None
    pattern: str | None = None

    def read(self, place: Place, problems: Problems) -> Any:  # noqa: ANN401 - what `parse` returns
        """Return the text, or what it is parsed to."""
        written = text(place, problems)
        if written is None:
            return None
        if self.form is not None and not self.form.fullmatch(written):
            shown = "" if self.secret else f"{show(written)} "
            problems.add(place, f"{shown}{self.refused}", self.hint)
            return None
        if self.parse is None:
            return written
        try:
            return self.parse(written)
        except InvalidExpression as error:
            problems.add(place, error.message, error.hint)
            return None


@dataclass(frozen=True, slots=True)
class File:
    """The path of a file, relative to the folder of the configuration."""

    syntax = "path"

    def read(self, place: Place, problems: Problems) -> Path | None:
        """Return the path, with the folder before it."""
        written = text(place, problems)
        return None if written is None else problems.folder / written


def _measure(
    place: Place, pattern: re.Pattern[str], what: str, examples: str, problems: Problems
) -> re.Match[str] | None:
    node = place.node
    if not isinstance(node, Scalar):
        expected(place, what, problems)
        return None
    match = pattern.fullmatch(node.text)
    if match is None:
        problems.add(place, f"{show(node.text)} is not {what}", f"write it as {examples}")
    return match
