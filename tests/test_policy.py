"""Numbers that decide how a package behaves, and that nobody can set, stand in its `policy.py`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PROXY: Final = ROOT / "proxy"
PACKAGES: Final = sorted(one.parent for one in PROXY.glob("*/policy.py"))
MODULES: Final = sorted(module for package in PACKAGES for module in package.rglob("*.py"))
_DECLARATIONS: Final = (
    "config/settings/",
    "config/limits.py",
    "config/declared/kinds.py",
    "migration/job/model.py",
)
"""Numbers that can be set, their bounds and units."""
_CHOSEN: Final = re.compile(
    "AGAIN|ATTEMPTS|BACKLOG|GRACE|HELD|INTERVAL|KEPT|KNOWN|LEAST|LONGEST|M[AI]X|MIN|MOST|MS|PATIENCE"
    "|PAUSE|PERIOD|RETRIES|ROUNDS|SECONDS|SHORTEST|SHOWN|TIMEOUT|TRIES"
)
"""What the name of a number has that somebody chose: how long, how often, how many at most."""
_OF_OTHERS: Final = {"TRY_AGAIN_LATER", "_M_ARENA_MAX"}
"""Names that somebody else gave: IANA (RFC 6455), glibc."""
_WAITS: Final = {"call_later", "settimeout", "sleep", "timeout", "wait_for"}
_LIGHT: Final = {"__future__", "datetime", "enum", "signal", "typing"}

in_every_module = pytest.mark.parametrize(
    "module", MODULES, ids=lambda path: str(path.relative_to(PROXY))
)
in_every_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)


def constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names and values of the constants of a module."""
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name):
            assert node.value is not None
            yield target.id, node.value


def literal(node: ast.expr) -> int | float | None:
    """Return the number that an expression of literals alone has, the first of a tuple."""
    if isinstance(node, ast.Tuple) and node.elts:
        return literal(node.elts[0])
    kinds = (ast.BinOp, ast.UnaryOp, ast.Constant, ast.operator, ast.unaryop)
    if not all(isinstance(one, kinds) for one in ast.walk(node)):
        return None
    found = eval(ast.unparse(node), {})  # noqa: S307 - an expression of literals, of our own code
    return found if type(found) in {int, float} else None


def chosen(name: str, value: ast.expr) -> bool:
    """Whether somebody chose the number: a time, a share, KiB or MiB, or what its name says."""
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "timedelta":
        return True
    number = literal(value)
    if number is None or name in _OF_OTHERS:
        return False
    sized = isinstance(value, ast.BinOp) and number % 1024 == 0 and number < 1 << 32
    named = any(map(_CHOSEN.fullmatch, name.strip("_").split("_")))
    return isinstance(number, float) or sized or named


def waits(tree: ast.Module) -> Iterator[int]:
    """Yield the lines on which something waits for a number that has no name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in _WAITS and literal(node.args[0]):
                yield node.lineno


@cache
def tree_of(module: Path) -> ast.Module:
    """Return what a module says."""
    return ast.parse(module.read_text("utf-8"))


@cache
def taken() -> frozenset[str]:
    """Return the names that modules take from a policy."""
    found: set[str] = set()
    naming = (one for one in PROXY.rglob("*.py") if "policy" in one.read_text("utf-8"))
    for node in (one for module in naming for one in ast.walk(tree_of(module))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("policy"):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "policy":
            found.add(node.attr)
    return frozenset(found)


@in_every_module
def test_what_is_chosen_and_not_set_stands_in_the_policy(module: Path) -> None:
    at = str(module.relative_to(PROXY))
    tree = tree_of(module)
    if module.name != "policy.py" and not at.startswith(_DECLARATIONS):
        assert not [name for name, value in constants(tree) if chosen(name, value)]
    text = module.read_text("utf-8")  # walking a tree takes a hundred times as long
    assert not any(f"{one}(" in text for one in _WAITS) or not list(waits(tree))


@in_every_package
def test_a_policy_is_light_and_each_of_its_numbers_in_use(package: Path) -> None:
    tree = tree_of(package / "policy.py")
    loaded = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    loaded |= {
        one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names
    }
    assert loaded <= _LIGHT
    used = taken()
    used |= {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert [name for name, _ in constants(tree) if name not in used] == []


def test_the_policy_of_the_running_process_names_every_check_of_readiness() -> None:
    checks = {
        node.args[0].value
        for module in (PROXY / "wiring").rglob("*.py")
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Check"
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }
    told = ast.get_docstring(tree_of(PROXY / "wiring" / "policy.py")) or ""
    assert [one for one in sorted(checks) if f"`{one}`" not in told] == []
