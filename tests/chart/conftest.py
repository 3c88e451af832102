"""The tools that know Kubernetes, and what the chart renders with them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from proxy.injector.pod_reader import Json

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "helm" / "sealyard"
TOOLS = ROOT / ".venv-k8s" / "bin"
CASES = sorted((CHART / "ci").glob("*.yaml"))
HELMS = ("helm3", "helm4")
VERSIONS = tuple(f"1.{minor}" for minor in range(29, 38))
"""Of Kubernetes: those whose schemas everything is held against."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a tool ended."""

    code: int
    said: str
    complained: str


Tool = Callable[..., Done]


@pytest.fixture(scope="session")
def tool() -> Tool:
    """Run a tool of `.venv-k8s` by its name."""
    if not TOOLS.exists() and not os.environ.get("REQUIRE_RUNTIME"):
        pytest.skip("`./dev test tests/chart` installs the tools")

    def run(name: str, *arguments: str | Path, given: str | None = None) -> Done:
        environ = {
            **os.environ,
            "HELM_CACHE_HOME": "/nonexistent",
            "PATH": f"{TOOLS}:/usr/bin:/bin",
        }
        done = subprocess.run(
            [str(TOOLS / name), *map(str, arguments)],
            capture_output=True,
            text=True,
            input=given,
            timeout=600,  # a linter takes a minute alone, and minutes where much else runs
            check=False,
            env=environ,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of one rendering."""

    text: str

    def objects(self) -> list[Json]:
        """Return all objects."""
        return [one for one in yaml.safe_load_all(self.text) if one]

    def one(self, kind: str, ending: str = "") -> Json:
        """Return the one object of a kind that the release keeps, and whose name ends so."""
        [found] = [
            each
            for each in self.kept()
            if each["kind"] == kind and each["metadata"]["name"].endswith(ending)
        ]
        return found

    def kept(self) -> list[Json]:
        """Return all objects but those that are there only while the release goes."""
        hook = {"helm.sh/hook": "pre-delete"}.items()
        return [
            one
            for one in self.objects()
            if not hook <= (one["metadata"].get("annotations") or {}).items()
        ]


Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def render(tool: Tool) -> Render:
    """Render the chart."""

    def rendered(case: Path, *arguments: str, helm: str = "helm4") -> Rendered:
        name, namespace = "seal", "sealyard"
        done = tool(helm, "template", name, CHART, "-n", namespace, "-f", case, *arguments)
        assert done.code == 0, done.complained
        return Rendered(done.said)

    return rendered
