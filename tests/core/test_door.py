"""The first page of the core names what the outside uses; this holds it to the modules."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import pytest

import proxy.core

PAGE = proxy.core.__doc__ or ""
STEPS = re.findall(r"^    \w+ = .*?(\w+)\(.*?  (\w+(?:\.\w+)?)$", PAGE, re.MULTILINE)


def _module(name: str) -> object:
    return importlib.import_module(f"proxy.core.{name}")


@pytest.mark.parametrize(("name", "module"), STEPS)
def test_each_step_is_in_the_module_beside_it(name: str, module: str) -> None:
    assert hasattr(_module(module), name)


@pytest.mark.parametrize("module", ["transform", "explain.describe", "explain.dry_run"])
def test_each_module_of_the_page_is_there(module: str) -> None:
    assert f"`{module}`" in PAGE
    assert _module(module)


def test_the_errors_are_imported_without_the_rest_of_the_core() -> None:
    code = "import sys, proxy.core.errors; print(*sys.modules)"
    ran = subprocess.run(  # noqa: S603 - the interpreter of these tests
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    core = [name for name in ran.stdout.split() if name.startswith("proxy.core.")]
    assert all(name.startswith("proxy.core.errors") for name in core)
