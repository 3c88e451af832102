"""One client flow before backends of records, with Sealyard and without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from .compared import Backend, compared, keep, needs_node
from .conftest import Answer, Client, sidecar
from .flows import FLOWS, Flow, Running

pytestmark = [pytest.mark.acceptance, needs_node]

TOKEN = "eyJ0eXAiOiJzeTEi"  # how a token begins


@dataclass(frozen=True)
class Scene:
    """A backend that runs, the Sealyard in front of it, and what the flow has for them."""

    flow: Flow
    running: Running
    backend: Backend

    def ask(self, method: str, path: str, data: object = None, **headers: str) -> Answer:
        """Ask through Sealyard."""
        client = Client(self.backend.through)
        return client.ask(method, path, data, headers={**self.running.headers, **headers})


@pytest.fixture(scope="module", params=FLOWS)
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    example: str = request.param
    name = example.removesuffix(".yaml")
    flow, folder = FLOWS[example], tmp_path_factory.mktemp(name)
    if not flow.needs.exists():
        pytest.skip(f"{name} is not installed: `./dev test tests/acceptance` does it")
    with flow.start(folder) as running, sidecar(folder, example, running.port) as front:
        backend = Backend(name, flow.software(), running.port, front.port, running.kept)
        yield Scene(flow, running, backend)


def test_the_client_is_told_the_same_and_the_backend_keeps_no_text(scene: Scene) -> None:
    script = f"{scene.backend.name.replace('-', '_')}.mjs"

    keep(compared(scene.backend, script, other=scene.flow.costs))


def test_a_token_of_another_conversation_opens_in_no_record(scene: Scene) -> None:
    flow, texts = scene.flow, {"one": "the text of one", "two": "the text of two"}
    ids = {room: flow.found(scene.ask(*flow.create(room, texts[room])).json)[0] for room in texts}

    scene.running.copy(ids["one"], ids["two"])

    answers = {room: scene.ask(*flow.read(room, ids[room])) for room in texts}
    assert flow.found(answers["one"].json)[1] == texts["one"]
    assert TOKEN in flow.found(answers["two"].json)[1]
    assert texts["one"].encode() not in answers["two"].body


def test_no_other_door_is_open(scene: Scene) -> None:
    for method, path, data in scene.flow.doors:
        answer = scene.ask(method, path, data)

        assert answer.header("Sealyard-Error") is not None, (method, path, answer)
