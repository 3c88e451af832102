"""Every cache in the code is on the page that tells how large it may become."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.scenarios.rig import ROOT

PAGE = ROOT / "docs" / "explanation" / "memory.md"
CACHES = {"BoundedMap", "WeakKeyDictionary", "WeakValueDictionary", "cache", "deque", "lru_cache"}
OF_ONE_CALL = {"keys/audit/verification"}
"""A deque that is gone when its function returns."""


def made(file: Path) -> Iterator[str]:
    """Yield the kinds of caches that a module makes, by call or as a decorator."""
    for node in ast.walk(ast.parse(file.read_text())):
        called: list[ast.expr] = []
        if isinstance(node, ast.Call):
            called = [node.func]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            called = list(node.decorator_list)
        for one in called:
            name = ast.unparse(one).rpartition(".")[2]
            if name in CACHES:
                yield name


def test_every_cache_is_on_the_page_with_its_limit() -> None:
    root = ROOT / "proxy"
    found = {
        file.relative_to(root).with_suffix("").as_posix()
        for file in root.rglob("*.py")
        if any(made(file))
    }
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    named = {one for row in rows for one in re.findall(r"`([a-z0-9_/]+/[a-z0-9_/]+)`", row)}

    assert sorted(found - named - OF_ONE_CALL) == []
    assert [one for one in sorted(named) if not (root / f"{one}.py").exists()] == []


def test_a_cache_without_a_limit_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("from functools import cache\n\n@cache\ndef f(x): return x\n")

    assert list(made(module)) == ["cache"]
