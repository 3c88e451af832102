"""Every reason in the code is explained, and every reason that is explained is in the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from proxy.cli.support.reasons import Reason, explained, reasons
from proxy.core import errors
from proxy.core.errors import TrafficError, traffic_errors

PROXY = Path(__file__).parents[1] / "proxy"
CODES = {
    name: one.code
    for name, one in vars(errors).items()
    if isinstance(one, type) and issubclass(one, TrafficError)
}
ELSEWHERE = {"internal-error"}
"""Codes whose reasons are classes of exceptions."""


@cache
def sources() -> tuple[str, ...]:
    return tuple(one.read_text() for one in PROXY.rglob("*.py"))


def made() -> set[tuple[str, str]]:
    """Return code and reason of each error that the code makes, `*` for what is computed."""
    return {
        (CODES[call.func.id], reason)
        for source in sources()
        if any(f"{name}(" in source for name in CODES)  # walking a tree takes long
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        if call.func.id in CODES and call.args
        for reason in _texts(call.args[0])
        if reason
    }


def _texts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.IfExp():
            yield from (*_texts(node.body), *_texts(node.orelse))
        case ast.BoolOp():
            for one in node.values:
                yield from _texts(one)
        case ast.JoinedStr():
            parts = (one.value if isinstance(one, ast.Constant) else "*" for one in node.values)
            yield "".join(map(str, parts))
        case _:
            return


@cache
def literals() -> frozenset[str]:
    """Return every text in the code; the reasons of a table or a constant are among them."""
    return frozenset(
        one.value
        for source in sources()
        for one in ast.walk(ast.parse(source))
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    )


def test_every_reason_in_the_code_is_explained() -> None:
    known = {(one.code, one.reason) for one in reasons()}
    missing = {
        (code, reason)
        for code, reason in made() - known
        if not any(code == other and fnmatch(text, reason) for other, text in known)
    }
    assert {one for one in missing if one[0] not in ELSEWHERE} == set()


def test_every_reason_that_is_explained_is_in_the_code() -> None:
    patterns = made()
    unknown = [
        one
        for one in reasons()
        if one.reason not in literals()
        and one.reason.upper() not in literals()  # a method
        and not any(one.code == code and fnmatch(one.reason, text) for code, text in patterns)
    ]
    assert unknown == []


@pytest.mark.parametrize("one", reasons(), ids=lambda one: f"{one.code}: {one.reason}")
def test_each_has_a_cause_a_remedy_and_an_example(one: Reason) -> None:
    assert one.code in {error.code for error in traffic_errors()}
    assert one.cause.endswith(".")
    assert one.remedy.endswith(".")
    assert one.example
    assert "|" not in "".join(one)


def test_each_is_explained_once_and_in_order() -> None:
    names = [(one.code, one.reason) for one in reasons()]
    assert names == sorted(set(names))
    assert explained("invalid-body", "not-json") in reasons()
    assert explained("invalid-body", "no such reason") is None
