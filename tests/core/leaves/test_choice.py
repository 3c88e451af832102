"""Which form of the leaves is used, and that what is chosen is what is used."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from proxy.core import leaves
from proxy.core.leaves import choice
from proxy.core.leaves.choice import ABSENT, EXPECTED, OFF, choose

ROOT = Path(__file__).parents[3]
CRATE = ROOT / "native" / "Cargo.toml"


@pytest.mark.parametrize("found", [None, EXPECTED, "0.0.1"])
def test_the_switch_turns_it_off(found: str | None) -> None:
    assert choose("0", found) == ("python", OFF)


@pytest.mark.parametrize("switch", [None, "", "1"])
def test_only_the_exact_version_is_used(switch: str | None) -> None:
    assert choose(switch, EXPECTED) == ("native", "")
    assert choose(switch, None) == ("python", ABSENT)
    form, reason = choose(switch, EXPECTED + "1")
    assert form == "python"
    assert reason == f"{EXPECTED}1 is installed, and {EXPECTED} is needed"


def test_the_crate_has_the_version_that_is_expected() -> None:
    found = re.search(r'^version = "(.+?)"', CRATE.read_text(), re.MULTILINE)
    assert found is not None
    assert found[1] == EXPECTED


def test_what_cannot_be_imported_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sealyard_native", None)
    assert choice.installed() is None


def test_what_is_installed_has_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("sealyard_native")
    module.__dict__["__version__"] = "7.8.9"
    monkeypatch.setitem(sys.modules, "sealyard_native", module)
    assert choice.installed() == "7.8.9"


@pytest.mark.parametrize("form", ["native", "python"])
def test_each_leaf_comes_from_the_chosen_form(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    functions = [one for one in leaves.__all__ if callable(getattr(leaves, one)) and one != "Form"]
    native = ModuleType("sealyard_native")
    native.__dict__.update((one, object()) for one in functions)
    monkeypatch.setitem(sys.modules, "sealyard_native", native)
    monkeypatch.setattr(choice, "FORM", form)
    spec = importlib.util.find_spec("proxy.core.leaves")
    assert spec is not None
    assert spec.loader is not None
    chosen = importlib.util.module_from_spec(spec)

    spec.loader.exec_module(chosen)

    taken = [getattr(chosen, one) is getattr(native, one) for one in functions]
    assert taken == [form == "native"] * len(functions)
