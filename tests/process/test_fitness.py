from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from proxy.core.errors import UnfitEnvironment
from proxy.process import fitness
from proxy.process.fitness import FLOORS, Environment

ROOT = Path(__file__).parent.parent.parent
FIT = Environment(versions=dict(FLOORS), c_parser=True, optimized=False)


def test_this_environment_is_fit() -> None:
    fitness.require()


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        (replace(FIT, c_parser=False), "C parser"),
        (replace(FIT, versions={"aiohttp": "3.14.4", "cryptography": "50.0.2"}), "aiohttp"),
        (replace(FIT, versions={"aiohttp": "3.14.5", "cryptography": "49.0"}), "cryptography"),
    ],
)
def test_an_unfit_environment_is_refused_with_its_reason(
    environment: Environment, word: str
) -> None:
    with pytest.raises(UnfitEnvironment) as caught:
        fitness.require(environment)

    assert word in caught.value.detail


def test_all_problems_are_told_at_once() -> None:
    assert (
        len(fitness.problems(replace(FIT, versions=dict.fromkeys(FLOORS, "1"), c_parser=False)))
        == 3
    )


def test_newer_versions_are_fit() -> None:
    newer = replace(FIT, versions={"aiohttp": "3.15.0", "cryptography": "51.0.0.post1"})

    assert fitness.problems(newer) == ()


def test_python_without_asserts_is_worth_a_note_only() -> None:
    stripped = replace(FIT, optimized=True)

    assert fitness.problems(stripped) == ()
    assert len(fitness.notes(stripped)) == 1
    assert fitness.notes(FIT) == ()


def test_the_floors_are_those_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = dict(line.split(">=") for line in project["dependencies"] if ">=" in line)

    assert {name: wanted[name] for name in FLOORS} == FLOORS


def test_aiohttp_without_its_c_parser_is_seen() -> None:
    script = "from proxy.process import fitness; print(fitness.look().c_parser)"
    done = subprocess.run(  # noqa: S603 - this interpreter, and a script that stands above
        [sys.executable, "-c", script],
        env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == "False\n"


def test_the_versions_are_those_of_the_distributions() -> None:
    assert fitness.look().versions == {name: metadata.version(name) for name in FLOORS}
