"""The configuration is read in another process, and says there what it says here."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from proxy.config.load import load
from proxy.core.errors import ConfigurationError, InternalError
from proxy.process import child_process
from proxy.wiring.ipc.channel import connect
from proxy.wiring.policy import HANDED_BYTES, SECRET_BYTES
from proxy.wiring.reload import config_files, reading
from proxy.wiring.reload.config_files import Source
from tests.scenarios.rig import a_configuration
from tests.wiring.sources import given

TEXT: Final = a_configuration(3000)
WRONG: Final = "version: 1\nlisteners: {sk-live-4711: 1}\nkeys: 5\n"
_ALONE: Final = """
import json, os, sys, threading
from pathlib import Path
from proxy.core.errors import ConfigurationError
from proxy.wiring.reload import config_files
assert threading.active_count() == 1
try:
    source = config_files.read(Path(sys.argv[1]), os.environ)
    told = [source.sha256, len(source.loaded.settings.listeners)]
except ConfigurationError as error:
    told = [error.problems, error.closed]
read = {"yaml", "proxy.config.load", "proxy.config.rules.resolve"} & sys.modules.keys()
print(json.dumps([told, sorted(read)]))
"""


def alone(file: Path) -> list[object]:
    """Return what a process of one thread reads, and which readers it has loaded then."""
    command = (sys.executable, "-P", "-c", _ALONE, str(file))
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)  # noqa: S603 - our own
    told: list[object] = json.loads(done.stdout)
    return told


async def test_a_reload_reads_what_is_read_here(tmp_path: Path) -> None:
    file = tmp_path / "sealyard.yaml"
    file.write_text(TEXT.replace("http://127.0.0.1:3000", "${env:BACKEND}"))
    environ = {**os.environ, "BACKEND": "http://127.0.0.1:3001"}
    source = await asyncio.to_thread(config_files.read, file, environ)
    expected = load(file, environ)
    assert source.text == file.read_text()
    assert source.loaded.file == file
    assert source.loaded.settings.keys == expected.settings.keys
    assert source.loaded.settings.listeners[0].upstream == expected.settings.listeners[0].upstream
    assert source.loaded.warnings == expected.warnings


async def test_all_mistakes_are_told_and_secrets_stay_hidden(tmp_path: Path) -> None:
    file = tmp_path / "sealyard.yaml"
    file.write_text(WRONG)
    with pytest.raises(ConfigurationError) as here:
        load(file, {})
    with pytest.raises(ConfigurationError) as there:
        await asyncio.to_thread(reading.read, file, os.environ)
    assert there.value.problems == here.value.problems
    assert there.value.closed == here.value.closed
    assert "sk-live-4711" not in "".join(there.value.closed)
    assert alone(file) == [[list(here.value.problems), list(here.value.closed)], []]


def test_a_start_loads_no_reader(tmp_path: Path) -> None:
    file = tmp_path / "sealyard.yaml"
    file.write_text(TEXT)
    assert alone(file) == [[given(TEXT).sha256, 1], []]


def test_a_start_reads_where_ended_children_are_not_waited_for(tmp_path: Path) -> None:
    """A parent may have us start with SIGCHLD ignored."""
    file = tmp_path / "sealyard.yaml"
    file.write_text(TEXT)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own
            (sys.executable, "-P", "-c", _ALONE, str(file)), stdout=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGCHLD, before)
    told, _ = process.communicate(timeout=60)
    assert json.loads(told) == [[given(TEXT).sha256, 1], []]


BROKEN: Final = base64.b64encode(reading.packed(["x" * 99])[:-9]).decode()
OTHER: Final = base64.b64encode(b"0.9.9\n" + pickle.dumps(["x"])).decode()


def test_what_other_code_has_packed_is_not_taken() -> None:
    with pytest.raises(InternalError, match="other-version") as caught:
        config_files.Source.handed_over(OTHER)
    assert "start `serve` again" in caught.value.detail


def test_what_does_not_fit_our_classes_is_not_taken() -> None:
    packed = reading.packed(given(TEXT)).replace(b"config_files", b"config_filez")
    with pytest.raises(InternalError, match="configuration-not-read"):
        reading.unpacked(packed)


@pytest.mark.parametrize("said", ["", "{}", "[]", '{"made": ""}', f'{{"made": "{BROKEN}"}}'])
async def test_a_process_that_does_not_answer_is_no_mistake_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(
        child_process, "command", lambda _: (sys.executable, "-c", f"print({said!r})")
    )
    with pytest.raises(InternalError, match="configuration-not-read") as caught:
        await asyncio.to_thread(reading.read, tmp_path / "sealyard.yaml", os.environ)
    assert caught.value.detail


async def test_a_process_that_cannot_be_started_is_told_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "command", lambda _: (str(tmp_path / "no-python"),))
    with pytest.raises(InternalError, match="configuration-not-read") as caught:
        await asyncio.to_thread(reading.read, tmp_path / "sealyard.yaml", os.environ)
    assert caught.value.detail == "No such file or directory"


async def test_what_the_environment_holds_is_told_through_the_pipe_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a process has forbidden it, others of the same user can read its environment."""
    asked: list[tuple[Mapping[str, object], Mapping[str, str]]] = []

    def ask(
        _: str, question: Mapping[str, object], environ: Mapping[str, str], **__: float
    ) -> dict[str, str]:
        asked.append((question, environ))
        raise TimeoutError

    monkeypatch.setattr(child_process, "ask", ask)
    environ = {"PATH": "/usr/bin", "API_TOKEN": "sk-live-4711"}
    with pytest.raises(InternalError):
        await asyncio.to_thread(reading.read, tmp_path / "sealyard.yaml", environ)
    ((question, passed),) = asked
    assert question["environ"] == environ
    assert passed == {"PATH": "/usr/bin"}


def test_a_worker_gets_what_its_supervisor_read() -> None:
    source = given(TEXT)
    handed = config_files.Source.handed_over(source.hand_over())
    assert (handed.text, handed.sha256, handed.seen) == (TEXT, source.sha256, ())
    assert handed.loaded.settings.keys == source.loaded.settings.keys


def test_a_configuration_that_no_worker_could_be_handed_is_refused_with_its_size() -> None:
    source = given(TEXT)
    written = len(source.hand_over())
    text = TEXT + "#" * ((HANDED_BYTES - written) * 3 // 4 - 1000)
    Source(source.loaded, text).hand_over()
    with pytest.raises(ConfigurationError) as refused:
        Source(source.loaded, text + "#" * 2**20).hand_over()
    (told,) = refused.value.problems
    assert told == (
        f"sealyard.yaml: its {source.rules} rules take 64.3 MiB to be handed to a worker process,"
        " which takes at most 63.0 MiB: serve it without `--workers`, or write fewer rules"
    )


async def test_the_longest_configuration_fits_the_channel_to_a_worker_with_what_goes_with_it() -> (
    None
):
    ours, theirs = socket.socketpair()
    supervisor, worker = await connect(ours), await connect(theirs)
    secrets = base64.b64encode(bytes(SECRET_BYTES)).decode()
    message = {"id": 1, "do": "start", "source": "a" * HANDED_BYTES, "secrets": secrets}
    _, received = await asyncio.gather(supervisor.send(message), worker.receive())
    assert received == message
    supervisor.close()
    worker.close()
