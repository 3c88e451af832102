"""What the import contracts of pyproject.toml cannot say about the core."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).parent.parent / "proxy" / "core"
MODULES = sorted(CORE.rglob("*.py"))
OUTSIDE = {"cryptography", "pybase64"}
FORBIDDEN_CALLS = {"breakpoint", "exec", "eval", "input", "open", "print"}

in_every_module = pytest.mark.parametrize(
    "module", MODULES, ids=lambda path: str(path.relative_to(CORE))
)


def imported(tree: ast.Module) -> set[str]:
    """Return each absolute import, a name taken from a module as `module.name`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@in_every_module
def test_core_needs_only_the_standard_library_and_two_packages(module: Path) -> None:
    packages = {name.partition(".")[0] for name in imported(ast.parse(module.read_text()))}
    assert packages <= sys.stdlib_module_names | OUTSIDE


@in_every_module
def test_core_takes_nothing_from_os_but_urandom(module: Path) -> None:
    tree = ast.parse(module.read_text())
    from_os = {name for name in imported(tree) if name.startswith("os.")}
    from_os |= {
        f"os.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    assert from_os <= {"os.urandom"}


@in_every_module
def test_core_opens_no_file_and_prints_nothing(module: Path) -> None:
    called = {
        node.func.id
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & FORBIDDEN_CALLS


def test_there_is_a_core() -> None:
    assert MODULES
