"""What Sealyard stands on: floors, locks and the list of all that is in the image agree."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from proxy.core.leaves.choice import EXPECTED

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_PIN = re.compile(
    r"^([A-Za-z0-9._-]+(?:\[[a-z]+\])?)==([^ ;\\]+)([^\n]*(?:\n    --hash=[^\n]*)*)", re.MULTILINE
)


def tracked(pattern: str) -> list[str]:
    told = subprocess.run(  # noqa: S603 - git, on this repository
        ["git", "ls-files", pattern],  # noqa: S607 - as above
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.split()


def pins(file: str) -> dict[str, tuple[Version, int]]:
    """Return each package of a lock with its version and the number of its hashes."""
    text = (ROOT / file).read_text()
    return {
        canonicalize_name(name.partition("[")[0]): (Version(version), rest.count("--hash=sha256:"))
        for name, version, rest in _PIN.findall(text)
    }


def floors() -> list[Requirement]:
    optional = [one for some in PROJECT["optional-dependencies"].values() for one in some]
    return [Requirement(one) for one in (*PROJECT["dependencies"], *optional)]


@pytest.mark.parametrize("requirement", floors(), ids=str)
def test_each_dependency_has_a_floor_that_the_locks_keep(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    assert [one.operator for one in requirement.specifier] == [">="]
    locked = [pins(file)[name][0] for file in ("requirements.lock", "requirements-dev.lock")
              if name in pins(file)]  # fmt: skip
    assert locked
    assert all(requirement.specifier.contains(version) for version in locked)


def test_the_native_leaves_are_those_of_this_version() -> None:
    crate = tomllib.loads((ROOT / "native" / "Cargo.toml").read_text())
    native = tomllib.loads((ROOT / "native" / "pyproject.toml").read_text())["project"]

    assert crate["package"]["name"] == native["name"] == "sealyard-native"
    assert crate["package"]["version"] == EXPECTED
    assert "version" in native["dynamic"]


def test_each_crate_has_the_exact_version_that_debian_has() -> None:
    crate = tomllib.loads((ROOT / "native" / "Cargo.toml").read_text())
    pinned = {name: one["version"].lstrip("=") for name, one in crate["dependencies"].items()}
    packages = (ROOT / ".ci" / "packages").read_text()
    told = re.findall(r"^librust-(\w+)-dev \S+/\1-([\d.]+) ", packages, re.MULTILINE)

    assert all(one["version"].startswith("=") for one in crate["dependencies"].values())
    assert dict(told) == pinned


def test_the_tests_run_on_what_is_shipped() -> None:
    runtime, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    assert len(runtime) > 15
    assert {name: dev.get(name) for name in runtime} == runtime


def test_every_locked_file_has_a_hash_and_no_address() -> None:
    locks = tracked("*.lock")
    if not locks:
        pytest.skip("this is no checkout")
    for lock in locks:
        text = (ROOT / lock).read_text()
        named = re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)
        assert len(_PIN.findall(text)) == len(named), lock
        assert all(hashes for _, hashes in pins(lock).values()), lock
        assert "://" not in text, lock


def test_an_extra_that_a_package_asks_for_stands_in_its_pin() -> None:
    # Without it, pip 23.2 takes the newest release for the extra, which has no hash here.
    text = (ROOT / "requirements-dev.lock").read_text()
    asked = [
        requirement
        for one in distributions()
        if canonicalize_name(one.name) in pins("requirements-dev.lock")
        for requirement in map(Requirement, one.requires or ())
        if requirement.extras and (requirement.marker is None or requirement.marker.evaluate())
    ]

    assert any(one.name == "coverage" for one in asked)
    for one in asked:
        assert re.search(rf"^{one.name}\[{','.join(sorted(one.extras))}\]==", text, re.MULTILINE)


def bill() -> Any:  # noqa: ANN401 - a script without a package
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "tools" / "docker" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bill_of_materials_names_what_is_locked() -> None:
    document = bill().document("application", "1.2.3")
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["version"] == "1.2.3"
    told = {one["name"]: Version(one["version"]) for one in bill().python_packages()}
    locked = {name: version for name, (version, _) in pins("requirements.lock").items()}
    here = locked.keys() & told.keys()
    # Some stand in the lock for other Pythons or platforms alone.
    assert len(here) > len(locked) - 5
    assert {name: told[name] for name in here} == {name: locked[name] for name in here}
    assert all(one["purl"].startswith("pkg:") for one in document["components"])
