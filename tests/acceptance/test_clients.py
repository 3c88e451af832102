"""Clients of several languages before a FastAPI application: with Sealyard as without it.

Each client prints a line for each answer: the name of the check, status, content type and body. The
checks are the same for all, and so are the texts, as far as a client can write them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from proxy.core.crypto import base64url
from tests.servers import free_port

from .compared import NODE, Backend, files_of, held, keep, package_version
from .conftest import ROOT, running, sidecar
from .records import Record

pytestmark = pytest.mark.acceptance

HERE: Final = Path(__file__).parent / "clients"
NODE_FOLDER: Final = Path(__file__).parent / "clients_node"
PYTHON: Final = ROOT / ".venv-clients" / "bin" / "python"
SYSTEM: Final = Path("/usr/bin/python3")
FASTAPI: Final = Path("/usr/lib/python3/dist-packages/fastapi")
TOKEN: Final = (
    f"e30.{base64url.encode(json.dumps({'sub': 'ada', 'org': 'north'}).encode()).decode()}.c2ln"
)
SECONDS: Final = 300.0
DOWNLOAD: Final = """\
      - name: download
        match: GET /api/v1/enhanced-messages/files/{id}
        response: {decrypt: body, type: ['*/*']}

"""
LIST: Final = "      - name: list, inbox"
CHANGES: Final = {"redis://redis:6379/0": "memory", LIST: DOWNLOAD + LIST}
"""The example has no route where files are read again."""


def here(program: str) -> str:
    """Return where a program is; skip where it is not."""
    place = shutil.which(program)
    if place is None:
        pytest.skip(f"no {program}: ./dev packages installs it")
    return place


def by_python(library: str) -> tuple[list[str], str]:
    """Return the client of a library of Python, and its version."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON.relative_to(ROOT)} is missing: `./dev test` installs it")
    said = f"import {library}; print({library}.__version__)"
    return [
        str(PYTHON),
        str(HERE / "client.py"),
        library,
    ], f"{library} {printed(str(PYTHON), '-c', said)}"


def by_aiohttp(_: Path) -> tuple[list[str], str]:
    """Return the client of aiohttp, which is here for Sealyard itself, and its version."""
    return [sys.executable, "-P", str(HERE / "client_aiohttp.py")], f"aiohttp {aiohttp.__version__}"


def by_node(library: str) -> tuple[list[str], str]:
    """Return the client of a library of Node, and its version."""
    node = here("node")
    if not (NODE_FOLDER / "node_modules").exists():
        pytest.skip("the clients are not installed: `./dev test tests/acceptance` does it")
    found = (
        printed(node, "-p", "process.versions.undici")
        if library == "fetch"
        else package_version(NODE_FOLDER, library)
    )
    name = "undici" if library == "fetch" else library
    return [NODE, str(NODE_FOLDER / "client.mjs"), library], f"{name} {found}"


def by_java(_: Path) -> tuple[list[str], str]:
    """Return the client of Java's library, compiled when it starts."""
    java = here("java")
    said = printed(java, "-XshowSettings:properties", "-version", stream="stderr")
    found = re.search(r"java\.version = (\S+)", said)
    return [java, str(HERE / "Client.java")], f"Java {found[1] if found else '?'}"


def by_dotnet(folder: Path) -> tuple[list[str], str]:
    """Return the client of .NET's library, compiled here."""
    compiler, mono = here("mcs"), here("mono")
    made = folder / "client.exe"
    source = str(HERE / "Client.cs")
    printed(compiler, "-langversion:latest", "-r:System.Net.Http.dll", f"-out:{made}", source)
    found = re.search(r"version (\S+)", printed(mono, "--version"))
    return [mono, str(made)], f"HttpClient of Mono {found[1] if found else '?'}"


def printed(*command: str, stream: str = "stdout") -> str:
    """Return what a command prints."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: str = getattr(done, stream)
    return told.strip()


def environment() -> dict[str, str]:
    """Return the environment of a client: no settings of this process, and none of proxies."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}


CLIENTS: Final[dict[str, Callable[[Path], tuple[list[str], str]]]] = {
    "requests": lambda _: by_python("requests"),
    "httpx": lambda _: by_python("httpx"),
    "aiohttp": by_aiohttp,
    "undici": lambda _: by_node("fetch"),
    "axios": lambda _: by_node("axios"),
    "java": by_java,
    "dotnet": by_dotnet,
}


@contextmanager
def application(folder: Path) -> Iterator[int]:
    """Run the FastAPI application; yield its port."""
    port = free_port()
    command = [str(SYSTEM), "-I", str(HERE / "backend.py"), str(port), str(folder)]
    with running(command, port, folder / "fastapi.log"):
        yield port


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    if not FASTAPI.exists():
        pytest.skip("no python3-fastapi: ./dev packages installs it")
    folder = tmp_path_factory.mktemp("fastapi")
    said = "import fastapi; print(fastapi.__version__)"
    software = f"FastAPI {printed(str(SYSTEM), '-I', '-c', said)}"
    with (
        application(folder) as direct,
        sidecar(folder, "clinic.yaml", direct, changes=CHANGES) as front,
    ):
        yield Backend("fastapi", software, direct, front.port, lambda: files_of(folder))


RECORDS: Final[dict[str, Record]] = {}


def told(command: list[str], port: int, canary: str) -> dict[str, Any]:
    """Return what a client was told at a port, less the numbers that the application gives."""
    output = printed(*command, f"http://127.0.0.1:{port}", canary, TOKEN)
    lines = [line.split("\t") for line in output.splitlines()]
    assert {len(one) for one in lines} == {4}, output
    return {
        name: {"told": [int(status), kind, _shown(name, base64.b64decode(body), canary)]}
        for name, status, kind, body in lines
    }


def _shown(name: str, body: bytes, canary: str) -> Any:  # noqa: ANN401 - JSON
    if name == "download":
        return hashlib.sha256(body.replace(canary.encode(), b"the canary")).hexdigest()
    if name == "events":
        data = (line for line in body.decode().splitlines() if line.startswith("data: "))
        return _own((json.loads(line[6:]) for line in data), canary)
    found = json.loads(body)
    if name == "history":
        return _own(found["messages"], canary)
    return _less_numbers(found)


def _own(messages: Any, canary: str) -> list[str]:  # noqa: ANN401 - JSON
    """Return the texts of this run; those of others are in the application too."""
    texts = (str(one.get("content", one.get("files"))) for one in messages)
    return sorted(re.sub(r"'number': \d+", "", one) for one in texts if canary in one)


def _less_numbers(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {k: _less_numbers(v) for k, v in value.items() if k not in {"id", "number"}}
    return [_less_numbers(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_is_told_the_same_and_the_application_has_no_text(
    backend: Backend, tmp_path: Path, name: str
) -> None:
    command, client = CLIENTS[name](tmp_path)
    canaries = {way: f"canary{secrets.token_hex(8)}" for way in ("through", "direct")}

    through = told(command, backend.through, canaries["through"])
    direct = told(command, backend.direct, canaries["direct"])

    assert len(through) == 25
    assert {one["told"][0] for one in direct.values()} == {200, 201, 422}
    names = f"fastapi, {name}", client
    RECORDS[name] = held(names, through, direct, canaries, backend.kept())


@pytest.fixture(scope="module", autouse=True)
def recorded(backend: Backend) -> Iterator[None]:
    """Write one record of all clients, if all of them ran."""
    yield
    if RECORDS.keys() == CLIENTS.keys():
        every = [RECORDS[one] for one in CLIENTS]
        keep(
            Record(
                backend=backend.name,
                software=f"{backend.software}; {', '.join(one.software for one in every)}",
                checks=sum(one.checks for one in every),
                passed_without=sum(one.passed_without for one in every),
                passed_with=sum(one.passed_with for one in every),
                places=max(one.places for one in every),
                plaintext_without=max(one.plaintext_without for one in every),
                plaintext_with=0,
            )
        )
