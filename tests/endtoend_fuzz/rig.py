"""A real sidecar with two listeners before recording origins: one rules everything, one nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import socket
import subprocess
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.bombs.rig import serving
from tests.servers import free_port
from tests.smuggling.parsers import Read
from tests.smuggling.sending import RawOrigin

from .messages import BEGINNING

PATIENCE_SECONDS: Final = 20.0
AT_A_TIME: Final = 24
_CONFIGURATION: Final = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
admin: {{listen: "127.0.0.1:0", token: {{file: admin.token}}}}
listeners:
  - name: ruled
    listen: 127.0.0.1:{ports[0]}
    upstream: http://127.0.0.1:{origins[0]}
    unmatched: reject
    timeouts: {{linger: 200ms}}
    on_client_close: finish  # what the log calls answered is compared with what came
    defaults: {{others: pass, tenant: "const:t", conversation: "const:c"}}
    rules:
      - name: every
        match: /**
        request: {{{request}}}
  - name: passed
    listen: 127.0.0.1:{ports[1]}
    upstream: http://127.0.0.1:{origins[1]}
    unmatched: pass
    timeouts: {{linger: 200ms}}
    on_client_close: finish  # what the log calls answered is compared with what came
"""


def _spellings(text: bytes) -> Iterable[bytes]:
    """Yield what cannot be missed of a text in the forms in which it might travel."""
    yield text
    yield text.hex().encode()
    yield text.hex().upper().encode()
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + text)
        # What the neighbours on either side have a share in is left out.
        yield coded[4 if shift else 0 :][: len(text) * 4 // 3 - 4]


_CANARY: Final = re.compile(b"|".join(re.escape(one) for one in _spellings(BEGINNING)))


def leaks(read: Read) -> bool:
    """Tell whether a canary stands where the rule selects, or where that cannot be told.

    A mistake in a name, `conte@t`, makes it one that the rule does not know: its value passes.
    """
    if not _CANARY.search(read.body):
        return False
    try:
        document = json.loads(read.body, object_pairs_hook=tuple)
    except ValueError:
        return True
    return _selected(document, inside=False)


def _selected(value: object, *, inside: bool) -> bool:
    """Tell whether a canary stands in a member that reads as `content`; objects come as pairs."""
    if isinstance(value, str):
        return inside and _CANARY.search(value.encode(errors="replace")) is not None
    if isinstance(value, list):
        return any(_selected(one, inside=inside) for one in value)
    if isinstance(value, tuple):
        return any(_selected(one, inside=inside or _is_content(name)) for name, one in value)
    return False


def _is_content(name: str) -> bool:
    return unicodedata.normalize("NFKC", name).casefold() == "content"


@dataclass
class Origin(RawOrigin):
    """What one listener's backend got."""

    leaks: list[bytes] = field(default_factory=list)

    def look(self, data: bytes, requests: Sequence[Read]) -> None:
        """Look for canaries in requests, and in bytes that are no part of a body."""
        inside = sum(len(_CANARY.findall(one.body)) for one in requests)
        if len(_CANARY.findall(data)) != inside or any(leaks(one) for one in requests):
            self.leaks.append(data)


Told = Counter[tuple[str, int]]
"""How many requests were forwarded, by method and bytes of body."""


@dataclass
class Rig:
    """The sidecar, what it says in its log, and what its two origins got."""

    process: subprocess.Popen[bytes]
    log: Path
    ports: tuple[int, int]
    ruled: Origin
    passed: Origin
    _read: int = 0

    async def round(self, streams: list[bytes]) -> tuple[Told, Told]:
        """Send each stream over a connection of its own to either listener.

        Return what the log says was forwarded, by listener.
        """
        waiting = iter([(port, data) for data in streams for port in self.ports])

        async def client() -> None:
            for port, data in waiting:
                await _deliver(port, data)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(client())
        told = {"ruled": Told(), "passed": Told()}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                self._read_log(told)
                if told["ruled"].total() >= len(self.ruled.requests) and (
                    told["passed"].total() >= len(self.passed.requests)
                ):
                    return told["ruled"], told["passed"]
                await asyncio.sleep(0.02)

    def _read_log(self, told: dict[str, Told]) -> None:
        with self.log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data.rpartition(b"\n")[0]
        self._read += len(whole) + bool(whole)
        assert not _CANARY.search(whole), whole
        for line in whole.splitlines():
            event: dict[str, Any] = json.loads(line)
            name = event["event"]
            assert name not in {"exception.unhandled", "library.message", "worker.died"}, event
            if name == "message.handled" and event["http.response.status_code"] == 200:
                request = event["http.request.method"], event["http.request.body.size"]
                told[event["listener"]][request] += 1


async def _deliver(port: int, data: bytes) -> None:
    """Send the bytes and an end, and wait until the other side has ended too."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client, contextlib.suppress(ConnectionError, OSError):
        client.setblocking(False)  # noqa: FBT003 - the signature of the standard library
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, data)
        client.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await loop.sock_recv(client, 65536):
                pass


@contextlib.asynccontextmanager
async def rigged(folder: Path, *, request: str = "encrypt: $..content") -> AsyncIterator[Rig]:
    """Run it all; `request` is what the rule does with requests."""
    ruled, passed = Origin(), Origin()
    ports = (free_port(), free_port())
    async with ruled.running() as behind_ruled, passed.running() as behind_passed:
        origins = (behind_ruled, behind_passed)
        text = _CONFIGURATION.format(ports=ports, origins=origins, request=request)
        with serving(folder, text) as (process, log):
            yield Rig(process, log, ports, ruled, passed)
