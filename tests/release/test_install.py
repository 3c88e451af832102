"""The distributions, installed in a clean environment, as a user has them.

What they depend on is in an environment of its own, as the lock pins it: nothing is fetched here.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proxy import __version__
from proxy.core.leaves.choice import EXPECTED
from tests.servers import await_log, child, free_port, serving
from tools.release import __main__ as release

ROOT = Path(__file__).parent.parent.parent
HATCHLING = ROOT / ".venv-build" / "bin" / "hatchling"
RUNTIME = ROOT / ".venv-runtime"

FOREIGN = "raise RuntimeError('a foreign package was imported')\n"
CANARY = "CANARY-install"

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


def packed(folder: Path) -> None:
    """Pack the native module of this machine as `./dev release` has it from maturin."""
    (module,) = Path(sysconfig.get_path("purelib")).glob("sealyard_native*.so")
    name = f"sealyard_native-{EXPECTED}"
    tag = f"cp311-abi3-manylinux_2_34_{platform.machine()}"
    with zipfile.ZipFile(folder / f"{name}-{tag}.whl", "w") as wheel:
        wheel.write(module, module.name)
        for file, text in (
            ("METADATA", f"Metadata-Version: 2.1\nName: sealyard-native\nVersion: {EXPECTED}\n"),
            ("WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n"),
            ("RECORD", f"{module.name},,\n"),
        ):
            wheel.writestr(f"{name}.dist-info/{file}", text)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist and wheel as `./dev release` does, beside a native wheel; return their folder."""
    folder, source = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("source")
    packed(folder)
    release.source(source, folder)
    run(HATCHLING, "build", "--directory", folder, folder=source)
    return folder


def installed(distribution: Path, folder: Path, places: Path) -> Path:
    """Install a distribution into a new environment, without an index; return the environment."""
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
    # What many distributions have: a package of that name, which must not be taken for ours.
    (site / "proxy").mkdir()
    (site / "proxy" / "__init__.py").write_text(FOREIGN)
    options = ("--no-index", "--find-links", places, "--quiet", "--disable-pip-version-check")
    run(python, "-m", "pip", "install", *options, distribution, folder=folder)
    return environment


def works(environment: Path, folder: Path) -> None:
    """Hold that an installed Sealyard is complete, beside a foreign package named `proxy`.

    Its commands, its data, its manual pages, the demo, and messages that it seals and opens.
    """
    sealyard, python = environment / "bin" / "sealyard", environment / "bin" / "python"
    home = folder / "home"

    assert __version__ in run(sealyard, "--version", folder=folder)
    assert __version__ in run(python, "-P", "-m", "sealyard", "--version", folder=folder)
    where = run(python, "-c", "import sealyard; print(sealyard.__file__)", folder=folder)
    assert where.startswith(str(environment))
    (foreign,) = (folder / "environment").glob("lib/python*/site-packages/proxy/__init__.py")
    assert foreign.read_text() == FOREIGN
    assert list(foreign.parent.glob("*.py")) == [foreign]
    assert (
        json.loads(run(sealyard, "show", "version", "--json", folder=folder))["sealyard-native"]
        == EXPECTED
    )
    run(sealyard, "init", home, folder=folder)
    configuration = home / "sealyard.yaml"
    run(sealyard, "validate", "--config", configuration, folder=folder)
    told = run(
        *(sealyard, "explain", "POST", "/api/messages", "--config", configuration),
        *("-d", f'{{"conversationId": "c1", "content": "{CANARY}"}}'),
        folder=folder,
    )
    assert "sealed" in told
    assert CANARY not in told
    assert (environment / "share" / "man" / "man1" / "sealyard-contract.1").is_file()
    assert "_sealyard" in run(sealyard, "show", "completion", "bash", folder=folder)
    run(sealyard, "demo", "--check", folder=folder)
    for options in ((), ("--workers", "2")):  # workers are further processes of the package
        asyncio.run(serves(sealyard, home, options))


async def serves(sealyard: Path, home: Path, options: Sequence[str]) -> None:
    """Hold that `serve` seals and opens with the file that `init` wrote."""
    stored: list[bytes] = []

    async def backend(request: web.Request) -> web.Response:
        if request.method == "POST":
            stored.append(await request.read())
        return web.Response(body=stored[-1], content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", backend)
    port, admin, log = free_port(), free_port(), home / "sealyard.log"
    message = {"conversationId": "c1", "content": CANARY}
    async with serving(app) as upstream:
        text = (home / "sealyard.yaml").read_text()
        for asked, used in (("8080", port), ("9901", admin), ("3000", upstream)):
            text = text.replace(f"127.0.0.1:{asked}", f"127.0.0.1:{used}")
        (home / "served.yaml").write_text(text)
        command = (str(sealyard), "serve", "--config", str(home / "served.yaml"), *options)
        with child(command, log, cwd=home) as process:
            await asyncio.to_thread(await_log, process, log, '"server.ready"')
            url = f"http://127.0.0.1:{port}/api"
            async with aiohttp.ClientSession() as client:
                async with client.post(f"{url}/messages", json=message) as answer:
                    assert answer.status == 200, log.read_text()
                async with client.get(f"{url}/conversations/c1/messages") as answer:
                    assert await answer.json() == message
        assert process.returncode == 0, log.read_text()
    assert b"conversationId" in stored[0]
    assert not [one for one in (*stored, *written(home)) if CANARY.encode() in one]


def written(folder: Path) -> Iterator[bytes]:
    """Yield the content of every file in a folder."""
    return (one.read_bytes() for one in folder.rglob("*") if one.is_file())


def test_the_wheel_works_in_a_clean_environment(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*-any.whl")

    works(installed(wheel, tmp_path, built), tmp_path)


def test_the_sdist_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (wheel,), (sdist,) = built.glob("*-any.whl"), built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    run(HATCHLING, "build", "--target", "wheel", "--directory", tmp_path / "made", folder=source)
    (made,) = (tmp_path / "made").glob("*.whl")

    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(made) as other:
        first, second = ({each.filename: each.CRC for each in x.infolist()} for x in (one, other))
    assert first == second
    assert {name.partition("/")[0] for name in first if name.endswith(".py")} == {"sealyard"}
    works(installed(made, tmp_path, built), tmp_path)
