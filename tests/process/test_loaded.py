"""How much of the product shares a process with the keys: what `serve` loads for `init`'s file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import proxy
from proxy.core.leaves import NATIVE

from .loaded import asked, initialised

_PRODUCT: Final = Path(proxy.__file__).parent
_MOST_MODULES, _MOST_LINES = (358, 58_480) if NATIVE else (363, 59_010)
_ELSEWHERE: Final = {"demo", "description", "explaining", "injector", "migration"}
"""Packages of other commands, which the process with the keys never loads."""
_NOT_WANTED: Final = {
    "admin/openapi.py",
    "config/load.py",
    "config/rules",
    "config/sections",
    "config/yaml/composer.py",
    "keys/end_to_end",
    "keys/fleet/presence.py",
    "keys/operations/participant_operations.py",
    "keys/operations/values.py",
    "keys/stores/redis",
    "keys/stores/sqlite.py",
    "telemetry/tap.py",
    "telemetry/traces.py",
    "traffic/exchange/dry_run.py",
    "traffic/exchange/tunnel.py",
    "traffic/exchange/websocket_relay.py",
    "traffic/websocket/leg.py",
    "wiring/ipc",
    "wiring/workers",
}
"""What `init`'s file has no use for: no rule of it seals end to end, observes, or takes WebSockets,
no credential may seal or open, and there is one process with a store of its own. Others read the
configuration and make the OpenAPI document."""


def test_serve_loads_no_more_than_it_did(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    initialised(tmp_path)
    with asked(tmp_path) as process:
        places = [Path(one) for one in process.modules().values() if one is not None]
    files = {one for one in places if one.is_relative_to(_PRODUCT)}

    lines = sum(len(one.read_text("utf-8").splitlines()) for one in files)
    told = f"{len(files)} modules, {lines:,} lines"
    record_property("loaded by the file that init writes", told)
    print(told)  # noqa: T201 - a figure for whoever runs this test with -s
    assert _PRODUCT / "keys" / "keyring" / "keyring.py" in files
    loaded = {one.relative_to(_PRODUCT) for one in files}
    assert not {one.parts[0] for one in loaded} & _ELSEWHERE
    assert not [one for one in loaded if {str(one), *map(str, one.parents)} & _NOT_WANTED]
    commands = {one.name for one in loaded if one.parts[:2] == ("cli", "commands")}
    assert commands == {"__init__.py", "serve.py"}
    assert len(files) <= _MOST_MODULES
    assert lines <= _MOST_LINES
