"""Whatever fails on the way of a plain message, which has no waits: it fails closed too."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path

import pytest

from proxy.core.values.key_needs import Keys, Needs
from proxy.demo.screen import search
from proxy.telemetry.logs.library_logs import asyncio_handler, routed
from proxy.telemetry.logs.logger import Logs
from tests.traffic.wire import Client, Peer, get, post

from .faults import EXCEPTIONS, FaultAtLine
from .rig import BODY, CANARY, JSON, Say, Script, Setup, WaitingKeys, rigged, tokens_for
from .scenes import Scene, dying
from .test_fail_closed import check, clean, lines_of

_ON_THE_WAY = {
    "traffic/exchange/fast_exchange.py",
    "traffic/exchange/known_heads.py",
}
_PLANNED = BODY[:-1] + ', "\u00e9": 1}'.encode()
"""A name beyond ASCII may be read as another one: this is planned, and passes."""


class WarmKeys(WaitingKeys):
    """Sessions that are at hand once they have been asked for."""

    def forget(self) -> None:
        """Keep them."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        return self.sessions.resolve_warm(needs)


def _say(data: bytes) -> Say:
    async def say(client: Client) -> None:
        client.send(data)

    return say


def _say_again(data: bytes) -> Say:
    """Send a request three times, so that both of its heads are known by the last."""

    async def say(client: Client) -> bytes:
        last = b""
        try:
            for _ in range(3):
                client.send(data)
                last = (await client.response()).raw
            client.writer.write_eof()
        except asyncio.IncompleteReadError as end:
            return end.partial
        return last

    return say


def _post(target: bytes) -> bytes:
    """Return a request behind which its connection stays."""
    head = b"POST %b HTTP/1.1\r\nHost: h\r\n%b\r\nContent-Length: %d\r\n\r\n"
    return head % (target, JSON, len(BODY)) + BODY


def _answer(body: bytes | None, *, framing: bytes = b"Content-Length: %d") -> Script:
    async def script(peer: Peer) -> None:
        seen = await peer.request()
        reply = seen.body if body is None else body
        length = framing % len(reply) if b"%" in framing else framing
        peer.send(b"HTTP/1.1 200 OK\r\n" + JSON + b"\r\n" + length + b"\r\n\r\n" + reply)

    return script


async def sealing() -> Setup:
    """A request is sealed, and its echo opened."""
    return Setup(_answer(None), _say(post(BODY, JSON, target=b"/seal")), WarmKeys(), express=True)


async def planning() -> Setup:
    """The same for a message that is not changed at once."""
    say = _say(post(_PLANNED, JSON, target=b"/seal"))
    return Setup(_answer(None), say, WarmKeys(), express=True)


async def opening() -> Setup:
    """A response is opened."""
    keys = WarmKeys()
    (token,) = await tokens_for(keys, 1)
    reply = json.dumps({"content": token}).encode()
    return Setup(_answer(reply), _say(get(b"/open")), keys, express=True)


async def passing() -> Setup:
    """Bodies pass as they come, in both directions."""
    return Setup(_answer(BODY), _say(post(BODY, JSON, target=b"/pass")), WarmKeys(), express=True)


async def knowing_heads() -> Setup:
    """What is sealed and opened is known by its heads."""
    return Setup(_answer(None), _say_again(_post(b"/seal")), WarmKeys(), express=True)


async def passing_known_heads() -> Setup:
    """What passes is known by its heads."""
    return Setup(_answer(BODY), _say_again(_post(b"/pass")), WarmKeys(), express=True)


async def asking_again() -> Setup:
    """A resting connection dies under a GET, which goes out again on a new one."""
    return Setup(dying(), _say(get(b"/pass")), WarmKeys(), express=True)


SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (
        sealing,
        planning,
        opening,
        passing,
        knowing_heads,
        passing_known_heads,
        asking_again,
    )
}


@pytest.mark.parametrize("name", SCENES)
async def test_an_exception_at_any_line_of_the_express_fails_closed(
    name: str, tmp_path: Path
) -> None:
    log: list[bytes] = []
    logs = Logs(log.append)
    asyncio.get_running_loop().set_exception_handler(asyncio_handler(logs))
    travelled: set[str] = set()
    with routed(logs):
        async with rigged(await SCENES[name](), tmp_path) as rig:
            await clean(rig)
            right = await clean(rig)
            for at in range(await lines_of(rig)):
                fault = FaultAtLine(at, EXCEPTIONS[at % len(EXCEPTIONS)](CANARY))
                outcome = await rig.with_fault(fault)
                travelled.update(file for file, _ in fault.lines)
                if fault.happened:
                    check(name, rig, fault, outcome, right)
                assert not rig.lost, fault.lines[at]
                assert (await clean(rig)).raw == right.raw, fault.lines[at]
        gc.collect()
    assert travelled.issuperset(_ON_THE_WAY)
    assert (name == "planning") <= ("traffic/exchange/general_exchange.py" in travelled)
    assert not search(CANARY, {"log": b"".join(log)})
