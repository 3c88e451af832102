from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import update_keyring
from proxy.keys.keyring.roots import FileRoot
from proxy.telemetry.logs.access_line import MessageLine
from proxy.wiring.reload import config_files
from proxy.wiring.service import Service
from proxy.wiring.sidecar.sidecar import Sidecar, build
from tests.scenarios.rig import (
    A_FORM,
    B_FORM,
    TOKEN,
    Load,
    a_configuration,
    backend,
    write_keys,
    write_token,
)
from tests.wiring.sources import read_here

FREQUENT = 0.05


@dataclass
class Ear:
    """A reporter that remembers."""

    heard: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def report(self, event: str, **fields: object) -> None:
        self.heard.append((event, fields))

    def messages(self, lines: Sequence[MessageLine]) -> None:
        self.heard.extend((line.event, line.fields()) for line in lines)

    def all(self, event: str) -> list[dict[str, object]]:
        return [fields for name, fields in self.heard if name == event]

    async def hear(self, event: str, count: int = 1) -> dict[str, object]:
        async with asyncio.timeout(10):
            while len(self.all(event)) < count:  # noqa: ASYNC110 - it listens to all events
                await asyncio.sleep(0.01)
        return self.all(event)[count - 1]


@dataclass
class Running:
    """A service in this process."""

    service: Service
    sidecar: Sidecar
    ear: Ear
    file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.sidecar.port('api')}/api/messages"

    def admin(self, path: str) -> str:
        return f"http://127.0.0.1:{self.service.admin.port('admin')}{path}"

    async def send(self, **more: str) -> Any:  # noqa: ANN401 - JSON
        body = {"conversationId": "c", "content": "x", "note": "y", **more}
        async with aiohttp.ClientSession() as session, session.post(self.url, json=body) as answer:
            return await answer.json()


@asynccontextmanager
async def running(folder: Path, text: str, *, interval: float = 3600) -> AsyncIterator[Running]:
    file = folder / "sealyard.yaml"
    if not file.exists():
        file.write_text(text)
    if not (folder / "keyring.jwe").exists():
        write_keys(folder)
    ear = Ear()
    read = config_files.read(file, os.environ)
    sidecar = await build(read.loaded, ear, environ=os.environ)
    service = Service(read, sidecar, ear, environ=os.environ, watch_interval=interval)
    await service.start()
    try:
        yield Running(service, sidecar, ear, file)
    finally:
        await service.drain(2.0)


@pytest.mark.parametrize("reloads", [200, pytest.param(1000, marks=pytest.mark.slow)])
async def test_b17_many_reloads_under_load_drop_mix_and_leak_nothing(
    tmp_path: Path, reloads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_here(monkeypatch)
    async with backend() as behind, running(tmp_path, a_configuration(behind.port)) as ours:
        texts = [
            a_configuration(behind.port),
            a_configuration(behind.port, form=B_FORM, tenant="beta"),
        ]
        load = Load(ours.url)
        loading = asyncio.get_running_loop().create_task(load.run(6))
        swaps, refused = [], 0
        for number in range(reloads):
            broken = number % 10 == 9
            ours.file.write_text("listeners: [" if broken else texts[number % 2])
            outcome = await ours.service.reload("admin")
            refused += not outcome.accepted
            assert outcome.accepted is not broken
            swaps.append(outcome.swap_ms)
        load.stop.set()
        await loading

    assert load.wrong == []
    assert (load.cut, load.refused) == (0, 0)
    assert load.answered == len(behind.bodies)
    assert behind.forms() == {A_FORM, B_FORM}
    assert load.canary.encode() not in b"".join(behind.bodies)
    assert refused == reloads // 10
    assert sorted(swaps)[int(len(swaps) * 0.99)] < 50


async def test_b17_a_reload_that_is_asked_for_during_the_start_waits_for_its_end(
    tmp_path: Path,
) -> None:
    async with backend() as behind:
        file = tmp_path / "sealyard.yaml"
        file.write_text(a_configuration(behind.port))
        write_keys(tmp_path)
        ear = Ear()
        read = config_files.read(file, os.environ)
        sidecar = await build(read.loaded, ear, environ=os.environ)
        service = Service(read, sidecar, ear, environ=os.environ, watch_interval=3600)
        file.write_text(a_configuration(behind.port, form=B_FORM, tenant="beta"))
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            outcome = group.create_task(service.reload("admin"))
            await asyncio.sleep(0.1)  # it would have been refused by now
            group.create_task(service.start())
        try:
            assert outcome.result().accepted
            ours = Running(service, sidecar, ear, file)
            assert (await ours.send())["content"] == "x"
            assert behind.forms() == {B_FORM}
        finally:
            await service.drain(2.0)


async def test_b17_a_request_keeps_the_configuration_it_began_with(tmp_path: Path) -> None:
    async with backend() as behind, running(tmp_path, a_configuration(behind.port)) as ours:
        behind.pause = 0.4
        asking = asyncio.get_running_loop().create_task(ours.send(content="secret"))
        while not (behind.bodies or asking.done()):  # noqa: ASYNC110 - a backend sets no event
            await asyncio.sleep(0.01)
        async with backend() as other:
            ours.file.write_text(a_configuration(other.port, form=B_FORM, tenant="beta"))
            outcome = await ours.service.reload("admin")
            answer = await asking
            later = await ours.send(content="later")

    assert outcome.accepted
    assert answer["content"] == "secret"  # its token opens under tenant alpha alone
    assert later["content"] == "later"
    assert (behind.forms(), other.forms()) == ({A_FORM}, {B_FORM})


async def test_b17_a_broken_file_is_told_problem_by_problem_and_the_old_one_stays(
    tmp_path: Path,
) -> None:
    async with backend() as behind, running(tmp_path, a_configuration(behind.port)) as ours:
        text = a_configuration(behind.port).replace("encrypt", "encript")
        ours.file.write_text(text.replace("version: 1", "version: 7"))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(ours.admin("/-/reload")) as response:
                body = await response.json(content_type=None)
            async with session.get(ours.admin("/metrics")) as metrics:
                scraped = await metrics.text()
            async with session.get(ours.admin("/v1/status")) as answered:
                status = await answered.json()
        await ours.send()

    assert (response.status, body["type"]) == (422, "urn:sealyard:error:configuration-error")
    assert len(body["problems"]) == 3
    assert all(problem.startswith(f"{ours.file}:") for problem in body["problems"])
    assert ours.ear.all("config.refused")[0]["problems"] == 3
    told = [one["problem"] for one in ours.ear.all("config.problem")]
    assert told == [one.replace("`encript`", "<hidden>") for one in body["problems"]]
    assert "encript" in str(body["problems"])
    assert "encript" not in str(told)
    assert status["last_reload"]["problems"] == told
    assert "did you mean `encrypt`?" in str(told)
    assert 'sealyard_reloads_total{result="refused"} 1.0' in scraped
    assert "sealyard_last_reload_successful 0.0" in scraped
    assert behind.forms() == {A_FORM}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("listen: 127.0.0.1:0", "listen: 127.0.0.1:1", "`api` has another `listen`"),
        ("name: api", "name: other", "`other` is new"),
        ("keyring: {", "sessions: {ttl: 2h}\n  keyring: {", "keys.sessions"),
        ('health: {listen: "127.0.0.1:0"}\n', "", "health.listen"),
    ],
)
async def test_what_needs_a_restart_is_refused_whole(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    async with backend() as behind, running(tmp_path, a_configuration(behind.port)) as ours:
        text = a_configuration(behind.port, form=B_FORM)
        ours.file.write_text(text.replace(old, new))
        outcome = await ours.service.reload("admin")
        await ours.send()

    assert (outcome.accepted, outcome.code) == (False, "restart-needed")
    assert any(told in problem for problem in outcome.problems)
    assert behind.forms() == {A_FORM}


async def test_a_swapped_link_is_seen_as_kubernetes_swaps_it(tmp_path: Path) -> None:
    async with backend() as behind:
        for name, form in (("..first", A_FORM), ("..second", B_FORM)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "sealyard.yaml").write_text(a_configuration(behind.port, form=form))
        (tmp_path / "..data").symlink_to("..first")
        (tmp_path / "sealyard.yaml").symlink_to("..data/sealyard.yaml")
        async with running(tmp_path, "", interval=FREQUENT) as ours:
            await ours.send()
            (tmp_path / "..new").symlink_to("..second")
            (tmp_path / "..new").rename(tmp_path / "..data")
            loaded = await ours.ear.hear("config.loaded")
            await ours.send()

    assert loaded["cause"] == "file"
    assert [json.loads(body)["content"][:4] for body in behind.bodies] == ["eyJ0", "sy1."]


async def test_a_changed_keyring_is_used_without_a_restart(tmp_path: Path) -> None:
    async with (
        backend() as behind,
        running(tmp_path, a_configuration(behind.port), interval=FREQUENT) as ours,
    ):
        root = FileRoot(SecretReference(file=tmp_path / "root.key"))
        now = int(time.time())
        await asyncio.to_thread(
            update_keyring,
            tmp_path / "keyring.jwe",
            root,
            lambda ring: ring.add("k2", now=now, random=os.urandom).promote("k2"),
        )
        await ours.ear.hear("config.loaded")
        await ours.send()

    assert ours.ear.all("keyring.opened")[-1]["primary"] == "k2"
    assert ours.sidecar.keys.sessions.keyring.primary.id == "k2"


async def test_a_keyring_that_no_longer_opens_is_refused(tmp_path: Path) -> None:
    async with backend() as behind, running(tmp_path, a_configuration(behind.port)) as ours:
        (tmp_path / "keyring.jwe").write_text("not a keyring")
        outcome = await ours.service.reload("admin")
        await ours.send()

    assert (outcome.accepted, outcome.code) == (False, "keyring-error")
    assert behind.forms() == {A_FORM}


async def test_a_new_admin_token_holds_after_the_reload_and_the_old_one_does_not(
    tmp_path: Path,
) -> None:
    async with backend() as behind, running(tmp_path, a_configuration(behind.port)) as ours:
        write_token(tmp_path, "another-token-0123456789")
        await ours.service.reload("signal")
        statuses = {}
        async with aiohttp.ClientSession() as session:
            for token in (TOKEN, "another-token-0123456789"):
                headers = {"Authorization": f"Bearer {token}"}
                async with session.get(ours.admin("/v1/status"), headers=headers) as response:
                    statuses[token] = response.status

    assert list(statuses.values()) == [401, 200]


async def test_a_token_that_cannot_be_read_refuses_the_reload(tmp_path: Path) -> None:
    async with backend() as behind, running(tmp_path, a_configuration(behind.port)) as ours:
        ours.file.write_text(a_configuration(behind.port, form=B_FORM))
        (tmp_path / "admin.token").chmod(0o644)
        outcome = await ours.service.reload("admin")
        await ours.send()

    assert (outcome.accepted, outcome.code) == (False, "environment-error")
    assert "0644" in outcome.problems[0]
    assert behind.forms() == {A_FORM}


async def test_the_traffic_port_leaves_the_paths_of_the_admin_api_to_the_backend(
    tmp_path: Path,
) -> None:
    paths = ("/livez", "/readyz", "/metrics", "/v1/status", "/v1/config")
    async with backend() as behind, running(tmp_path, a_configuration(behind.port)) as ours:
        base = ours.url.removesuffix("/api/messages")
        async with aiohttp.ClientSession() as session:
            for path in paths:
                async with session.get(base + path) as response:
                    assert await response.read() == b""
            async with session.post(base + "/-/reload", data=b"{}") as response:
                assert await response.read() == b"{}"

    assert len(behind.bodies) == len(paths) + 1
    assert ours.ear.all("admin.called") == []
