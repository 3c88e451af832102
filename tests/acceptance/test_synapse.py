"""Sealyard before an unchanged Synapse: each way in seals what it is told, or is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from proxy.demo.screen import search
from tests.servers import free_port

from .compared import held, keep, printed, python_version
from .conftest import ROOT, Answer, Client, Process, running, sidecar

PYTHON = ROOT / ".venv-synapse" / "bin" / "python"
NIO = [str(PYTHON), "-P", str(Path(__file__).parent / "matrix_client.py")]
SECRET = "shared for these tests alone"
pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        not PYTHON.exists(), reason=".venv-synapse is missing: `./dev test` installs it"
    ),
]

_SETTINGS = """\
server_name: matrix.test
pid_file: {folder}/pid
listeners:
  - port: {port}
    bind_addresses: [127.0.0.1]
    type: http
    resources: [{{names: [client, media]}}]
database: {{name: sqlite3, args: {{database: {folder}/homeserver.db}}}}
log_config: {folder}/log.yaml
media_store_path: {folder}/media
signing_key_path: {folder}/signing.key
registration_shared_secret: {secret}
macaroon_secret_key: m
form_secret: f
report_stats: false
trusted_key_servers: []
suppress_key_server_warning: true
presence: {{enabled: true}}
server_notices: {{system_mxid_localpart: notices, room_name: Notices}}
enable_room_list_search: true
rc_message: &free {{per_second: 9999, burst_count: 9999}}
rc_registration: *free
rc_joins: {{local: *free, remote: *free}}
rc_invites: {{per_room: *free, per_user: *free, per_issuer: *free}}
rc_login: {{address: *free, account: *free, failed_attempts: *free}}
rc_media_create: *free
max_pending_media_uploads: 9999
"""
_LOG = """\
version: 1
formatters: {{plain: {{format: "%(name)s %(levelname)s %(message)s"}}}}
handlers: {{file: {{class: logging.FileHandler, formatter: plain, filename: {folder}/synapse.log}}}}
loggers: {{synapse.storage.SQL: {{level: INFO}}}}
root: {{level: INFO, handlers: [file]}}
"""


@dataclass(frozen=True)
class Person(Client):
    """A client that is signed in to Synapse."""

    token: str = ""

    @property
    def authorization(self) -> str:
        return f"Bearer {self.token}"


@dataclass
class Scene:
    """Synapse, the sidecar in front of it, an administrator and a room."""

    synapse: Process
    sidecar: Process
    folder: Path
    through: Person
    direct: Person
    room: str = ""

    def path(self, rest: str, version: str = "v3") -> str:
        return f"/_matrix/client/{version}/rooms/{quote(self.room, safe='')}/{rest}"

    def kept(self) -> dict[str, bytes]:
        """Return all that Synapse and the sidecar have written: database, media, logs."""
        return {
            str(one.relative_to(self.folder)): one.read_bytes()
            for one in self.folder.rglob("*")
            if one.is_file()
        }


@contextmanager
def synapse(folder: Path) -> Iterator[Process]:
    """Run a Synapse of its own, which keeps everything in one folder and calls nobody."""
    port = free_port()
    folder.mkdir()
    text = _SETTINGS.format(folder=folder, port=port, secret=SECRET)
    (folder / "homeserver.yaml").write_text(text)
    (folder / "log.yaml").write_text(_LOG.format(folder=folder))
    command = [str(PYTHON), "-m", "synapse.app.homeserver", "-c", str(folder / "homeserver.yaml")]
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    (folder / "signing.key").write_text(f"ed25519 a_1 {seed}\n")
    with running(command, port, folder / "out.log") as process:
        yield process


def registered(port: int, name: str) -> str:
    """Return the access token of a new administrator, made with the secret that only we know."""
    client, path = Client(port), "/_synapse/admin/v1/register"
    nonce = client.ask("GET", path).json["nonce"]
    vouched = f"{nonce}\0{name}\0password\0admin".encode()
    mac = hmac.new(SECRET.encode(), vouched, hashlib.sha1).hexdigest()
    made = {"nonce": nonce, "username": name, "password": "password", "admin": True, "mac": mac}
    answer = client.ask("POST", path, made)
    assert answer.status == 200, answer.body
    token: str = answer.json["access_token"]
    return token


@contextmanager
def started(folder: Path) -> Iterator[Scene]:
    """Run a Synapse with a room, and the sidecar in front of it."""
    (folder / "front").mkdir()
    with (
        synapse(folder / "home") as home,
        sidecar(folder / "front", "matrix.yaml", home.port) as front,
    ):
        token = registered(home.port, "ada")
        registered(home.port, "bob")
        made = Scene(
            home, front, folder, Person(front.port, token=token), Person(home.port, token=token)
        )
        answer = made.through.ask(
            "POST", "/_matrix/client/v3/createRoom", {"preset": "public_chat"}
        )
        assert answer.status == 200, answer.body
        made.room = answer.json["room_id"]
        yield made


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with started(tmp_path_factory.mktemp("synapse")) as made:
        yield made


@pytest.fixture
def canary() -> str:
    """A text that stands nowhere else; the test it belongs to looks for it everywhere."""
    return f"canary{secrets.token_hex(8)}"


def text(canary: str) -> dict[str, object]:
    return {"msgtype": "m.text", "body": canary}


def poll(canary: str, *, stable: bool = False) -> dict[str, object]:
    if stable:
        said = [{"body": canary}]
        answers = [{"m.id": "a", "m.text": said}]
        return {"m.poll": {"question": {"m.text": said}, "answers": answers}, "m.text": said}
    told = {"org.matrix.msc1767.text": canary}
    start = {"question": told, "answers": [{"id": "a", **told}], "max_selections": 1}
    return {"org.matrix.msc3381.poll.start": start, **told}


def edit(canary: str, event: str) -> dict[str, object]:
    relates = {"rel_type": "m.replace", "event_id": event}
    return {**text(f"* {canary}"), "m.new_content": text(canary), "m.relates_to": relates}


@dataclass(frozen=True)
class Way:
    """One request that tells Synapse a text."""

    method: str
    path: str
    data: object = None
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def ask(self, client: Client) -> Answer:
        return client.ask(
            self.method, self.path, self.data, body=self.body, headers=dict(self.headers)
        )


VERSIONS = ("v3", "r0", "unstable", "v1", "api/v1")


def ways_of(scene: Scene, version: str, canary: str, event: str) -> Iterator[Way]:
    """Yield requests that tell Synapse the canary, by one prefix of its API."""

    def room(method: str, rest: str, data: object) -> Way:
        return Way(method, scene.path(rest, version), data)

    def own(rest: str) -> str:
        return f"/_matrix/client/{version}/user/@ada:matrix.test/{rest}"

    number = secrets.token_hex(4)
    for kind, content in (
        ("m.room.message", text(canary)),
        ("m.room.message", {**text(canary), "formatted_body": canary, "filename": canary}),
        ("m.room.message", {"msgtype": "m.text", "body": "x", "org.matrix.msc1767.text": canary}),
        ("m.room.message", edit(canary, event)),
        ("m.sticker", {"body": canary, "url": "mxc://a/b", "info": {}}),
        ("org.matrix.msc3381.poll.start", poll(canary)),
        ("m.poll.start", poll(canary, stable=True)),
        (
            "m.reaction",
            {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": canary}},
        ),
        ("m.room.encrypted", {"algorithm": "x", "ciphertext": canary}),
        ("m.room.redaction", {"redacts": event, "reason": canary}),
        ("clinic.note", {"note": canary}),
    ):
        number += "1"
        yield room("PUT", f"send/{kind}/{number}", content)
        yield room("POST", f"send/{kind}", content)
        yield room("PUT", f"send/{kind}/{number}a/", content)
    yield room("PUT", "state/m.room.topic", {"topic": canary})
    yield room("PUT", "state/m.room.topic/", {"topic": canary})
    yield room(
        "PUT", "state/m.room.topic", {"topic": "x", "m.topic": {"m.text": [{"body": canary}]}}
    )
    yield room("PUT", "state/m.room.name", {"name": canary})
    yield room("PUT", "state/m.room.name/", {"name": canary})
    yield room("PUT", "state/m.room.avatar", {"url": "mxc://a/b", "caption": canary})
    yield room("PUT", f"state/clinic.note/{canary[:6]}", {"note": canary})
    yield room("PUT", f"redact/{quote(event)}/{number}r", {"reason": canary})
    yield room("POST", f"redact/{quote(event)}", {"reason": canary})
    for verb in ("invite", "kick", "ban", "unban"):
        yield room("POST", verb, {"user_id": "@bob:matrix.test", "reason": canary})
    yield room("POST", "join", {"reason": canary})
    yield room("POST", f"report/{quote(event)}", {"reason": canary})
    made = f"/_matrix/client/{version}/createRoom"
    yield Way("POST", made, {"name": canary, "topic": canary})
    state = [{"type": "m.room.topic", "state_key": "", "content": {"topic": canary}}]
    yield Way("POST", made, {"initial_state": state})
    yield Way("PUT", own("account_data/clinic.note"), {"note": canary})
    yield Way("PUT", own(f"rooms/{quote(scene.room)}/account_data/clinic.note"), {"note": canary})
    yield Way("PUT", own(f"rooms/{quote(scene.room)}/tags/{canary}"), {"order": 0.5})
    status = {"presence": "online", "status_msg": canary}
    yield Way("PUT", f"/_matrix/client/{version}/presence/@ada:matrix.test/status", status)
    rule = {"actions": ["notify"], "pattern": canary}
    yield Way("PUT", f"/_matrix/client/{version}/pushrules/global/content/{number}", rule)
    device = {"messages": {"@bob:matrix.test": {"*": {"note": canary}}}}
    yield Way("PUT", f"/_matrix/client/{version}/sendToDevice/clinic.note/{number}", device)
    for headers in (
        (("Content-Type", "application/x-www-form-urlencoded"),),
        (("Content-Type", ""),),
    ):
        number += "2"
        body = f'{{"msgtype":"m.text","body":"{canary}"}}'.encode()
        yield Way("PUT", scene.path(f"send/m.room.message/{number}", version), None, body, headers)


def ways_of_media(scene: Scene, version: str, canary: str) -> Iterator[Way]:
    picture = (("Content-Type", "image/png"),)
    for upload in (f"/_matrix/media/{version}/upload", f"/_matrix/client/{version}/media/upload"):
        yield Way("POST", upload, None, canary.encode(), picture)
        yield Way("POST", f"{upload}?filename={canary}.png", None, canary.encode(), picture)
        yield Way("POST", upload, None, canary.encode(), (("Content-Type", ""),))
        made = scene.direct.ask("POST", "/_matrix/media/v1/create", {})
        name = made.json["content_uri"].removeprefix("mxc://")
        yield Way("PUT", f"{upload}/{name}?filename={canary}", None, canary.encode(), picture)


def ways_of_administrators(scene: Scene, canary: str) -> Iterator[Way]:
    admin = "/_synapse/admin"
    notice = {"user_id": "@bob:matrix.test", "content": text(canary)}
    yield Way("POST", f"{admin}/v1/send_server_notice", notice)
    yield Way("PUT", f"{admin}/v1/send_server_notice/{canary[:8]}", notice)
    closing = {"new_room_user_id": "@ada:matrix.test", "room_name": canary, "message": canary}
    yield Way("DELETE", f"{admin}/v2/rooms/{quote(scene.room)}x", closing)
    yield Way("PUT", f"{admin}/v2/users/@eve:matrix.test", {"displayname": canary})


def all_ways(scene: Scene, version: str, canary: str, event: str) -> Iterator[Way]:
    yield from ways_of(scene, version, canary, event)
    yield from ways_of_media(scene, version, canary)
    yield from ways_of_administrators(scene, canary)


def first_event(scene: Scene) -> str:
    answer = scene.through.ask("POST", scene.path("send/m.room.message"), text("first"))
    event: str = answer.json["event_id"]
    return event


def test_no_way_into_synapse_leaves_a_text_in_its_store(scene: Scene, canary: str) -> None:
    event = first_event(scene)
    answers = [
        way.ask(scene.through).status
        for version in VERSIONS
        for way in all_ways(scene, version, canary, event)
    ]

    assert search(canary, scene.kept()) == []
    assert set(answers) <= {200, 400, 403, 404, 415}, answers
    assert answers.count(200) > 30


def test_without_the_sidecar_the_same_ways_lead_there(scene: Scene) -> None:
    event = first_event(scene)
    ways = [way for one in ("v3", "r0") for way in all_ways(scene, one, "SEEN", event)]
    leaked = sum(way.ask(scene.direct).status == 200 for way in ways)
    assert leaked > 60
    assert search("SEEN", scene.kept()) != []


def test_what_is_told_comes_back(scene: Scene, canary: str) -> None:
    sent = scene.through.ask("PUT", scene.path("send/m.room.message/t1"), text(canary))
    event = sent.json["event_id"]
    scene.through.ask("PUT", scene.path("send/m.room.message/t2"), edit(canary, event))
    scene.through.ask("PUT", scene.path("state/m.room.topic/"), {"topic": f"{canary} topic"})
    scene.through.ask("PUT", scene.path("send/org.matrix.msc3381.poll.start/t3"), poll(canary))

    page = scene.through.ask("GET", scene.path("messages?dir=b&limit=4")).json["chunk"]
    contents = [one["content"] for one in reversed(page)]
    assert contents[0]["body"] == canary
    assert contents[1]["m.new_content"]["body"] == canary
    assert contents[2]["topic"] == f"{canary} topic"
    assert contents[3] == poll(canary)
    synced = scene.through.ask("GET", "/_matrix/client/v3/sync?timeout=0")
    assert canary.encode() in synced.body
    topic = scene.through.ask("GET", scene.path("state/m.room.topic/")).json
    assert topic["topic"] == f"{canary} topic"
    assert search(canary, scene.kept()) == []


@pytest.mark.parametrize("named", ["", "?filename=report.png"])
def test_media_come_back_by_both_ways_of_uploading(scene: Scene, canary: str, named: str) -> None:
    picture = b"\x89PNG" + canary.encode() + bytes(100_000)
    headers = {"Content-Type": "image/png"}
    at_once = scene.through.ask(
        "POST", f"/_matrix/media/v3/upload{named}", body=picture, headers=headers
    )
    made = scene.through.ask("POST", "/_matrix/media/v1/create", {}).json["content_uri"]
    path = f"/_matrix/media/v3/upload/{made.removeprefix('mxc://')}{named}"
    later = scene.through.ask("PUT", path, body=picture, headers=headers)
    assert (at_once.status, later.status) == (200, 200), (at_once.body, later.body)
    for uri in (at_once.json["content_uri"], made):
        got = scene.through.ask(
            "GET", f"/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}"
        )
        assert (got.status, got.body == picture) == (200, True)
        assert got.header("Content-Type") == "image/png"
    assert search(canary, scene.kept()) == []


@pytest.mark.parametrize("kind", ["", "application/x-www-form-urlencoded", "text/plain"])
def test_a_message_of_another_type_is_read_as_synapse_reads_it(
    scene: Scene, canary: str, kind: str
) -> None:
    body = f'{{"msgtype":"m.text","body":"{canary}"}}'.encode()
    path = scene.path(f"send/m.room.message/k{len(kind)}")
    answer = scene.through.ask("PUT", path, body=body, headers={"Content-Type": kind})
    assert answer.status == 200, answer.body
    assert search(canary, scene.kept()) == []


def test_a_client_made_for_matrix_is_told_the_same(tmp_path: Path) -> None:
    canaries = {way: f"canary{secrets.token_hex(8)}" for way in ("through", "direct")}
    with started(tmp_path) as scene:
        ports = {"through": scene.through.port, "direct": scene.direct.port}
        told = {way: printed(NIO, f"http://127.0.0.1:{ports[way]}", canaries[way]) for way in ports}
        versions = [
            python_version(".venv-synapse", one) for one in ("matrix_synapse", "matrix_nio")
        ]
        names = "matrix", "Synapse {}, matrix-nio {}".format(*versions)
        keep(held(names, told["through"], told["direct"], canaries, scene.kept()))

    assert told["through"]["download"] == {"told": [True, "image/png"]}
