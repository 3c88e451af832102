"""A chat server for Node that keeps all that it gets in a file, and a sidecar in front of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.servers import free_port

from .compared import NODE, files_of, package_version
from .conftest import Process, running, sidecar


@dataclass
class Scene:
    """The chat server with what it keeps, and the sidecar in front of it."""

    server: Process
    sidecar: Process
    folder: Path

    @property
    def kept(self) -> bytes:
        """What the server keeps."""
        return (self.folder / "kept").read_bytes()

    def written(self) -> dict[str, bytes]:
        """Return all that the server and the sidecar have written."""
        return files_of(self.folder)


@dataclass(frozen=True)
class Chat:
    """A folder with a `server.mjs` and its `client.mjs`, and the example of the repository."""

    place: Path
    example: str

    @property
    def needed(self) -> pytest.MarkDecorator:
        """What skips tests where its packages are not installed."""
        return pytest.mark.skipif(
            shutil.which("node") is None or not (self.place / "node_modules").exists(),
            reason=f"{self.place.name} is not installed: `./dev test tests/acceptance` does it",
        )

    @property
    def client(self) -> list[str]:
        """The command that runs the client, without its arguments."""
        return [NODE, str(self.place / "client.mjs")]

    def version(self, package: str) -> str:
        """Return the version of a package of the folder."""
        return package_version(self.place, package)

    @contextmanager
    def server(self, folder: Path) -> Iterator[Process]:
        """Run the server alone."""
        port = free_port()
        command = [NODE, str(self.place / "server.mjs"), str(port), str(folder / "kept")]
        (folder / "kept").write_bytes(b"")
        with running(command, port, folder / "server.log") as process:
            yield process

    @contextmanager
    def scene(
        self, folder: Path, *, changes: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator[Scene]:
        """Run the server with the sidecar in front of it, with `changes` of the example's text."""
        with (
            self.server(folder) as backend,
            sidecar(folder, self.example, backend.port, changes=changes) as front,
        ):
            yield Scene(backend, front, folder)
