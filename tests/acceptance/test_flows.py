"""One client flow before backends of records, with Sealyard and without it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from .compared import Backend, compared, keep, needs_node
from .conftest import ROOT, Answer, Client, sidecar
from .flows import FLOWS, Flow, Running

pytestmark = [pytest.mark.acceptance, needs_node]

COMMAND = (sys.executable, "-P", "-m", "proxy")
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
    if not all(one.exists() for one in flow.needs):
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


@pytest.mark.parametrize("scene", ["directus.yaml"], indirect=True)
def test_the_description_of_directus_makes_a_rule_for_each_path_with_texts(
    scene: Scene, tmp_path: Path
) -> None:
    client, headers = Client(scene.backend.direct), dict(scene.running.headers)
    told = client.ask("GET", "/server/specs/oas", headers=headers).json
    told["x-sealyard"] = {"tenant": "const:clinic", "bind": ["tenant", "field"]}
    for name in ("text", "title"):
        told["components"]["schemas"]["ItemsMessages"]["properties"][name]["x-sensitive-data"] = (
            True
        )
    description = tmp_path / "openapi.json"
    description.write_text(json.dumps(told))

    made = subprocess.run(
        [*COMMAND, "contract", "make", str(description)], capture_output=True, cwd=ROOT, check=False
    )

    assert made.returncode == 0, made.stderr.decode()
    rules = yaml.safe_load(made.stdout)["listeners"][0]["rules"]
    taken = {one for rule in rules for one in ([rule["match"]] * isinstance(rule["match"], str))}
    with_texts = {
        f"{method.upper()} {path}"
        for path, operations in told["paths"].items()
        for method, operation in operations.items()
        if "/ItemsMessages" in json.dumps(operation) and method != "delete"
    }
    assert taken == with_texts
    assert len(told["paths"]) > 60
