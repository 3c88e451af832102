"""The distributions, installed in a clean environment, as a user has them.

What they depend on is in an environment of its own, as the lock pins it: nothing is fetched here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from proxy import __version__

ROOT = Path(__file__).parent.parent.parent
HATCHLING = ROOT / ".venv-build" / "bin" / "hatchling"
RUNTIME = ROOT / ".venv-runtime"

pytestmark = pytest.mark.skipif(
    not HATCHLING.exists() or not (RUNTIME / ".lock").exists(),
    reason="no build backend: `./dev test tests/release` installs it",
)


def run(*command: str | Path, folder: Path) -> str:
    """Return what a program prints; it must end well."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["SOURCE_DATE_EPOCH"] = "1700000000"
    done = subprocess.run(  # noqa: S603 - programs of this repository's environments
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist and the wheel; return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    run(HATCHLING, "build", "--directory", folder, folder=ROOT)
    return folder


def installed(distribution: Path, folder: Path) -> Path:
    """Install a distribution into a new environment; return the environment."""
    environment = folder / "environment"
    run(sys.executable, "-m", "venv", environment, folder=folder)
    python = environment / "bin" / "python"
    site = Path(
        run(
            python, "-c", "import sysconfig as s; print(s.get_path('purelib'))", folder=folder
        ).strip()
    )
    runtime = run(
        RUNTIME / "bin" / "python",
        "-c",
        "import sysconfig as s; print(s.get_path('purelib'))",
        folder=folder,
    )
    (site / "dependencies.pth").write_text(runtime)
    options = ("--no-index", "--no-deps", "--quiet", "--disable-pip-version-check")
    run(python, "-m", "pip", "install", *options, distribution, folder=folder)
    return environment


def works(environment: Path, folder: Path) -> None:
    """Hold that an installed Sealyard is complete: commands, data and manual pages."""
    sealyard = environment / "bin" / "sealyard"
    home = folder / "home"

    assert __version__ in run(sealyard, "--version", folder=folder)
    where = run(
        environment / "bin" / "python", "-c", "import proxy; print(proxy.__file__)", folder=folder
    )
    assert where.startswith(str(environment))
    run(sealyard, "init", home, folder=folder)
    configuration = home / "sealyard.yaml"
    run(sealyard, "validate", "--config", configuration, folder=folder)
    told = run(
        *(sealyard, "explain", "POST", "/api/messages", "--config", configuration),
        *("-d", '{"conversationId": "c1", "content": "CANARY-install"}'),
        folder=folder,
    )
    assert "sealed" in told
    assert "CANARY" not in told
    assert (environment / "share" / "man" / "man1" / "sealyard-contract.1").is_file()
    assert "_sealyard" in run(sealyard, "show", "completion", "bash", folder=folder)


def test_the_wheel_works_in_a_clean_environment(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")

    works(installed(wheel, tmp_path), tmp_path)


def test_the_sdist_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    run(HATCHLING, "build", "--target", "wheel", "--directory", tmp_path / "made", folder=source)
    (made,) = (tmp_path / "made").glob("*.whl")

    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(made) as other:
        first, second = ({each.filename: each.CRC for each in x.infolist()} for x in (one, other))
    assert first == second
    works(installed(made, tmp_path), tmp_path)
