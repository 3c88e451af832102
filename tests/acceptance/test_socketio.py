"""Sealyard before an unchanged Socket.IO: texts and files over polls, WebSockets and upgrades."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.demo.screen import search
from tests.servers import free_port
from tests.traffic import wire
from tests.traffic.wire import Origin, Peer, eventually

from .compared import held, keep, printed
from .conftest import running, sidecar
from .llm_scene import metrics_of
from .node_chat import Chat, Scene
from .records import Record

CHAT = Chat(Path(__file__).parent / "socketio_node", "socketio-files.yaml")
JWE = b"eyJ0eXAiOiJzeTEi"
HOWS = ("polling", "websocket", "upgrade")
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"

pytestmark = [pytest.mark.acceptance, CHAT.needed]

_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{}}
http {{
  access_log {folder}/nginx-access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream behind {{ server 127.0.0.1:{upstream}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 8m;
    location / {{
      proxy_pass http://behind;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $host;
    }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[int]:
    """Run an nginx as Debian has it in front of a port."""
    port = free_port()
    place = folder / f"nginx-{port}"
    place.mkdir()
    configuration = place / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=place, upstream=upstream, port=port))
    with running([NGINX, "-c", str(configuration)], port, place / "nginx.log"):
        yield port


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with CHAT.scene(tmp_path_factory.mktemp("socketio")) as made:
        yield made


async def told(port: int, canary: str, how: str, *more: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a client is told by the server at a port."""
    url = f"http://127.0.0.1:{port}"
    return await asyncio.to_thread(printed, CHAT.client, url, canary, how, *more)


def binary(value: dict[str, str]) -> bytes:
    return base64.b64decode(value["binary"])


def check(found: Any, canary: str, how: str) -> None:  # noqa: ANN401 - JSON
    """Hold what a client was told against what it sent."""
    assert found["errors"] == []
    assert len(found["acks"]) == len(found["news"]) >= (12 if how != "upgrade" else 5)
    assert found["last"] == ("polling" if how == "polling" else "websocket")
    if how == "upgrade":
        assert found["used"] == ["polling", "websocket"]
    for ack in found["acks"]:
        assert ack["stored"] is True
        assert binary(ack["file"]).startswith(canary.encode())
    for message in found["news"]:
        number = message["content"].removeprefix(f"{canary} text ")
        size = (0, 10, 3000, 200_000)[int(number) % 4]
        assert (
            binary(message["file"]) == f"{canary} {number} ".encode() + bytes([int(number)]) * size
        )
        assert message["name"] == f"{canary}.bin"


def checks_of(found: Any, how: str) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return what a client was told by name, binary as text, and each message once.

    How many are sent during an upgrade depends on how long it takes.
    """

    def once(messages: Any) -> list[str]:  # noqa: ANN401 - JSON
        return sorted({json.dumps(readable(one), sort_keys=True) for one in messages})

    last = [found["used"], found["last"]]
    parts = {"answers": once(found["acks"]), "messages": once(found["news"]), "transport": last}
    return {f"{name} by {how}": {"told": one} for name, one in parts.items()}


def readable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value with each binary as the text of its bytes."""
    if not isinstance(value, dict):
        return value
    if value.keys() == {"binary"}:
        return binary(value).decode("latin-1")
    return {name: readable(one) for name, one in value.items()}


async def compared(scene: Scene, port: int, hows: Sequence[str]) -> Record:
    """Talk through a port that leads to the sidecar, and without it: both work alike."""
    canaries = {way: f"canary-{secrets.token_hex(8)}" for way in ("through", "direct")}
    checks: dict[str, dict[str, Any]] = {way: {} for way in canaries}
    ports = {"through": port, "direct": scene.server.port}
    for way, how in itertools.product(canaries, hows):
        at = len(scene.kept)
        found = await told(ports[way], canaries[way], how)
        check(found, canaries[way], how)
        checks[way] |= checks_of(found, how)
        kept = scene.kept[at:]
        assert (kept.count(JWE) >= 10) == (way == "through")
    assert not search(canaries["through"], {"metrics": await metrics_of(scene.folder)})
    software = "Socket.IO {}, its client {}"
    names = "socketio", software.format(*map(CHAT.version, ("socket.io", "socket.io-client")))
    return held(names, checks["through"], checks["direct"], canaries, scene.written())


async def test_texts_and_files_are_sealed_in_the_server_and_open_for_clients(scene: Scene) -> None:
    keep(await compared(scene, scene.sidecar.port, HOWS))


@pytest.mark.parametrize("how", HOWS)
async def test_other_binary_passes_beside_sealed_files_where_a_rule_lets_it(
    tmp_path: Path, how: str
) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    first = "            encrypt:\n              - $[1].content\n"
    with CHAT.scene(tmp_path, changes={first: f"            others: pass\n{first}"}) as scene:
        found = await told(scene.sidecar.port, canary, how, "preview")

        check(found, canary, how)
        for message in found["news"]:
            number = message["content"].rpartition(" ")[2]
            assert binary(message["preview"]) == f"public {number}".encode()
        assert b"public 1" in scene.kept
        assert not search(canary, scene.written())


async def test_other_binary_is_refused_where_a_rule_does_not_list_it(scene: Scene) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    place = {"_placeholder": True, "num": 0}
    event = ["message:send", {"conversationId": "c1", "content": canary, "preview": place}]
    before = scene.kept
    url = f"http://127.0.0.1:{scene.sidecar.port}/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as opening:
            sid = json.loads((await opening.text())[1:])["sid"]
        async with session.post(f"{url}&sid={sid}", data="40") as posted:
            assert posted.status == 200
        async with session.post(f"{url}&sid={sid}", data="451-" + json.dumps(event)) as posted:
            refused = posted.status, posted.headers["Sealyard-Error"]

    assert refused == (400, "unlisted-name")
    assert scene.kept == before
    assert not search(canary, scene.written())


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.skipif(not Path(NGINX).exists(), reason="there is no nginx here")
async def test_it_works_between_two_nginx(tmp_path: Path, how: str) -> None:
    with (
        CHAT.server(tmp_path) as backend,
        nginx(tmp_path, backend.port) as inner,
        sidecar(tmp_path, CHAT.example, inner) as front,
        nginx(tmp_path, front.port) as outer,
    ):
        await compared(Scene(backend, front, tmp_path), outer, [how])


@contextlib.asynccontextmanager
async def cutting(port: int, sizes: tuple[int, ...]) -> AsyncIterator[int]:
    """Pass bytes to a port and back, in pieces of these sizes."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size_of = itertools.cycle(sizes)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                while data:
                    size = next(size_of)
                    writer.write(data[:size])
                    await writer.drain()
                    await asyncio.sleep(0)
                    data = data[size:]
            writer.write_eof()

    async def passing(peer: Peer, _: Origin) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(
                pump(peer.reader, back), pump(there, peer.writer), return_exceptions=True
            )
        finally:
            back.close()

    # It ends what is open at the end: otherwise the loop would end before the connections do.
    async with wire.running(Origin(passing)) as origin:
        yield origin.port


@pytest.mark.parametrize("how", HOWS)
async def test_it_works_however_the_bytes_are_cut(tmp_path: Path, how: str) -> None:
    sizes = (1, 2, 3, 7, 61, 1000, 40_000)
    with CHAT.server(tmp_path) as backend:
        async with cutting(backend.port, sizes) as inner:
            with sidecar(tmp_path, CHAT.example, inner) as front:
                async with cutting(front.port, sizes) as outer:
                    await compared(Scene(backend, front, tmp_path), outer, [how])


async def test_an_attachment_without_its_packet_is_refused_with_a_clear_error(
    scene: Scene,
) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    url = f"http://127.0.0.1:{scene.sidecar.port}/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as opening:
            sid = json.loads((await opening.text())[1:])["sid"]
        body = "b" + base64.b64encode(canary.encode()).decode()
        async with session.post(f"{url}&sid={sid}", data=body) as posted:
            problem = await posted.json(content_type=None)
    assert posted.status == 400
    assert "same process" in json.dumps(problem)
    assert not search(canary, scene.written())


async def test_an_attachment_is_sealed_though_the_configuration_was_reloaded_meanwhile(
    tmp_path: Path,
) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    place = {"_placeholder": True, "num": 0}
    event = ["message:send", {"conversationId": "c1", "content": canary, "file": place}]
    body = "b" + base64.b64encode(canary.encode()).decode()
    with CHAT.scene(tmp_path) as scene:
        front = scene.sidecar
        url = f"http://127.0.0.1:{front.port}/socket.io/?EIO=4&transport=polling"
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as opening:
                sid = json.loads((await opening.text())[1:])["sid"]
            for packet in ("40", "451-" + json.dumps(event)):
                async with session.post(f"{url}&sid={sid}", data=packet) as posted:
                    assert posted.status == 200
            before = front.log.read_bytes().count(b"config.loaded")
            with (tmp_path / "sealyard.yaml").open("a") as configuration:
                configuration.write("# changed\n")
            front.process.send_signal(signal.SIGHUP)
            await eventually(lambda: front.log.read_bytes().count(b"config.loaded") > before)
            async with session.post(f"{url}&sid={sid}", data=body) as posted:
                assert posted.status == 200
        # The server answers a poll first, and handles its packets then.
        await eventually(lambda: scene.kept.count(JWE) == 2)
        assert not search(canary, scene.written())


async def test_another_process_refuses_an_attachment_and_nothing_passes_unsealed(
    scene: Scene, tmp_path: Path
) -> None:
    canary = f"canary-{secrets.token_hex(8)}"
    place = {"_placeholder": True, "num": 0}
    event = ["message:send", {"conversationId": "c1", "content": canary, "file": place}]
    body = "b" + base64.b64encode(canary.encode()).decode()
    query = "/socket.io/?EIO=4&transport=polling"
    with sidecar(tmp_path, CHAT.example, scene.server.port) as other:
        one, two = (f"http://127.0.0.1:{each.port}{query}" for each in (scene.sidecar, other))
        async with aiohttp.ClientSession() as session:
            async with session.get(one) as opening:
                sid = json.loads((await opening.text())[1:])["sid"]
            for packet in ("40", "451-" + json.dumps(event)):
                async with session.post(f"{one}&sid={sid}", data=packet) as posted:
                    assert posted.status == 200
            async with session.post(f"{two}&sid={sid}", data=body) as refused:
                problem = await refused.json(content_type=None)
            # The one that has seen the packet still awaits its attachment.
            async with session.post(f"{one}&sid={sid}", data=body) as posted:
                assert posted.status == 200
        assert refused.status == 400
        assert "same process" in json.dumps(problem)
        written = scene.written() | {"other": other.log.read_bytes()}
    assert not search(canary, written)
