"""Scenes of the pages that begin with an installed Sealyard and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

from tests.pages.blocks import ROOT
from tests.pages.docker import State
from tests.pages.scene import CANARY, Scene, call, page, until, with_section
from tests.servers import free_port, listens

FILES: Final = ROOT / "helm" / "sealyard" / "files"


def first_files(scene: Scene) -> str:
    """Do as the tutorial's reader until there is a configuration; return its text."""
    scene.do("sealyard init . 2>/dev/null")
    return (scene.folder / "sealyard.yaml").read_text()


def tenants(scene: Scene) -> None:
    """The first configuration of the page, served."""
    text = first_files(scene)
    shown, *_ = page("docs/how-to/tenants.md")
    scene.write("sealyard.yaml", with_section(text, shown.text))
    scene.backend()
    scene.serve()
    scene.reader.before = {
        "sealyard init north": lambda: one_of_the_north(scene),
    }


def one_of_the_north(scene: Scene) -> None:
    """The session of one tenant was revoked: the other's messages open as before."""
    url = f"http://127.0.0.1:{scene.ports['8080']}/api/conversations/c1/messages"
    time.sleep(1)
    told = {one: call(url, headers={"X-Tenant": one}) for one in ("north", "south")}
    opened = {name: [one["content"] for one in told[name]] for name in told}
    assert "of the south" in opened["south"]
    assert "of the north" not in opened["north"] + opened["south"]


def leave(scene: Scene) -> None:
    """What the reader of the tutorial has: messages, plain and sealed ones, and a sidecar."""
    text = first_files(scene)
    scene.write("sealyard.yaml", text)
    kept = scene.backend()
    reload = scene.serve()
    kept.write_text('{"conversationId": "c1",  "content": "before Sealyard"}\n')
    for number in range(3):
        scene.send("c1", f"{CANARY} {number}")
    assert CANARY not in kept.read_text()
    rules, job = page("docs/how-to/leave.md")

    def step_back() -> None:
        """Steps 1 and 2 of the page: from now on nothing is sealed, and all is opened."""
        shown = "".join(f"    {line}\n" for line in rules.text.splitlines())
        scene.write("sealyard.yaml", text.partition("    rules:\n")[0] + shown)
        scene.do("sealyard validate")
        reload()
        (*_, last) = scene.send("c1", "after")
        assert last["content"] == "after"
        assert json.loads(kept.read_text().splitlines()[-1])["content"] == "after"
        scene.write("leave.yaml", job.text)

    def compare() -> None:
        """What was plain is as it was, and what was sealed is what was sent."""
        lines = (scene.folder / "opened.txt").read_text().splitlines()
        assert lines[0] == '{"conversationId": "c1",  "content": "before Sealyard"}'
        assert [json.loads(one)["content"] for one in lines[1:]] == [
            *(f"{CANARY} {number}" for number in range(3)),
            "after",
        ]

    scene.reader.before = {"sealyard migrate open": step_back, "grep": compare}


def refused(scene: Scene) -> None:
    """What the reader of the tutorial has, who moves a message later."""
    scene.write("sealyard.yaml", first_files(scene))
    kept = scene.backend()
    scene.serve()

    def moved() -> None:
        scene.send("c1")
        kept.write_text(kept.read_text().replace('"c1"', '"c2"'))
        url = f"http://127.0.0.1:{scene.ports['8080']}/api/conversations/c2/messages"
        assert CANARY not in json.dumps(call(url))

    scene.reader.statuses = {"sealyard explain POST": 1}
    scene.reader.before = {"sealyard audit show": moved}


def prometheus(scene: Scene) -> None:
    """A sidecar with a health listener, and the rules of the chart."""
    health, scrape = page("docs/how-to/prometheus.md")
    scene.write("sealyard.yaml", with_section(first_files(scene), health.text))
    scene.backend()
    scene.serve()
    scene.reader.values["9090"] = str(free_port())
    scene.write("prometheus.yml", scrape.text.replace("15s", "1s"))
    shutil.copy(FILES / "rules.yaml", scene.folder)
    port = int(scene.reader.values["9090"])

    def up() -> None:
        until(lambda: listens(port))
        until(lambda: bool(query(port, "sealyard_ready")))
        (asked,) = page("docs/how-to/operate.md", "promql")
        for line in asked.text.splitlines():
            query(port, line)

    scene.reader.before = {"curl -s 'localhost:9090": up}


def query(port: int, text: str) -> list[object]:
    """Return what Prometheus answers to a query; raise HTTPError if it does not understand it."""
    answer = call(f"http://127.0.0.1:{port}/api/v1/query", form={"query": text})
    assert answer["status"] == "success"
    return list(answer["data"]["result"])


def redis_tls(scene: Scene) -> None:
    """Nothing at all: the reader makes certificates, Redis and keys."""
    scene.reader.values["6379"] = str(free_port())
    (store,) = page("docs/how-to/redis-tls.md")

    def connect() -> None:
        file = scene.folder / "sealyard.yaml"
        scene.write("sealyard.yaml", with_section(file.read_text(), store.text))
        scene.backend()

    def end() -> None:
        if (pid := scene.folder / "redis.pid").exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)

    scene.stack.callback(end)
    scene.reader.before = {"sealyard doctor": connect}


def docker(scene: Scene) -> None:
    """A checkout's files, a stand-in for Docker, and a backend in the same network."""
    state = State(scene.folder / "double.json", names={"backend": scene.ports["3000"]})
    state.published = {"8080": scene.ports["8080"], "8081": free_port(), "8082": free_port()}
    scene.reader.values = {
        f"127.0.0.1:{name}/api": f"127.0.0.1:{port}/api" for name, port in state.published.items()
    }
    state.write()
    scene.tool("docker", f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.pages.docker "$@"')
    scene.tool("sudo", 'test "$1" = chown')
    scene.do(f'export DOUBLE_STATE="{state.file}"')
    (scene.folder / "Dockerfile").symlink_to(ROOT / "Dockerfile")
    shutil.copytree(ROOT / "deploy" / "compose", scene.folder / "deploy" / "compose")
    shutil.copytree(ROOT / "helm", scene.folder / "helm")
    (shown,) = page("docs/how-to/docker.md")
    kept = scene.backend()

    def configure() -> None:
        (scene.folder / "config").mkdir()
        (scene.folder / "config" / "sealyard.yaml").write_text(shown.text)

    def running() -> None:
        until(lambda: listens(scene.ports["8080"]))
        assert scene.send()[0]["content"] == CANARY
        assert CANARY not in kept.read_text()
        scene.do("cd deploy/compose && rmdir keys 2>/dev/null || true")

    def others() -> None:
        assert CANARY not in (scene.folder / "sealyard.log").read_text()

    scene.stack.callback(lambda: end_all(state.file))
    scene.reader.before = {
        "docker run --rm --user": configure,
        "docker build --tag": running,
        "curl": others,
    }


def end_all(file: Path) -> None:
    """End what the stand-in has started."""
    for pid in State(file, **json.loads(file.read_text())).pids:
        os.kill(pid, signal.SIGTERM)
