"""How much of the product shares a process with the keys: what `serve` loads for `init`'s file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import proxy
from proxy.core.leaves import NATIVE
from tests.servers import await_log, child, free_port

_PRODUCT: Final = Path(proxy.__file__).parent
_MOST_MODULES, _MOST_LINES = (386, 58_275) if NATIVE else (388, 58_363)
_ELSEWHERE: Final = {"demo", "description", "explaining", "injector", "migration"}
"""Packages of other commands, which the process with the keys never loads."""
_PATIENCE_SECONDS: Final = 30.0
_ASK, _ANSWER = "ask", "answer.json"
# The thread runs beside `serve` and writes what is loaded once it is asked.
_SERVE: Final = f"""
import json, os, sys, threading, time
from pathlib import Path
from proxy.__main__ import run

def tell():
    while not Path({_ASK!r}).exists():
        time.sleep(0.05)
    files = [getattr(one, "__file__", None) for one in list(sys.modules.values())]
    Path("half").write_text(json.dumps([one for one in files if one]))
    os.rename("half", {_ANSWER!r})

threading.Thread(target=tell, daemon=True).start()
sys.argv = ["sealyard", "serve"]
run()
"""


def _loaded(folder: Path) -> set[Path]:
    """Return the files of the product that `serve` has loaded once it is ready."""
    run = (sys.executable, "-P", "-m", "proxy")
    subprocess.run((*run, "init"), cwd=folder, check=True, capture_output=True, timeout=60)  # noqa: S603 - Sealyard itself
    file = folder / "sealyard.yaml"
    text = file.read_text()
    for port in ("8080", "9901"):
        assert f"127.0.0.1:{port}" in text
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    file.write_text(text)
    log = folder / "sealyard.log"
    with child((sys.executable, "-P", "-c", _SERVE), log, cwd=folder) as process:
        await_log(process, log, '"server.ready"')
        (folder / _ASK).touch()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (folder / _ANSWER).exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
    files = map(Path, json.loads((folder / _ANSWER).read_text()))
    return {one for one in files if one.is_relative_to(_PRODUCT)}


def test_serve_loads_no_more_than_it_did(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    files = _loaded(tmp_path)

    lines = sum(len(one.read_text("utf-8").splitlines()) for one in files)
    told = f"{len(files)} modules, {lines:,} lines"
    record_property("loaded by the file that init writes", told)
    print(told)  # noqa: T201 - a figure for whoever runs this test with -s
    assert _PRODUCT / "keys" / "keyring" / "keyring.py" in files
    loaded = {one.relative_to(_PRODUCT).parts for one in files}
    assert not {parts[0] for parts in loaded} & _ELSEWHERE
    commands = {parts[2] for parts in loaded if parts[:2] == ("cli", "commands")}
    assert commands == {"__init__.py", "serve.py"}
    assert len(files) <= _MOST_MODULES
    assert lines <= _MOST_LINES
