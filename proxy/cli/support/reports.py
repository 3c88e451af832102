"""Results of checks for people and for CI: text, JUnit's XML, and GitHub's annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from xml.sax.saxutils import quoteattr

import click

_F = TypeVar("_F", bound=Callable[..., Any])

_FORMATS: Final = ("text", "junit", "github")


def format_option(marked: str) -> Callable[[_F], _F]:
    """Return the option `--format`, given as `output`; `github` marks what `marked` names."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(_FORMATS),
        default="text",
        show_default=True,
        help=f"How results are printed; `github` marks {marked}.",
    )


@dataclass(frozen=True, slots=True)
class Reported:
    """Something that was checked, where it is written, and what is wrong with it: maybe nothing.

    Without a `line` it is something that is missing: the only fault is its name.
    """

    name: str
    file: str
    line: int | None
    faults: Sequence[str] = ()


def gap(file: str, what: str) -> Reported:
    """Return something that a file lacks."""
    return Reported(what, file, None, (what,))


def report(output: str, suite: str, results: Sequence[Reported]) -> Iterator[str]:
    """Yield the lines of a report in one of the `FORMATS`; `suite` is the file that was checked."""
    if output == "junit":
        yield from _junit(suite, results)
        return
    for one in results:
        yield from _github(one) if output == "github" else _text(one)
    failed = sum(1 for one in results if one.faults and one.line is not None)
    gaps = sum(1 for one in results if one.line is None)
    passed = len(results) - failed - gaps
    yield f"{suite}: {passed} passed, {failed} failed" + (f", {gaps} gaps" if gaps else "")


def _text(one: Reported) -> Iterator[str]:
    if one.line is None:
        yield f"{one.file}: {one.name}"
    elif one.faults:
        yield f"{one.file}:{one.line}: FAILED {one.name}"
        yield from (f"  {fault}" for fault in one.faults)


def _github(one: Reported) -> Iterator[str]:
    if one.line is None:
        yield f"::error file={one.file}::{one.name}"
        return
    for fault in one.faults:
        yield f"::error file={one.file},line={one.line}::{one.name}: {fault}"


def _junit(suite: str, results: Sequence[Reported]) -> Iterator[str]:
    failed = sum(1 for one in results if one.faults)
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    name = quoteattr(suite)
    yield f'<testsuite name={name} tests="{len(results)}" failures="{failed}">'
    for one in results:
        place = f"classname={name} name={quoteattr(one.name)}"
        if one.faults:
            message = quoteattr("; ".join(one.faults))
            yield f"<testcase {place}><failure message={message}/></testcase>"
        else:
            yield f"<testcase {place}/>"
    yield "</testsuite>"
