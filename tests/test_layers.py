"""What the import contracts of pyproject.toml cannot say: about the core, names and circles."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OUTSIDE = {"cryptography", "pybase64", "sealyard_native"}
MOST_LINES = 600
FORBIDDEN_CALLS = {"breakpoint", "exec", "eval", "input", "open", "print"}


@dataclass(frozen=True)
class Module:
    """A module of the product: its file, the text of it, and what Python reads there."""

    path: Path
    text: str
    tree: ast.Module


Product = dict[str, Module]
"""Modules by the names by which they are imported."""


@pytest.fixture(scope="module")
def product() -> Product:
    """Read all modules, when they are asked for: not in each process that collects tests."""
    found = {}
    for path in ROOT.glob("proxy/**/*.py"):
        text = path.read_text()
        found[dotted(path)] = Module(path, text, ast.parse(text))
    return found


@pytest.fixture(scope="module")
def core(product: Product) -> Product:
    """Return the modules of the core."""
    found = {name: one for name, one in product.items() if f"{name}.".startswith("proxy.core.")}
    assert len(found) > 100
    return found


def dotted(path: Path) -> str:
    """Return the name by which a file of the product is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.Module) -> set[str]:
    """Return each absolute import, a name taken from a module as `module.name`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_core_needs_only_the_standard_library_and_three_packages(core: Product) -> None:
    known = sys.stdlib_module_names | OUTSIDE
    packages = {
        name: {one.partition(".")[0] for one in imported(module.tree)}
        for name, module in core.items()
    }

    assert {name: used - known for name, used in packages.items() if used - known} == {}


def test_core_takes_nothing_from_os_but_urandom(core: Product) -> None:
    found = {}
    for name, module in core.items():
        from_os = {one for one in imported(module.tree) if one.startswith("os.")}
        from_os |= {
            f"os.{node.attr}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
        }
        found[name] = from_os - {"os.urandom"}

    # The form of the leaves is chosen where they are imported, before there is a configuration.
    assert found.pop("proxy.core.leaves.choice") == {"os.environ"}
    assert {name: used for name, used in found.items() if used} == {}


def test_core_opens_no_file_and_prints_nothing(core: Product) -> None:
    called = {
        (name, node.func.id)
        for name, module in core.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert {one for one in called if one[1] in FORBIDDEN_CALLS} == set()


def needed(name: str, product: Product) -> Iterator[str]:
    """Yield the files of the product that a file imports, inside functions too."""
    module = product[name]
    parts = name.split(".") if module.path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        above = parts[: len(parts) + 1 - node.level] if node.level else []
        base = ".".join((*above, *filter(None, [node.module])))
        for alias in node.names:
            inside = f"{base}.{alias.name}"
            yield inside if inside in product else base


def test_no_circle_of_imports(product: Product) -> None:
    graph = {name: product.keys() & set(needed(name, product)) - {name} for name in product}

    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_each_public_class_has_a_name_of_its_own(product: Product) -> None:
    places = defaultdict(list)
    for name, module in product.items():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = {ast.unparse(base).partition("[")[0] for base in node.bases}
                if "Protocol" not in bases:
                    places[node.name].append(name)

    assert {one: where for one, where in places.items() if len(where) > 1} == {}


def test_no_file_of_the_product_is_above_600_lines(product: Product) -> None:
    lines = {name: len(module.text.splitlines()) for name, module in product.items()}

    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
