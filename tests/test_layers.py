"""What the import contracts of pyproject.toml cannot say: about the core, names and circles."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "proxy" / "core"
MODULES = sorted(CORE.rglob("*.py"))
OUTSIDE = {"cryptography", "pybase64", "sealyard_native"}
MOST_LINES = 600
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
def test_core_needs_only_the_standard_library_and_three_packages(module: Path) -> None:
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
    # The form of the leaves is chosen where they are imported, before there is a configuration.
    allowed = {"os.environ"} if module == CORE / "leaves" / "choice.py" else {"os.urandom"}
    assert from_os <= allowed


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


def dotted(path: Path) -> str:
    """Return the name by which a file of the product is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


PRODUCT = {dotted(path): (path, ast.parse(path.read_text())) for path in ROOT.glob("proxy/**/*.py")}


def needed(name: str) -> Iterator[str]:
    """Yield the files of the product that a file imports, inside functions too."""
    path, tree = PRODUCT[name]
    parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        above = parts[: len(parts) + 1 - node.level] if node.level else []
        base = ".".join((*above, *filter(None, [node.module])))
        for alias in node.names:
            inside = f"{base}.{alias.name}"
            yield inside if inside in PRODUCT else base


def test_no_circle_of_imports() -> None:
    graph = {name: PRODUCT.keys() & set(needed(name)) - {name} for name in PRODUCT}

    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_each_public_class_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for name, (_, tree) in PRODUCT.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = {ast.unparse(base).partition("[")[0] for base in node.bases}
                if "Protocol" not in bases:
                    places[node.name].append(name)

    assert {one: where for one, where in places.items() if len(where) > 1} == {}


def test_no_file_of_the_product_is_above_600_lines() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, (path, _) in PRODUCT.items()}

    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
