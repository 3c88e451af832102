"""A stand-in for `docker`: what the containers of docs/how-to/docker.md run, as processes.

`python -m tests.pages.docker ARGS` takes the options that the page and its Compose file use, and no
others. Volumes become folders of this machine, and names of containers become addresses of it:
both are replaced in command lines and in the configuration. What it starts is listed in the file
that `DOUBLE_STATE` names, for whoever ends it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.servers import free_port, listens

CONFIGURATION: Final = "/etc/sealyard/config/sealyard.yaml"
PYTHON: Final = "/opt/sealyard/bin/python"
BUILT: Final = "sealyard:local"
VALKEY: Final = "docker.io/valkey/valkey"


@dataclass
class State:
    """Ports by name of a container, published ports as they are here, and processes."""

    file: Path
    names: dict[str, int] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    pids: list[int] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls) -> State:
        file = Path(os.environ["DOUBLE_STATE"])
        return cls(file, **(json.loads(file.read_text()) if file.exists() else {}))

    def write(self) -> None:
        parts = {"names": self.names, "published": self.published}
        self.file.write_text(json.dumps({**parts, "pids": self.pids, "kept": self.kept}))


@dataclass(frozen=True)
class Container:
    """What one container runs: its name, command line, volumes and published ports."""

    name: str
    command: tuple[str, ...]
    volumes: Mapping[str, Path]
    ports: Mapping[str, str] = field(default_factory=dict)

    def here(self, text: str, state: State) -> str:
        """Return a text of the container with the paths and addresses of this machine."""
        for inside, outside in sorted(self.volumes.items(), key=lambda one: -len(one[0])):
            text = text.replace(inside, str(outside))
        for name, port in state.names.items():
            text = text.replace(f"//{name}:3000", f"//127.0.0.1:{port}")
            text = text.replace(f"//{name}:6379", f"//127.0.0.1:{port}")
        for served, outer in self.ports.items():
            text = text.replace(f"0.0.0.0:{served}", f"127.0.0.1:{state.published[outer]}")
        return text.replace("0.0.0.0:15021", f"127.0.0.1:{free_port()}")

    def line(self, state: State) -> list[str]:
        """Return the command line that does here what the container does."""
        words = [self.here(one, state) for one in self.command]
        configuration = self._configuration(state)
        if words[0] == PYTHON:
            return [sys.executable, *words[1:]]
        sealyard = [sys.executable, "-P", "-m", "proxy", words[0]]
        return [*sealyard, *configuration, *words[1:]]

    def _configuration(self, state: State) -> list[str]:
        """Return the option for the configuration that the image reads, written anew for here."""
        for inside, outside in self.volumes.items():
            if CONFIGURATION.startswith(inside):
                source = outside if outside.is_file() else outside / "sealyard.yaml"
                made = state.file.with_name(f"{self.name}.yaml")
                made.write_text(self.here(source.read_text(), state))
                return ["--config", str(made)]
        return []


def volumes(given: Sequence[str], folder: Path) -> dict[str, Path]:
    """Return the folders of this machine by their paths in a container."""
    found = {}
    for one in given:
        outside, inside, *options = one.split(":")
        assert options in ([], ["ro"]), one
        found[inside] = (folder / outside).resolve()
        assert found[inside].exists(), one
    return found


def ports(given: Sequence[str], state: State) -> dict[str, str]:
    """Return the published ports by those of the container; take free ones here."""
    found = {}
    for one in given:
        address, outside, inside = one.split(":")
        assert address == "127.0.0.1", f"{one} is published to everybody"
        state.published.setdefault(outside, free_port())
        found[inside] = outside
    return found


def run(container: Container, state: State, *, wait: bool) -> int:
    """Run what a container runs; return its exit status, or 0 once it has been started."""
    line = container.line(state)
    if wait:
        return subprocess.run(line, check=False).returncode  # noqa: S603 - Sealyard itself
    with state.file.with_name(f"{container.name}.log").open("wb") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - as above
    state.pids.append(process.pid)
    return 0


def run_one(words: Sequence[str], state: State) -> int:
    """Do `docker run`."""
    options = argparse.ArgumentParser("docker run")
    for switch in ("--rm", "--detach", "--read-only"):
        options.add_argument(switch, action="store_true")
    for name in ("--network", "--user", "--cap-drop", "--security-opt", "--memory"):
        options.add_argument(name)
    for name in ("--stop-timeout", "--restart", "--name"):
        options.add_argument(name)
    options.add_argument("--volume", action="append", default=[])
    options.add_argument("--publish", action="append", default=[])
    options.add_argument("image")
    options.add_argument("command", nargs=argparse.REMAINDER)
    told = options.parse_args(words)
    assert (told.image, told.user, told.cap_drop) == (BUILT, "65532:65532", "ALL")
    assert told.read_only
    command = tuple(told.command) or ("serve",)
    made = volumes(told.volume, Path.cwd())
    container = Container(told.name or command[0], command, made, ports(told.publish, state))
    return run(container, state, wait=not told.detach)


def compose(words: Sequence[str], state: State) -> int:
    """Do `docker compose` with the file of this folder."""
    services: dict[str, Any] = yaml.safe_load(Path("compose.yaml").read_text())["services"]
    match words:
        case ["config", "--quiet"]:
            return checked(words)
        case ["run", "--rm", name]:
            return run(service(name, services[name], state), state, wait=True)
        case ["up", "--detach"]:
            return up(services, state)
        case ["exec", name, "cat", path]:
            sys.stdout.write(Path(state.kept[f"{name} {path}"]).read_text())
            return 0
    raise AssertionError(words)


def checked(words: Sequence[str]) -> int:
    """Let Debian's docker-compose read the file, where it is."""
    program = shutil.which("docker-compose")
    if program is None:
        return 0
    return subprocess.run([program, *words], check=False).returncode  # noqa: S603 - as said


def up(services: Mapping[str, Any], state: State) -> int:
    """Start the backend, the store and the sidecars."""
    for name, told in services.items():
        if told["image"].startswith(VALKEY):
            state.names[name] = free_port()
            start_valkey(told["command"], state.names[name], state)
    state.names["backend"] = free_port()
    kept = state.file.with_name("kept")
    backend = services["backend"]
    port, inside = backend["command"]
    state.kept[f"backend {inside}"] = str(kept)
    words = (*backend["entrypoint"], str(state.names["backend"]), str(kept), "127.0.0.1")
    assert port == "3000"
    run(Container("backend", words, volumes(backend["volumes"], Path.cwd())), state, wait=False)
    for name, told in services.items():
        if "sealyard" in told["image"] and "ports" in told:
            run(service(name, told, state), state, wait=False)
    return await_ports(state)


def service(name: str, told: Mapping[str, Any], state: State) -> Container:
    """Return the container of a service that runs Sealyard."""
    made = volumes(told["volumes"], Path.cwd())
    return Container(name, tuple(told["command"]), made, ports(told.get("ports", ()), state))


def start_valkey(command: Sequence[str], port: int, state: State) -> None:
    """Start Redis with the options that Valkey gets: they speak the same protocol."""
    program = shutil.which("redis-server")
    assert program is not None
    assert command[0] == "valkey-server"
    line = [program, "--bind", "127.0.0.1", "--port", str(port), *command[1:]]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - the server of this machine
    state.pids.append(process.pid)


def await_ports(state: State) -> int:
    """Wait until all that was started accepts."""
    deadline = time.monotonic() + 30
    for port in (*state.names.values(), *state.published.values()):
        while not listens(port):
            if time.monotonic() > deadline:
                return 1
            time.sleep(0.1)
    return 0


def main(words: Sequence[str]) -> int:
    """Do a command of `docker`; return its exit status."""
    state = State.read()
    match words:
        case ["build", *_, folder]:
            assert (Path(folder) / "Dockerfile").is_file()
            status = 0
        case ["run", *rest]:
            status = run_one(rest, state)
        case ["compose", *rest]:
            status = compose(rest, state)
        case _:
            raise AssertionError(words)
    state.write()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
