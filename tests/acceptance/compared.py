"""The same client before a backend, with Sealyard between them and without it.

A client is a program that prints as JSON what it was told. Those of `backends_node` carry out named
checks.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.demo.screen import search

from .records import ROOT, Record

NODE_FOLDER: Final = Path(__file__).parent / "backends_node"
NODE: Final = shutil.which("node") or "node"
_SECONDS: Final = 120.0

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE_FOLDER / "node_modules").exists(),
    reason="the clients are not installed: `./dev test tests/acceptance` does it",
)


def printed(command: Sequence[str], *arguments: str, folder: Path | None = None) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON that a client prints, which is run in a folder."""
    ended = subprocess.run(
        [*command, *arguments], capture_output=True, timeout=_SECONDS, check=False, cwd=folder
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout)


def told(script: str, port: int, canary: str) -> dict[str, Any]:
    """Return what each check of a client of `backends_node` was told by the server at a port."""
    command = [NODE, str(NODE_FOLDER / script)]
    answer: dict[str, Any] = printed(command, f"http://127.0.0.1:{port}", canary)
    return answer


@dataclass(frozen=True)
class Backend:
    """A backend that is running, with its version and that of its client.

    `direct` and `through` are the ports of it and of the Sealyard in front of it.
    """

    name: str
    software: str
    direct: int
    through: int
    kept: Callable[[], Mapping[str, bytes]]
    """All that the backend stores and logs, and all that Sealyard logs, by the place."""


def compared(
    backend: Backend, script: str, *, other: Sequence[str] | Mapping[str, object] = ()
) -> Record:
    """Run a client with Sealyard and without it, hold one against the other, and search.

    Return the record of it. `other` are checks whose results differ, which the page of it tells,
    and may say what each of them is told.
    """
    canaries = {way: f"canary{secrets.token_hex(8)}" for way in ("through", "direct")}
    through = told(script, backend.through, canaries["through"])
    assert search(canaries["through"], backend.kept()) == []
    direct = told(script, backend.direct, canaries["direct"])
    names = backend.name, backend.software
    return held(names, through, direct, canaries, backend.kept(), other=other)


def held(
    names: tuple[str, str],
    through: Mapping[str, Any],
    direct: Mapping[str, Any],
    canaries: Mapping[str, str],
    kept: Mapping[str, bytes],
    *,
    other: Sequence[str] | Mapping[str, object] = (),
) -> Record:
    """Hold what a client was told through Sealyard against what it was told without it.

    `names` are those of the backend and of its software. The texts of each run have a canary of
    their own. Return the record: nothing of the first is in
    what is `kept`, and the same search finds the second, so that it can fail.
    """
    without = json.loads(json.dumps(direct).replace(canaries["direct"], canaries["through"]))
    assert not [one for one, result in direct.items() if "failed" in result], direct
    differ = {
        one: (through.get(one), without[one])
        for one in without
        if one not in other and through.get(one) != without[one]
    }
    assert not differ, json.dumps(differ, indent=1)
    if isinstance(other, Mapping):
        assert {one: through[one] for one in other} == {
            one: {"told": result} for one, result in other.items()
        }
    assert search(canaries["through"], kept) == []
    found = {place for place, _ in search(canaries["direct"], kept)}
    assert found
    return Record(
        backend=names[0],
        software=names[1],
        checks=len(direct),
        passed_without=sum("told" in one for one in direct.values()),
        passed_with=sum(through[one] == without[one] for one in without),
        places=len(kept),
        plaintext_without=len(found),
        plaintext_with=0,
    )


def keep(record: Record) -> None:
    """Write a record, if `./dev acceptance --record` runs the tests."""
    if os.environ.get("SEALYARD_RECORD") == "1":
        record.write()


def package_version(folder: Path, package: str) -> str:
    """Return the version of a package of npm in a folder."""
    text = (folder / "node_modules" / package / "package.json").read_text("utf-8")
    return str(json.loads(text)["version"])


def version(package: str) -> str:
    """Return the version of a package of `backends_node`."""
    return package_version(NODE_FOLDER, package)


def python_version(environment: str, package: str) -> str:
    """Return the version of a package of Python in an environment beside `.venv`."""
    folders = (ROOT / environment).glob(f"lib/python*/site-packages/{package}-*.dist-info")
    return next(folders).name.removeprefix(f"{package}-").removesuffix(".dist-info")


def files_of(*folders: Path, without: Sequence[str] = ()) -> dict[str, bytes]:
    """Return all files below some folders, by their path."""
    return {
        str(one.relative_to(folder.parent)): one.read_bytes()
        for folder in folders
        for one in sorted(folder.rglob("*"))
        if one.is_file() and one.name not in without
    }
